"""Conditions of a write: what must hold for each of its records, or nothing is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgument, PreconditionFailed
from ..filters import compile_filter, fields_of, parse_filter
from ..storage.transaction import Transaction
from .payload import decode_payload

KINDS = ("if_absent", "if_present", "if_sequence", "filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A checked condition. ``text`` tells two apart; ``fields``: what its filter compares."""

    kind: str
    sequence: int = 0
    test: Callable[[Any], bool] | None = None
    text: bytes = b""
    fields: frozenset[str] = frozenset()

    def require(
        self,
        transaction: Transaction,
        keys: Sequence[bytes],
        stored: Mapping[bytes, tuple[int, int]],
    ) -> None:
        """Raise ``PreconditionFailed`` naming the first record for which it does not hold.

        ``stored``: key -> (slot, sequence) of those of ``keys`` that are stored.
        """
        for row, key in enumerate(keys):
            found = stored.get(key)
            if self.kind == "if_absent":
                holds, expected = found is None, "must not be stored, and is"
            elif found is None:
                holds, expected = False, "must be stored, and is not"
            elif self.kind == "if_sequence":
                holds = found[1] == self.sequence
                expected = f"must be of sequence {self.sequence}, and is of {found[1]}"
            else:
                holds = self.test is None or self.test(self._payload(transaction, key))
                expected = "must match the filter, and does not"
            if not holds:
                raise PreconditionFailed(
                    f"the condition {self.kind} does not hold: ids[{row}] {expected}; nothing of "
                    "the batch was applied",
                    field=f"ids[{row}]",
                    hint="Read the record again, then decide",
                )

    @staticmethod
    def _payload(transaction: Transaction, key: bytes) -> Any:
        return decode_payload(transaction.get("payloads", key) or b"")


def parse_condition(condition: object, fields: Mapping[str, str]) -> Condition | None:
    """The condition of an ``upsert``; None where there is none."""
    if condition is None:
        return None
    if not isinstance(condition, Mapping):
        raise _malformed(f"got {type(condition).__name__}")
    if len(condition) != 1:
        raise _malformed(f"got {len(condition)} of them")
    ((kind, value),) = condition.items()
    if kind in ("if_absent", "if_present"):
        if value is not True:
            raise _malformed(f"{kind} takes True")
        return Condition(kind=kind, text=kind.encode())
    if kind == "if_sequence":
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise _malformed("if_sequence takes the sequence of the record's last write")
        return Condition(kind=kind, sequence=int(value), text=f"{kind} {value}".encode())
    if kind == "filter":
        node = parse_filter(value, fields, "condition.filter")
        if node is None:
            raise _malformed("its filter is None")
        test = compile_filter(node, fields)
        text = f"{kind} {node!r}".encode()
        return Condition(kind=kind, test=test, text=text, fields=fields_of(node))
    raise _malformed(f"{str(kind)[:40]!r} is not known")


def require_same_fields(
    used: Iterable[str], before: Mapping[str, str], now: Mapping[str, str]
) -> None:
    """Raise if a field that a filter compares is declared otherwise than when it was checked."""
    for name in sorted(used):
        if before.get(name) != now.get(name):
            raise PreconditionFailed(
                f"the declaration of field {name!r} was changed while the call was under way; "
                "nothing was applied",
                field=name,
                reason="FIELDS_CHANGED",
                hint="Repeat the call",
            )


def _malformed(found: str) -> InvalidArgument:
    return InvalidArgument(
        f"condition must be a dict with exactly one of {', '.join(KINDS)}; {found}",
        field="condition",
        hint="Such as {'if_absent': True}, {'if_sequence': 7} or {'filter': {'lang': 'en'}}",
    )
