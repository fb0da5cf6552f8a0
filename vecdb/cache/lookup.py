"""The life of a lookup: gate, exact, ring, vector, decision, fetch.

Each tier either concludes or hands on. A miss never touches the disk: lifetime, guards and
thresholds are decided in memory, and only what would be served is fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..cache_results import BYPASS, EXACT, NEGATIVE, RING, VECTOR, VERIFIED, Hit, Lookup, Saved
from ..errors import DataCorruption
from ..storage.cache_entries import Body, Entry
from .engine import Engine
from .fetch import FLOOR, REPAIR, Fetched, fetch_entry
from .guards import NO_GUARD, compare_guards
from .load import lifetime_us, relaxed_threshold
from .partition import View
from .policy import VETO
from .question import Question
from .rows import LIVE, OWN_TTL, Fields
from .search import Found, find_in_ring, find_nearest
from .verification import CLOSED, GRID_LOW

RING_THRESHOLD = 0.98
"""The ring concludes nothing below: thresholds are meant for the nearest entry, not for any."""
TIMED = 8
_NOTHING = (-1, 0.0)
_NO_TIMES: dict[str, int] = {}

Verify = Callable[[str, str, Any], bool]
"""(prompt asked, prompt stored, value) -> whether the value answers the prompt."""


@dataclass(slots=True)
class Trace:
    """What happened in one lookup, for ``explain``; nothing of it is a text of the caller's."""

    id: int
    category: str
    tier: str = ""
    outcome: str = ""
    partition: int = 0
    threshold: float | None = None
    relaxation: float = 0.0
    candidates: list[tuple[int, float, str]] = field(default_factory=list)
    nearest: tuple[int, float] = _NOTHING
    times_ns: dict[str, int] = field(default_factory=dict)


class LookupRun:
    """One lookup; used by one thread. ``quiet``: it belongs to one that was counted already."""

    def __init__(
        self, engine: Engine, question: Question, verify: Verify | None, *, quiet: bool = False
    ) -> None:
        self._engine = engine
        self._question = question
        self._verify = verify
        self._quiet = quiet
        self._relaxation = 0.0
        self._slot = -1
        self._now = 0
        self._sequence = engine.sequence
        self._trace = Trace(next(engine.ids), question.category.name)
        self._reasons: list[str] = []

    def run(self) -> Lookup:
        began = time.perf_counter_ns()
        engine, question = self._engine, self._question
        engine.check_usable()
        category, trace = question.category, self._trace
        if not category.allow_caching:
            return self._miss(BYPASS)
        if engine.store.read_only:
            engine.follow()
        if category.adaptive:
            self._relaxation = engine.loads.relaxation(question.scoped.model, question.policy.load)
            trace.relaxation = self._relaxation
        pool = engine.pool_of(category)
        if pool is not None and not self._quiet:
            pool.note_lookup()
        hit = self._exact()
        trace.times_ns["exact"] = time.perf_counter_ns() - began
        if hit is None:
            hit = self._by_meaning()
        trace.times_ns["lookup"] = time.perf_counter_ns() - began - question.embed_ns
        if question.embed_ns:
            trace.times_ns["embed"] = question.embed_ns
        return self._miss(self._why()) if hit is None else self._hit(hit)

    # ------------------------------------------------------------------------------ the tiers

    def _exact(self) -> Hit | None:
        question = self._question
        if question.digest_or_none is None and question.prompt is None and not question.has_vector:
            return None  # only a function knows the vector, and it is called no earlier than needed
        row = self._engine.index.exact.get(question.digest)
        if row is None:
            return None
        known = self._engine.index.rows.fields
        entry = known.entry.item(row)
        if entry < 0 or self._engine.now_us() >= known.until.item(row):
            self._reasons.append("expired")
            return None
        hit = self._serve(entry, 1.0, 0.0, row=row)
        self._trace.candidates.append((entry, 1.0, "served" if hit is not None else "repair"))
        if hit is not None:
            known.hits[row] += 1
            known.considered[row] += 1
            known.used[row] = self._now
        return hit

    def _by_meaning(self) -> Hit | None:
        engine, question, trace = self._engine, self._question, self._trace
        partition = engine.index.partitions.get(question.key)
        if partition is None or partition.count == 0:
            self._reasons.append("empty")
            return None
        switch = engine.switches[question.category.name]
        if not switch.lets_through():
            self._reasons.append("off")
            return None
        if switch.off:
            engine.tally.add(question.category.name, "probes")
        query = question.vector
        began = time.perf_counter_ns()
        view = partition.view
        trace.partition = partition.count
        threshold, strict = self._thresholds()
        trace.threshold = threshold
        grey = question.category.threshold_grey if self._verify is not None else None
        floor = min(threshold, 1.0 if grey is None else grey)
        if engine.pool_of(question.category) is not None:
            # What is learned must be about the true nearest, also where nothing is served yet.
            floor = min(floor, question.category.threshold_min, GRID_LOW)
        if view.codes is not None:
            found = find_in_ring(view, query)[:1]
            trace.times_ns["ring"] = time.perf_counter_ns() - began
            if found and found[0][1] >= max(threshold, RING_THRESHOLD):
                hit = self._decide(view, found, threshold, strict, grey, RING)
                if hit is not None:
                    return hit
        began = time.perf_counter_ns()
        found = find_nearest(view, engine.index.encoder, query, floor)
        trace.times_ns["vector"] = time.perf_counter_ns() - began
        if found:
            trace.nearest = (int(view.entries[found[0][0]]), found[0][1])
        hit = self._decide(view, found, threshold, strict, grey, VECTOR)
        if hit is not None:
            partition.note_hit(view, self._slot)
            if switch.off:
                engine.tally.add(question.category.name, "probe_hits")
        return hit

    def _thresholds(self) -> tuple[float, float]:
        """(in force, without load)."""
        category = self._question.category
        pool = self._engine.pool_of(category)
        if pool is None:
            relaxed = relaxed_threshold(category, category.threshold, self._relaxation)
            return relaxed, category.threshold
        now, strict = pool.threshold, pool.strict
        least = category.threshold_min
        return (
            now if now >= CLOSED else max(now, least),
            strict if strict >= CLOSED else max(strict, least),
        )

    # --------------------------------------------------------------------------- the decision

    def _decide(
        self,
        view: View,
        found: Found,
        threshold: float,
        strict: float,
        grey: float | None,
        kind: str,
    ) -> Hit | None:
        """Serve the first candidate that nothing speaks against."""
        known = self._engine.index.rows.fields
        for slot, score in found:
            row, entry = view.rows.item(slot), view.entries.item(slot)
            if known.entry.item(row) != entry or not known.flags.item(row) & LIVE:
                self._note(entry, score, REPAIR)
                continue
            needed = max(threshold, known.threshold.item(row))
            is_grey = score < needed and grey is not None and score >= grey
            if score < needed and not is_grey:
                closed = threshold >= CLOSED
                self._note(entry, score, "closed" if closed else "below")
                if score < min(threshold, 1.0 if grey is None else grey):
                    break
                continue
            known.considered[row] += 1
            verdict = self._guard(known.guard[row].tobytes())
            if verdict == VETO:
                self._note(entry, score, "guard")
                continue
            if verdict == "required":
                self._note(entry, score, "required")
                continue
            if (verdict or is_grey) and self._verify is None:
                self._note(entry, score, "grey")
                continue
            if not self._is_alive(known, row):
                self._note(entry, score, "expired")
                continue
            told = VERIFIED if verdict or is_grey else kind
            hit = self._serve(entry, score, needed, kind=told, relaxed=score < strict)
            if hit is not None:
                self._slot = slot
                self._note(entry, score, "served")
                known.hits[row] += 1
                known.used[row] = self._now
                return hit
        return None

    def _note(self, entry: int, score: float, reason: str) -> None:
        self._reasons.append(reason)
        self._trace.candidates.append((entry, score, reason))

    def _guard(self, stored: bytes) -> str:
        """ "", grey, veto, or required: there is no prompt to guard, and there has to be."""
        category = self._question.category
        asked = self._question.guard
        if NO_GUARD in (asked, stored):
            if category.guards_required:
                return "required"
            self._engine.tally.add(category.name, "unguarded")
            return ""
        return compare_guards(asked, stored, category.guards)[0]

    def _is_alive(self, known: Fields, row: int) -> bool:
        """Whether an entry may be served now, as stale at least: said before it is fetched."""
        _, end = lifetime_us(
            self._question.category,
            known.created.item(row),
            known.expires.item(row),
            own_ttl=known.flags.item(row) & OWN_TTL != 0,
            relaxation=self._relaxation,
        )
        end += self._question.category.swr_us
        return bool(self._engine.now_us() < min(known.until.item(row), end))

    # ------------------------------------------------------------------------------ the answer

    def _serve(
        self,
        entry: int,
        score: float,
        threshold: float,
        *,
        row: int | None = None,
        kind: str = EXACT,
        relaxed: bool = False,
    ) -> Hit | None:
        engine, question, trace = self._engine, self._question, self._trace
        began = time.perf_counter_ns()
        fetched = self._fetch(entry, exact=row is not None)
        trace.times_ns["fetch"] = time.perf_counter_ns() - began
        stored, body = fetched.stored, fetched.body
        if stored is None or body is None:
            # By now the row may be another entry's, of which nothing was said.
            if row is None or engine.index.exact.get(question.digest) == row:
                self._drop(entry, fetched.fault)
            return None
        if kind == VERIFIED and not self._is_verified(body):
            return None
        self._now = now = engine.now_us()
        fresh, end = lifetime_us(
            question.category,
            stored.created_us,
            stored.expires_us,
            own_ttl=stored.own_ttl or stored.negative,
            relaxation=self._relaxation,
        )
        if now >= min(stored.until_us, end + question.category.swr_us):
            self._reasons.append("expired")
            return None
        stale = now >= end
        drawn = self._draw(kind, relaxed) if not stored.negative else 0.0
        trace.tier = NEGATIVE if stored.negative else kind
        return Hit(
            data=body.value,
            content_type=body.content_type,
            kind=trace.tier,
            score=score,
            threshold=threshold,
            age=max(0.0, (now - stored.created_us) / 1e6),
            entry=entry,
            category=question.category.name,
            told=(self._sequence, entry, score, drawn),
            id=trace.id,
            stale=stale,
            relaxed=relaxed or (now >= fresh and not stale),
            audit=drawn > 0.0,
            refresh=stale and engine.lease(entry),
            saved=_saved(stored),
            meta_json=body.meta,
        )

    def _fetch(self, entry: int, *, exact: bool) -> Fetched:
        row = self._engine.row
        try:
            with self._engine.store.environment.read() as transaction:
                return fetch_entry(
                    *(transaction, row.number, row.secret, entry, self._question),
                    exact=exact,
                    floor=self._engine.floor_in(transaction),
                )
        except DataCorruption:
            return Fetched(REPAIR)  # a damaged answer is no answer; `vecdb check` will name it

    def _drop(self, entry: int, fault: str) -> None:
        """What the tables do not confirm is taken out of the index."""
        engine = self._engine
        self._reasons.append(fault)
        engine.index.kill(entry)
        if engine.store.read_only:
            engine.index.free(entry)
        else:
            engine.reclaim.append(entry)
        engine.tally.add(
            self._question.category.name, "invalidated" if fault == FLOOR else "repairs"
        )

    def _is_verified(self, body: Body) -> bool:
        asked, stored = self._question.prompt, body.prompt.decode("utf-8", "replace")
        if self._verify is None or not asked or not stored:
            self._reasons.append("grey")
            return False
        if self._verify(asked, stored, body.value):
            return True
        self._reasons.append("grey")
        return False

    def _draw(self, kind: str, relaxed: bool) -> float:
        """The probability with which this hit was drawn for an audit; 0.0: it was not."""
        if kind == EXACT or self._quiet:
            return 0.0
        pool = self._engine.pool_of(self._question.category)
        if pool is not None:
            drawn = pool.audit_probability(relaxed=relaxed)
        else:
            drawn = self._question.category.audit_floor if relaxed else 0.0
        return drawn if self._engine.chance.random() < drawn else 0.0

    # ----------------------------------------------------------------------------- the record

    def _why(self) -> str:
        """The reason of a miss: that of the candidate that came closest to being served."""
        for reason in (FLOOR, "expired", "guard", "grey", "required", REPAIR, "below"):
            if reason in self._reasons:
                return reason
        return self._reasons[-1] if self._reasons else "empty"

    def _times(self) -> dict[str, int]:
        """What the statistics of times get: of one lookup in ``TIMED``, since adding takes 3 us."""
        return self._trace.times_ns if self._trace.id % TIMED == 1 else _NO_TIMES

    def _hit(self, hit: Hit) -> Lookup:
        self._trace.outcome = "hit"
        if not self._quiet:
            self._engine.traces.append(self._trace)
            self._engine.tally.note_hit(hit.category, hit, self._times())
        return Lookup(hit=hit, reason="", nearest_score=hit.score, told=hit.told, id=hit.id)

    def _miss(self, reason: str) -> Lookup:
        trace = self._trace
        trace.outcome = reason
        entry, score = trace.nearest
        nearest = score if entry >= 0 else None
        if not self._quiet:
            self._engine.traces.append(trace)
            self._engine.tally.note_miss(trace.category, reason, nearest, self._times())
        return Lookup(
            hit=None,
            reason=reason,
            nearest_score=nearest,
            told=(self._sequence, entry, score, 0.0),
            id=trace.id,
        )


def _saved(stored: Entry) -> Saved:
    return Saved(tokens=stored.tokens, money=stored.money, seconds=stored.seconds)
