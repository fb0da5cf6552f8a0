"""The only reading that decides: one fresh transaction says whether an entry may answer.

Memory proposed it. Here its scope is compared byte by byte, its sequence with every invalidation,
its prompt with the one asked, and every value with its checksum. So neither an index that lags nor
a digest that collides can have a wrong answer served.
"""

from __future__ import annotations

from typing import NamedTuple

from ..storage.cache_entries import Body, Entry, find_exact, get_body, get_entry
from ..storage.caches import NO_HASH, get_floor
from ..storage.format import POST_ALL
from ..storage.transaction import Transaction
from .question import Question
from .scope import floors_of

REPAIR, FLOOR = "repair", "floor"


class Fetched(NamedTuple):
    """``fault``: REPAIR (it is not what the index says) or FLOOR (it was invalidated), else ""."""

    fault: str
    stored: Entry | None = None
    body: Body | None = None


def fetch_entry(
    transaction: Transaction,
    number: int,
    secret: bytes,
    entry: int,
    question: Question,
    *,
    exact: bool,
    floor: int,
) -> Fetched:
    """Raises ``DataCorruption``. ``floor``: sequence of the newest invalidation of the cache."""
    stored = get_entry(transaction, number, entry)
    if (
        stored is None
        or stored.scope != question.scoped.canonical
        or stored.category != question.category.name
    ):
        return Fetched(REPAIR)
    own = stored.digest == question.digest_or_none
    if exact and not own and find_exact(transaction, number, question.digest) != entry:
        return Fetched(REPAIR)
    if floor >= stored.sequence and is_floored(transaction, number, secret, stored):
        return Fetched(FLOOR)
    body = get_body(transaction, number, entry)
    if body is None:
        return Fetched(REPAIR)
    if exact and own and body.prompt and body.prompt != question.prompt_bytes:
        return Fetched(REPAIR)
    return Fetched("", stored, body)


def is_floored(transaction: Transaction, number: int, secret: bytes, stored: Entry) -> bool:
    """Whether an invalidation came after the entry."""
    return newest_floor(transaction, number, secret, stored) >= stored.sequence


def newest_floor(transaction: Transaction, number: int, secret: bytes, stored: Entry) -> int:
    """Sequence of the newest invalidation that is about such an entry; 0: there was none."""
    floors = [
        (POST_ALL, NO_HASH),
        *floors_of(secret, stored.scope, stored.category),
        *stored.postings,
    ]
    return max(get_floor(transaction, number, kind, digest) for kind, digest in floors)
