"""Writes of a cache: each one transaction, or none at all."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from hashlib import blake2b

from ..cache_results import Invalidation, PutResult
from ..collection.group import Group
from ..errors import NotFound, PreconditionFailed
from ..storage.cache_entries import (
    Body,
    Entry,
    drop_alias,
    find_exact,
    get_entry,
    pack_body,
    put_alias,
    scan_postings,
)
from ..storage.caches import NO_HASH, forget_policies, get_policy, put_floor, put_note, put_policy
from ..storage.format import POST_ALL
from .change import Change
from .engine import Engine, encoder_changed
from .eviction import NoRoom, choose_victims
from .fetch import newest_floor
from .offers import Offer
from .policy import Category, Policy
from .policy_parse import policy_json
from .question import Question
from .scope import tag_postings
from .tickets import Ticket

_OVERHEAD = 256
_HALF = 2.0**-64
DOORKEEPER = 100_000
"""Prompts that a doorkeeper remembers."""
POLICIES = 100
"""Versions of the policy that are kept."""
SLICE = 256
"""Entries that one write takes out where space is given back."""
EXACT_ENOUGH = 0.9999
STRICTER = 0.005
"""How much nearer than a pair that went wrong a question must be from then on."""


def put(
    engine: Engine, question: Question, offer: Offer, ticket: Ticket | None
) -> Future[PutResult]:
    """Store an answer, if the policy takes it; the future is done when it is synced and found.

    Raises ``LimitExceeded`` (QUEUE_FULL).
    """
    category = question.category
    refusal = _refusal(engine, question)
    if refusal:
        return refused(engine, category, refusal)
    body = pack_body(
        Body(
            value=offer.data,
            content_type=offer.content_type,
            prompt=question.prompt_bytes if category.store_prompt else b"",
            meta=offer.meta,
        )
    )
    size = len(body) + 4 * engine.row.dim + _OVERHEAD
    draft = _draft(engine, question, offer, size)
    run = partial(_put, engine, question, draft, body, ticket)
    future: Future[PutResult] = engine.submit(run, size)
    future.add_done_callback(partial(_note_put, engine, category))
    return future


def refused(engine: Engine, category: Category, reason: str) -> Future[PutResult]:
    """A put that is over, and counted."""
    engine.tally.refuse(category.name, reason)
    done: Future[PutResult] = Future()
    done.set_result(PutResult(stored=False, reason=reason))
    return done


def _refusal(engine: Engine, question: Question) -> str:
    category = question.category
    if not category.allow_caching:
        return "bypass"
    if category.doorkeeper:
        with engine.lease_lock:
            seen = engine.seen_once
            if question.digest not in seen:
                if len(seen) >= DOORKEEPER:
                    del seen[next(iter(seen))]
                seen[question.digest] = None
                return "first_seen"
    return ""


def _draft(engine: Engine, question: Question, offer: Offer, size: int) -> Entry:
    """The entry but for its sequence and its times."""
    return Entry(
        sequence=0,
        created_us=0,
        expires_us=round((offer.ttl or 0.0) * 1e6),
        until_us=0,
        digest=question.digest,
        fingerprint=question.scoped.fingerprint,
        guard=question.guard,
        scope=question.scoped.canonical,
        category=question.category.name,
        postings=tag_postings(engine.row.secret, offer.tags, offer.sources),
        money=offer.saved.money,
        seconds=offer.saved.seconds,
        tokens=offer.saved.tokens,
        size=size,
        negative=offer.negative,
        own_ttl=offer.ttl is not None or offer.negative,
    )


def _put(
    engine: Engine,
    question: Question,
    draft: Entry,
    body: bytes,
    ticket: Ticket | None,
    group: Group,
) -> PutResult:
    change = engine.change(group)
    transaction, number = change.transaction, engine.row.number
    category = question.category
    if (
        ticket is not None
        and change.state.floor > ticket.sequence
        and newest_floor(transaction, number, engine.row.secret, draft) > ticket.sequence
    ):
        return PutResult(stored=False, reason="invalidated_meanwhile")
    known = find_exact(transaction, number, draft.digest)
    replaced = set() if known is None else {known}
    tenant = question.scoped.tenant
    now = engine.now_us()
    try:
        victims = choose_victims(
            *(engine.index, engine.policy, change),
            category=category.name,
            tenant=tenant,
            size=draft.size,
            replaced=replaced,
            now_us=now,
        )
    except NoRoom as no_room:
        return PutResult(stored=False, reason=no_room.reason)
    for victim in [*replaced, *victims]:
        _remove(engine, change, victim, tenant)
    stored = _with_times(draft, category, change.state.next_entry, now)
    stored = stored._replace(sequence=change.next_sequence())
    entry = change.add(stored, question.vector, body, tenant)
    return PutResult(stored=True, entry=entry, evicted=len(victims))


def _remove(engine: Engine, change: Change, entry: int, tenant: str = "") -> bool:
    """Delete an entry and its aliases; ``tenant``: whose it is, if the index does not know it."""
    with engine.index.lock:
        row = engine.index.row_of(entry)
        owner = tenant if row is None else engine.index.partition_of(row).tenant
    if entry in change.added:
        owner = change.added[entry].tenant
    for digest in engine.index.aliases_of(entry):
        drop_alias(change.transaction, engine.row.number, digest, entry)
    return change.remove(entry, owner)


def _with_times(draft: Entry, category: Category, entry: int, now: int) -> Entry:
    """Lifetimes: jitter only shortens, by a share that the entry's own number gives."""
    if draft.negative:
        ttl = draft.expires_us or round(category.negative_ttl * 1e6)
        end = now + min(ttl, round(category.negative_ttl * 1e6))
        return draft._replace(created_us=now, expires_us=end, until_us=end)
    longest = now + round(category.ttl_max * 1e6)
    if draft.own_ttl:
        end = min(now + draft.expires_us, longest)
        return draft._replace(created_us=now, expires_us=end, until_us=end + category.swr_us)
    digest = blake2b(draft.digest + entry.to_bytes(8, "little"), digest_size=8).digest()
    share = int.from_bytes(digest, "little") * _HALF
    end = now + round(category.ttl * (1.0 - category.jitter * share) * 1e6)
    until = (longest if category.adaptive else end) + category.swr_us
    return draft._replace(created_us=now, expires_us=end, until_us=until)


def _note_put(engine: Engine, category: Category, future: Future[PutResult]) -> None:
    if future.cancelled() or future.exception() is not None:
        engine.tally.refuse(category.name, "failed")
        return
    done = future.result()
    if not done.stored:
        engine.tally.refuse(category.name, done.reason)
        return
    engine.tally.add(category.name, "stored")
    if done.evicted:
        engine.tally.add(category.name, "evicted", done.evicted)


# ------------------------------------------------------------------------------- invalidation


def invalidate(
    engine: Engine, targets: list[tuple[int, bytes]], found: list[int], *, dry_run: bool
) -> Invalidation:
    """Have all entries dead that any of the floors ``targets`` is about; ``found``: those known.

    One small transaction at any size, synced on return: what it is about is dead then for every
    process. Space is given back later, in slices.
    """
    samples = tuple(found[:10])
    if dry_run:
        return Invalidation(count=len(found), samples=samples, dry_run=True)

    def run(group: Group) -> int:
        change = engine.change(group)
        sequence = change.next_sequence()
        for kind, digest in targets:
            put_floor(change.transaction, engine.row.number, kind, digest, sequence)
        change.set_floor(sequence)
        return sequence

    sequence = engine.submit(run).result()
    _bury(engine, found, sequence)
    return Invalidation(count=len(found), samples=samples, dry_run=False, sequence=sequence)


def _bury(engine: Engine, entries: Iterable[int], sequence: int) -> None:
    """Take entries out of the index; one that was stored after ``sequence`` stays."""
    for entry in entries:
        with engine.index.lock:
            row = engine.index.row_of(entry)
            if row is None or engine.index.rows.fields.sequence.item(row) > sequence:
                continue
            engine.index.kill(entry)
        engine.reclaim.append(entry)


def posted(engine: Engine, kind: int, digest: bytes) -> list[int]:
    """The entries that have a tag or source."""
    with engine.store.environment.read() as transaction:
        return list(scan_postings(transaction, engine.row.number, kind, digest))


# ------------------------------------------------------------------------------ smaller writes


def reject(engine: Engine, entry: int, score: float) -> Future[None]:
    """A hit was wrong: its entry goes, or answers only what is nearer than that question was."""

    def run(group: Group) -> None:
        change = engine.change(group)
        if score >= EXACT_ENOUGH:
            _remove(engine, change, entry)
        else:
            change.raise_threshold(entry, min(1.0, score + STRICTER))

    return engine.submit(run)


def promote(engine: Engine, digest: bytes, entry: int) -> None:
    """Have an exact prompt lead to an entry that a verifier has accepted for it."""

    def run(group: Group) -> None:
        change = engine.change(group)
        known = find_exact(change.transaction, engine.row.number, digest)
        if known is None and get_entry(change.transaction, engine.row.number, entry) is not None:
            put_alias(change.transaction, engine.row.number, digest, entry)
            change.aliases[digest] = entry

    engine.submit(run)


def reclaim_slice(engine: Engine) -> int:
    """Delete up to ``SLICE`` dead entries from the tables; how many there were."""
    entries: list[int] = []
    while engine.reclaim and len(entries) < SLICE:
        entries.append(engine.reclaim.popleft())
    if not entries:
        return 0

    def run(group: Group) -> None:
        change = engine.change(group)
        for entry in entries:
            if not _remove(engine, change, entry):
                change.removed.add(entry)  # gone already; its row is still to be given back

    try:
        engine.submit(run).result()
    except BaseException:
        engine.reclaim.extendleft(reversed(entries))
        raise
    return len(entries)


def store_notes(engine: Engine, notes: dict[str, bytes]) -> None:
    """Keep what was learned and counted."""

    def run(group: Group) -> None:
        change = engine.change(group)
        for name, value in notes.items():
            put_note(change.transaction, engine.row.number, name, value)

    engine.submit(run, sum(map(len, notes.values()))).result()


def set_policy(engine: Engine, policy: Policy, replaces: int | None) -> int:
    """Put a policy in force, synced on return; its version.

    ``replaces``: the version that it is meant to replace; None: whichever there is. One that names
    another encoder invalidates all entries in the same transaction: their vectors are of another
    space.
    """
    others = encoder_changed(engine.policy, policy)

    def run(group: Group) -> tuple[int, int]:
        change = engine.change(group)
        current = change.state.policy
        if replaces is not None and replaces != current:
            raise PreconditionFailed(
                f"the policy in force has version {current}, not {replaces}",
                field="policy.version",
                reason="POLICY_CHANGED",
                hint="Read it again, and give the version that yours replaces",
            )
        version = current + 1
        text = policy_json(policy)
        put_policy(change.transaction, engine.row.number, version, text)
        forget_policies(change.transaction, engine.row.number, max(0, version - POLICIES))
        sequence = change.next_sequence()
        change.set_policy(version, text)
        if others:
            put_floor(change.transaction, engine.row.number, POST_ALL, NO_HASH, sequence)
            change.set_floor(sequence)
        return version, sequence

    version, sequence = engine.submit(run, len(policy_json(policy))).result()
    if others:
        _bury(engine, engine.index.known(), sequence)
    return int(version)


def read_policy(engine: Engine, version: int) -> bytes:
    """The document of a version that is kept."""
    with engine.store.environment.read() as transaction:
        text = get_policy(transaction, engine.row.number, version)
    if text is None:
        raise NotFound(
            f"there is no version {version} of the policy",
            field="version",
            reason="NO_POLICY",
            hint=f"The last {POLICIES} are kept; version {engine.policy.version} is in force",
        )
    return text


def drop(engine: Engine, group: Group) -> None:
    """In a write that drops the cache."""
    engine.change(group).drop()
