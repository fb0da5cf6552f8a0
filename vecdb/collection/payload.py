"""Payloads as JSON text: checked on their way in, so that reading them back cannot fail."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from ..filters import check_payload_fields
from . import columns
from .columns import Payload


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # written again, it would be no JSON
        raise ValueError("a number is beyond 64-bit floating point")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_finite)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def encode_payload(payload: Payload, fields: Mapping[str, str], where: str) -> bytes:
    """The JSON text to store; b"" for None.

    Raises ``InvalidArgument`` or ``LimitExceeded`` naming ``where`` if it is not a JSON object,
    is too large or too deep, or a declared field holds a value of another type.
    """
    text = columns.encode_payload(payload, where)
    if text:
        check_payload_fields(_load(text, where), fields, where)
    return text


def encode_payloads(
    payloads: Sequence[Payload] | None, count: int, fields: Mapping[str, str]
) -> list[bytes] | None:
    """One text a record, or None where no payloads were given."""
    if payloads is None:
        return None
    given = columns.check_payloads(payloads, count)
    return [
        encode_payload(payload, fields, f"payloads[{row}]") for row, payload in enumerate(given)
    ]


def check_stored_payload(text: bytes, fields: Mapping[str, str], where: str) -> None:
    """Raise where the values of ``fields`` do not fit; ``text``: of ``encode_payload``."""
    payload = decode_payload(text)
    if payload:
        check_payload_fields(payload, fields, where)


def decode_payload(text: bytes) -> dict[str, Any] | None:
    """A stored payload; None for none."""
    return json.loads(text) if text else None


def merge_payload(stored: bytes, patch: bytes) -> bytes:
    """``stored`` with the keys of ``patch`` put over it."""
    merged = {**(decode_payload(stored) or {}), **(decode_payload(patch) or {})}
    return json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode()


def _load(text: bytes, where: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(text.decode())
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # fails on half of a pair
    except (ValueError, RecursionError) as error:
        told = str(error)
        if isinstance(error, RecursionError):
            told = "nested too deeply"
        elif isinstance(error, UnicodeEncodeError):
            told = "half of a surrogate pair"
        raise InvalidArgument(f"{where} is not valid JSON: {told}", field=where) from None
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"{where} must be a JSON object; got {type(value).__name__}", field=where
        )
    if text.count(b"[") + text.count(b"{") > limits.PAYLOAD_DEPTH:
        _check_depth(value, where)
    return value


def _check_depth(value: Any, where: str) -> None:
    level: list[Any] = [value]
    for _ in range(limits.PAYLOAD_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise LimitExceeded(
        f"{where} is nested more than {limits.PAYLOAD_DEPTH} deep",
        field=where,
        limit=limits.PAYLOAD_DEPTH,
    )
