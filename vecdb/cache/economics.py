"""Does a category pay? Its measured hit rate against the one at which looking costs what it saves.

With T the seconds that computing an answer takes, e embedding, s searching and f fetching,

    saving = h (T - f) - (e + s),  so it pays from  h* = (e + s) / (T - f)  on.

Where the whole 95 % interval of h has stayed below h* for a while, the vector tier of the category
is switched off: the exact tier costs microseconds and stays. One lookup of a hundred still goes
through it; when those find enough, it is switched on again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .tally import CategoryTally, Tally

Z = 1.96
LEAST_LOOKUPS = 200
PROBE = 100


@dataclass(slots=True)
class Switch:
    """Of one category; read by lookups, written by whoever keeps the house.

    ``below_since``: seconds since 1970, None: it pays.
    """

    off: bool = False
    below_since: float | None = None
    lookups: int = 0
    hits: int = 0
    probes: int = 0
    probe_hits: int = 0
    turn: int = 0

    def lets_through(self) -> bool:
        """Whether the next lookup may go to the vector tier; off, one of ``PROBE``."""
        if not self.off:
            return True
        self.turn += 1
        return self.turn % PROBE == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """``rate`` and ``low``..``high``: hits measured; ``needed``: h*, None: T is not known."""

    lookups: int
    rate: float
    low: float
    high: float
    needed: float | None


def interval(hits: int, lookups: int) -> tuple[float, float]:
    """Wilson's, two-sided 95 %."""
    if lookups == 0:
        return 0.0, 1.0
    share, z = hits / lookups, Z
    middle = share + z * z / (2 * lookups)
    reach = z * math.sqrt(share * (1 - share) / lookups + z * z / (4 * lookups * lookups))
    whole = 1 + z * z / lookups
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


def needed_rate(tally: Tally, row: CategoryTally) -> float | None:
    """h*; 1.0 where looking costs more than computing."""
    if row.compute_count == 0:
        return None
    answer = row.compute_seconds / row.compute_count
    stages = tally.stages
    looking = stages["embed"].mean_seconds() + stages["vector"].mean_seconds()
    spared = answer - stages["fetch"].mean_seconds()
    return 1.0 if spared <= 0.0 else min(1.0, looking / spared)


def break_even(tally: Tally, category: str, switch: Switch | None) -> BreakEven:
    """Since the last look: of a category that is off, of its probes."""
    with tally.lock:
        row = tally.of(category)
        lookups, hits = row.lookups, row.hit_count
        if switch is not None:
            lookups -= switch.lookups
            hits -= switch.hits
            if switch.off:
                lookups, hits = row.probes - switch.probes, row.probe_hits - switch.probe_hits
        low, high = interval(hits, lookups)
        return BreakEven(
            lookups=lookups,
            rate=hits / lookups if lookups else 0.0,
            low=low,
            high=high,
            needed=needed_rate(tally, row),
        )


def decide(tally: Tally, category: str, switch: Switch, *, now: float, window: float) -> None:
    """Switch the vector tier of a category off or on, where there is evidence for it."""
    found = break_even(tally, category, switch)
    if found.needed is None or found.lookups < (20 if switch.off else LEAST_LOOKUPS):
        return
    if switch.off:
        if found.rate > found.needed:
            switch.off, switch.below_since = False, None
            _begin(tally, category, switch)
        return
    if found.high >= found.needed:
        switch.below_since = None
        _begin(tally, category, switch)
        return
    if switch.below_since is None:
        switch.below_since = now
    elif now - switch.below_since >= window:
        switch.off = True
        _begin(tally, category, switch)


def _begin(tally: Tally, category: str, switch: Switch) -> None:
    """Count anew from here."""
    with tally.lock:
        row = tally.of(category)
        switch.lookups, switch.hits = row.lookups, row.hit_count
        switch.probes, switch.probe_hits = row.probes, row.probe_hits
