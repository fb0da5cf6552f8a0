"""The checker's part about caches: do the tables of each cache agree with one another?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .cache.policy_parse import parse_policy
from .errors import VecDBError
from .storage.cache_entries import NO_DIGEST, Entry, get_body, scan_entries, scan_vectors
from .storage.caches import CacheRow, CacheState, get_cache_state, get_policy
from .storage.format import NUMBER, POST_KEY
from .storage.transaction import Transaction

Count = Callable[[str, int], object]


def cache_faults(
    transaction: Transaction, row: CacheRow, sequence: int, next_number: int, count: Count
) -> Iterator[str]:
    """What is wrong with a cache; ``sequence`` and ``next_number`` are the database's."""
    state = get_cache_state(transaction, row.number)
    if state is None:
        yield "it has no state"
        return
    if row.number >= next_number:
        yield f"its number {row.number} is not its own"
    if max(state.sequence, state.floor) > sequence:
        yield f"its sequence {state.sequence} is above the database's {sequence}"
    try:
        text = get_policy(transaction, row.number, state.policy)
        if text is None:
            yield f"version {state.policy} of its policy is missing"
        else:
            parse_policy(text.decode(), state.policy)
        yield from _entry_faults(transaction, row, state, count)
    except VecDBError as error:
        yield error.message


def _entry_faults(
    transaction: Transaction, row: CacheRow, state: CacheState, count: Count
) -> Iterator[str]:
    entries: dict[int, Entry] = {}
    size = 0
    for entry, stored in scan_entries(transaction, row.number):
        count("cache entries", 1)
        entries[entry] = stored
        size += stored.size
        if entry >= state.next_entry or stored.sequence > state.sequence:
            yield f"entry {entry} is newer than its cache"
        if not stored.created_us <= stored.expires_us <= stored.until_us:
            yield f"entry {entry} ends before it begins"
        if get_body(transaction, row.number, entry) is None:
            yield f"entry {entry} has no answer"
    if (len(entries), size) != (state.entries, state.bytes):
        yield (
            f"it holds {len(entries)} entries of {size} bytes, and its state says "
            f"{state.entries} of {state.bytes}"
        )
    lengths = {entry: len(vector) for entry, vector in scan_vectors(transaction, row.number)}
    odd = [entry for entry in entries if lengths.get(entry) != 4 * row.dim]
    if odd:
        yield f"{len(odd)} entries have no vector of {row.dim} dimensions, the first {odd[0]}"
    if len(lengths) != len(entries):
        yield f"{len(lengths)} vectors for {len(entries)} entries"
    yield from _key_faults(transaction, row, entries)


def _key_faults(
    transaction: Transaction, row: CacheRow, entries: dict[int, Entry]
) -> Iterator[str]:
    """Exact prompts lead to entries that are there, and postings to those that have them."""
    head = NUMBER.pack(row.number)
    known: set[bytes] = set()
    for key, value in transaction.scan("cache_exact", head):
        known.add(key[len(head) :])
        if int.from_bytes(value, "little") not in entries:
            yield f"prompt {key.hex()} leads to no entry"
    for entry, stored in entries.items():
        if stored.digest != NO_DIGEST and stored.digest not in known:
            yield f"no prompt leads to entry {entry}"
    posted = sum(len(stored.postings) for stored in entries.values())
    for key, _ in transaction.scan("cache_postings", head):
        _, kind, digest, entry = POST_KEY.unpack(key)
        owner = entries.get(entry)
        if owner is None or (kind, digest) not in owner.postings:
            yield f"posting {key.hex()} is of no entry"
        posted -= 1
    if posted:
        yield f"{posted} postings are missing"
