"""Prompts as the exact tier compares them, and values as they are stored."""

from __future__ import annotations

import json
import unicodedata
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InvalidArgument, LimitExceeded

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"
NONE = "application/x-vecdb-no-answer"


def normalise(prompt: str, *, fold_case: bool) -> str:
    """NFC, trimmed, runs of space as one. Digits and punctuation stay: they are meaning.

    Case stays too, unless the category folds it: in code it is meaning.
    """
    text = " ".join(unicodedata.normalize("NFC", prompt).split())
    return text.casefold() if fold_case else text


def check_prompt(prompt: object) -> str | None:
    if prompt is None:
        return None
    if not isinstance(prompt, str):
        raise InvalidArgument(
            f"prompt must be a text or None; got {type(prompt).__name__}", field="prompt"
        )
    if len(prompt) > limits.CACHE_PROMPT_BYTES:
        raise LimitExceeded(
            f"a prompt has at most {limits.CACHE_PROMPT_BYTES} characters; got {len(prompt)}",
            field="prompt",
            limit=limits.CACHE_PROMPT_BYTES,
            actual=len(prompt),
        )
    return prompt


def digest_prompt(secret: bytes, fingerprint: bytes, category: str, text: str) -> bytes:
    """Of scope, category and a normalised prompt: what the exact tier looks up."""
    head = fingerprint + category.encode() + b"\0p"
    return blake2b(
        head + text.encode("utf-8", "surrogatepass"), digest_size=16, key=secret
    ).digest()


def digest_vector(
    secret: bytes, fingerprint: bytes, category: str, vector: NDArray[np.float32]
) -> bytes:
    """The same of a question of which only the vector is known."""
    head = fingerprint + category.encode() + b"\0v"
    return blake2b(head + vector.tobytes(), digest_size=16, key=secret).digest()


def check_vector(vector: Any, dim: int, field: str = "vector") -> NDArray[np.float32]:
    """f32[dim], made of length 1. Raises ``InvalidArgument``."""
    try:
        with np.errstate(over="ignore"):
            given = np.ascontiguousarray(vector, np.float32)
            squared = float(np.dot(given, given)) if given.shape == (dim,) else 0.0
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"{field} must be {dim} numbers; got {type(vector).__name__}", field=field
        ) from None
    if given.shape != (dim,):
        raise InvalidArgument(
            f"{field} must have the shape ({dim},); got {given.shape}",
            field=field,
            reason="WRONG_DIMENSION",
            limit=dim,
            actual=int(given.size),
            hint=f"The cache holds vectors of {dim} dimensions",
        )
    length = squared**0.5
    if not 1e-15 < length < 1e15:  # what float32 squares are not to be trusted with
        wide = given.astype(np.float64)
        length = float(np.dot(wide, wide)) ** 0.5
        if np.isfinite(length) and length > 0.0:
            return np.asarray(wide / length, np.float32)
    if not np.isfinite(length):
        raise InvalidArgument(
            f"{field} holds NaN, infinity or a number beyond float32",
            field=field,
            reason="NOT_FINITE",
        )
    if length == 0.0:
        raise InvalidArgument(
            f"{field} is all zeros, which has no direction: cosine needs one",
            field=field,
            reason="ZERO_VECTOR",
        )
    if given is vector and abs(squared - 1.0) < 1e-6:
        return np.array(given)  # of length 1; the caller may fill it with another one
    unit: NDArray[np.float32] = given / np.float32(length)
    return unit


def encode_value(value: object, content_type: str | None) -> tuple[bytes, str]:
    """(bytes, content type) of a text, of bytes, or of anything that JSON holds."""
    if isinstance(value, bytes | bytearray | memoryview):
        data, kind = bytes(value), BYTES
    elif isinstance(value, str):
        try:
            data, kind = value.encode(), TEXT
        except UnicodeEncodeError:
            raise InvalidArgument("value holds half a surrogate pair", field="value") from None
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            data, kind = text.encode(), JSON
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument(
                f"value must be a text, bytes, or what JSON holds: {error}", field="value"
            ) from None
    if len(data) > limits.CACHE_VALUE_BYTES:
        raise LimitExceeded(
            f"a value has at most {limits.CACHE_VALUE_BYTES} bytes; got {len(data)}",
            field="value",
            limit=limits.CACHE_VALUE_BYTES,
            actual=len(data),
        )
    if content_type is None:
        return data, kind
    if not isinstance(content_type, str) or not 0 < len(content_type.encode()) <= 256:
        raise InvalidArgument("content_type must be a text of 1-256 bytes", field="content_type")
    return data, content_type


def decode_value(data: bytes, content_type: str) -> Any:
    """What ``encode_value`` was given; bytes where the content type is another."""
    if content_type == NONE:
        return None
    if content_type == JSON:
        return json.loads(data)
    return data.decode() if content_type == TEXT else data
