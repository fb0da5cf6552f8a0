"""Payloads as JSON text: checked on their way in, so that reading them back cannot fail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from ..filters import check_payload_fields

Payload = Mapping[str, Any] | bytes | None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def encode_payload(payload: Payload, fields: Mapping[str, str], where: str) -> bytes:
    """The JSON text to store; b"" for None.

    Raises ``InvalidArgument`` or ``LimitExceeded`` naming ``where`` if it is not a JSON object,
    is too large or too deep, or a declared field holds a value of another type.
    """
    if payload is None:
        return b""
    if isinstance(payload, bytes):
        text = payload
        if not text:
            return b""
    elif isinstance(payload, Mapping):
        text = _dump(payload, where)
    else:
        raise InvalidArgument(
            f"{where} must be a JSON object (a dict), got {type(payload).__name__}", field=where
        )
    if len(text) > limits.PAYLOAD_BYTES:
        raise LimitExceeded(
            f"{where} has {len(text)} bytes of JSON, at most {limits.PAYLOAD_BYTES} are stored",
            field=where,
            limit=limits.PAYLOAD_BYTES,
            actual=len(text),
        )
    check_payload_fields(_load(text, where), fields, where)
    return text


def encode_payloads(
    payloads: Sequence[Payload] | None, count: int, fields: Mapping[str, str]
) -> list[bytes] | None:
    """One text a record, or None where no payloads were given."""
    if payloads is None:
        return None
    if isinstance(payloads, Mapping | str | bytes) or not isinstance(payloads, Sequence):
        raise InvalidArgument(
            f"payloads must be a sequence of dicts, got {type(payloads).__name__}",
            field="payloads",
        )
    if len(payloads) != count:
        raise InvalidArgument(
            f"expected {count} payloads, one a record, got {len(payloads)}", field="payloads"
        )
    return [
        encode_payload(payload, fields, f"payloads[{row}]") for row, payload in enumerate(payloads)
    ]


def decode_payload(text: bytes) -> dict[str, Any] | None:
    """A stored payload; None for none."""
    return json.loads(text) if text else None


def merge_payload(stored: bytes, patch: bytes) -> bytes:
    """``stored`` with the keys of ``patch`` put over it."""
    merged = {**(decode_payload(stored) or {}), **(decode_payload(patch) or {})}
    return json.dumps(merged, ensure_ascii=False, separators=(",", ":")).encode()


def _dump(payload: Mapping[str, Any], where: str) -> bytes:
    try:
        return json.dumps(
            dict(payload), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{where} cannot be written as JSON: {error}",
            field=where,
            hint="Use str, int, finite float, bool, None, lists and dicts with string keys",
        ) from error


def _load(text: bytes, where: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(text.decode())
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidArgument(f"{where} is not valid JSON: {reason}", field=where) from error
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"{where} must be a JSON object, got {type(value).__name__}", field=where
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
