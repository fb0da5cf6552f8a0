"""What the cache counts of itself: by category, in plain numbers, with one short lock a lookup."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

BINS = 51
"""Of the histogram of similarities of misses: below 0.51, then a hundredth each."""
_SLOTS = 40
STAGES = ("exact", "ring", "vector", "fetch", "lookup", "embed", "compute")


class Latency:
    """Times of one stage in slots that double every second one: p50 and p99 within 25 %."""

    __slots__ = ("count", "slots", "total_ns")

    def __init__(self) -> None:
        self.slots = [0] * (2 * _SLOTS)
        self.count = 0
        self.total_ns = 0

    def add(self, ns: int) -> None:
        bits = ns.bit_length()
        half = (ns >> max(0, bits - 2)) & 1
        self.slots[min(2 * bits + half, 2 * _SLOTS - 1)] += 1
        self.count += 1
        self.total_ns += ns

    def mean_seconds(self) -> float:
        return self.total_ns / self.count / 1e9 if self.count else 0.0

    def quantile_us(self, share: float) -> float | None:
        if not self.count:
            return None
        wanted = share * self.count
        for slot, count in enumerate(self.slots):
            wanted -= count
            if wanted <= 0.0:
                low = 1 << max(0, slot // 2 - 1)
                return (low * (1.25 if slot % 2 == 0 else 1.75)) / 1e3
        return None

    def report(self) -> dict[str, float | int | None]:
        return {
            "count": self.count,
            "p50_us": self.quantile_us(0.5),
            "p99_us": self.quantile_us(0.99),
            "mean_us": self.mean_seconds() * 1e6,
        }


@dataclass(slots=True)
class CategoryTally:
    """Totals since the cache was made, but for the latencies, which are this process's."""

    lookups: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    nearest: list[int] = field(default_factory=lambda: [0] * BINS)
    stale: int = 0
    relaxed: int = 0
    audits_asked: int = 0
    audits_right: int = 0
    audits_wrong: int = 0
    complaints: int = 0
    praise: int = 0
    coalesced: int = 0
    computed: int = 0
    failed: int = 0
    stored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    evicted: int = 0
    expired: int = 0
    invalidated: int = 0
    repairs: int = 0
    unguarded: int = 0
    probes: int = 0
    probe_hits: int = 0
    tokens_saved: int = 0
    money_saved: float = 0.0
    seconds_saved: float = 0.0
    compute_seconds: float = 0.0
    compute_count: int = 0

    @property
    def hit_count(self) -> int:
        """Hits that answered: those that say that there is no answer save nothing."""
        return sum(count for kind, count in self.hits.items() if kind != "negative")


class Tally:
    """Of one cache. Safe for any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.categories: dict[str, CategoryTally] = {}  # Guarded by self.lock.
        self.stages = {stage: Latency() for stage in STAGES}  # Guarded by self.lock.

    def of(self, category: str) -> CategoryTally:
        """The row of a category; take ``lock`` before."""
        found = self.categories.get(category)
        if found is None:
            found = self.categories[category] = CategoryTally()
        return found

    def add(self, category: str, name: str, number: float = 1) -> None:
        """Count one thing of a category."""
        with self.lock:
            row = self.of(category)
            setattr(row, name, getattr(row, name) + number)

    def refuse(self, category: str, reason: str) -> None:
        with self.lock:
            refused = self.of(category).refused
            refused[reason] = refused.get(reason, 0) + 1

    def note_miss(
        self, category: str, reason: str, nearest: float | None, times: dict[str, int]
    ) -> None:
        with self.lock:
            row = self.of(category)
            row.lookups += 1
            row.misses[reason] = row.misses.get(reason, 0) + 1
            if nearest is not None:
                row.nearest[min(BINS - 1, max(0, int(100.0 * nearest + 1e-3) - 50))] += 1
            for stage, ns in times.items():
                self.stages[stage].add(ns)

    def note_hit(self, category: str, hit: Any, times: dict[str, int]) -> None:
        with self.lock:
            row = self.of(category)
            row.lookups += 1
            row.hits[hit.kind] = row.hits.get(hit.kind, 0) + 1
            row.stale += hit.stale
            row.relaxed += hit.relaxed
            row.audits_asked += hit.audit
            if hit.kind != "negative":
                row.tokens_saved += hit.saved.tokens
                row.money_saved += hit.saved.money
                row.seconds_saved += hit.saved.seconds
            for stage, ns in times.items():
                self.stages[stage].add(ns)

    def note_compute(self, category: str, seconds: float) -> None:
        with self.lock:
            row = self.of(category)
            row.compute_count += 1
            row.compute_seconds += seconds

    def to_bytes(self) -> bytes:
        """The totals; latencies begin anew in each process."""
        with self.lock:
            rows = {
                name: {field: getattr(row, field) for field in CategoryTally.__slots__}
                for name, row in self.categories.items()
            }
            return json.dumps(rows, separators=(",", ":")).encode()

    def load(self, stored: bytes) -> None:
        """Go on with what ``to_bytes`` gave; fields of another version are passed over."""
        rows = json.loads(stored)
        with self.lock:
            for name, values in rows.items():
                fields = {key: one for key, one in values.items() if key in CategoryTally.__slots__}
                self.categories[name] = CategoryTally(**fields)
