"""Answers that fit a message: what is too large is refused, if possible before it is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from vecdb import limits
from vecdb.errors import LimitExceeded
from vecdb.results import CollectionInfo
from vecdb_client.codec import NUMPY_DTYPES

if TYPE_CHECKING:
    from vecdb.collection import Collection

MATCH_BYTES: Final = 16
"""Id, score and distance of one match on the wire, about."""
SCORE_BYTES: Final = 8
"""A relevance, or surprise bits."""


def serialize(message: Message) -> bytes:
    """The bytes of ``message``; ``LimitExceeded`` if it is too large to be received."""
    data = message.SerializeToString()
    if len(data) > limits.MESSAGE_BYTES:
        raise too_large(len(data))
    return data


def check_payloads(payloads: Iterable[bytes]) -> None:
    """Refuse payloads that cannot fit a message, before they are copied into one."""
    size = sum(map(len, payloads))
    if size > limits.MESSAGE_BYTES:
        raise too_large(size)


def check_search(
    collection: Collection,
    *,
    queries: int,
    k: int,
    tenant: str | None,
    filter: dict[str, Any] | None,
    with_vector: bool,
    scores: int,
    timeout: float | None,
) -> None:
    """Refuse a search whose matches cannot fit a message, payloads not counted.

    ``scores``: how many columns of float64 it asks for beside score and distance.
    Counts what the filter matches only if the answer might be too large otherwise. Who searches as
    a tenant hears of no more records than it sees.
    """
    match_bytes = MATCH_BYTES + SCORE_BYTES * scores
    if queries * k * (match_bytes + 4 * limits.DIM * with_vector) <= limits.MESSAGE_BYTES:
        return
    info = collection.describe(timeout=timeout)
    row_bytes = match_bytes + _vector_bytes(info) * with_vector
    if queries * min(k, info.count) * row_bytes <= limits.MESSAGE_BYTES:
        return
    count = collection.count(filter, tenant=tenant, timeout=timeout)
    size = queries * min(k, count) * row_bytes
    if size > limits.MESSAGE_BYTES:
        raise too_large(size)


def check_vectors(
    collection: Collection, *, records: int, tenant: str | None, timeout: float | None
) -> None:
    """Refuse to send the vectors of so many records that are seen if they cannot fit a message."""
    if records * 4 * limits.DIM <= limits.MESSAGE_BYTES:
        return
    info = collection.describe(timeout=timeout)
    count = info.count if tenant is None else collection.count(tenant=tenant, timeout=timeout)
    size = min(records, count) * _vector_bytes(info)
    if size > limits.MESSAGE_BYTES:
        raise too_large(size)


def too_large(size: int) -> LimitExceeded:
    """``size`` is what the answer has, or would have, in bytes."""
    return LimitExceeded(
        f"the answer comes to {size} bytes, and a message has at most {limits.MESSAGE_BYTES}",
        reason="ANSWER_TOO_LARGE",
        limit=limits.MESSAGE_BYTES,
        actual=size,
        hint="Ask for less at once: fewer queries or ids, a smaller k or limit, no vectors, "
        "no payloads",
    )


def _vector_bytes(info: CollectionInfo) -> int:
    return info.dim * NUMPY_DTYPES[info.dtype].itemsize
