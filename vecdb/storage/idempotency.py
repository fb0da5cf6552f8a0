"""Answers of recent writes by their idempotency keys, kept for 24 hours.

A key, a digest of the request and the answer are stored in the transaction that holds the effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidArgument
from . import format
from .checksum import pack, unpack
from .transaction import Transaction

_EXPIRE_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the first call with a key was answered."""

    count: int
    sequence: int


def find_answer(
    transaction: Transaction, key: bytes, digest: bytes, after_us: int
) -> Answer | None:
    """The answer stored under ``key`` at that time or later, None if there is none.

    ``InvalidArgument`` if it was the answer to another request.
    """
    value = transaction.get("keys", key)
    if value is None:
        return None
    row = unpack("keys", key, value, format.KEY)
    if int(row["created_us"]) < after_us:
        return None
    if row["digest"].tobytes() != digest:
        raise InvalidArgument(
            "this idempotency key was used for another request",
            field="idempotency_key",
            reason="KEY_REUSED",
            hint="Use a new key for each request, and repeat a request unchanged",
        )
    return Answer(count=int(row["count"]), sequence=int(row["sequence"]))


def put_answer(
    transaction: Transaction, key: bytes, digest: bytes, answer: Answer, now_us: int
) -> None:
    value = pack(
        format.KEY,
        digest=digest,
        created_us=now_us,
        sequence=answer.sequence,
        count=answer.count,
    )
    transaction.put("keys", key, value)
    transaction.put("key_times", format.KEY_TIME.pack(now_us) + key, b"")


def expire_answers(transaction: Transaction, before_us: int) -> None:
    """Delete some of the answers stored before that time; called with each write."""
    old: list[bytes] = []
    for time_key, _ in transaction.scan("key_times"):
        if format.KEY_TIME.unpack_from(time_key)[0] >= before_us or len(old) == _EXPIRE_AT_ONCE:
            break
        old.append(time_key)
    for time_key in old:
        key = time_key[format.KEY_TIME.size :]
        value = transaction.get("keys", key)
        # A key that was used again since has a younger answer, and a later time beside this one.
        if value is not None:
            row = unpack("keys", key, value, format.KEY)
            if int(row["created_us"]) < before_us:
                transaction.delete("keys", key)
        transaction.delete("key_times", time_key)
