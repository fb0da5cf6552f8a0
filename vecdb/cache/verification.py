"""Thresholds that are learned, so that wrong answers stay within a budget that is measured.

An observation is (similarity s, whether the stored answer was right, weight w) of the nearest
entry of a lookup. Every miss whose fresh answer comes back is one, with w = 1; a hit is audited
with probability a and counts 1/a; a complaint counts 5. Over the last ``RING`` of them

    E(t) = sum of w of the wrong at s >= t / sum of all w        (per "hit": / sum of w at s >= t)
    n    = (sum w)^2 / sum w^2
    U(t) = (E + z^2/2n + z sqrt(E(1-E)/n + z^2/4n^2)) / (1 + z^2/n)         (Wilson, one-sided 95 %)

and the threshold is the lowest t of a grid at and above which U stays within the budget; where
there is none the pool is closed. Every bound is relative to who judges. Beyond that rule:

1. *Hot audits*: a = clip(200 / (1 + hits), floor, 1): many while little is known.
2. *Step*: the threshold falls by at most 0.01 a computation, and rises at once.
3. *Ledger*: what was served is counted too. With E the sum of 1/a and V of 1/a^2 over audited
   wrong hits, (E + z sqrt(V) + [E > 0] z^2/2a) / lookups bounds the share that went wrong, over
   all lookups and over the latest; above the budget the threshold rises at each computation and
   may not fall.

It holds the budget in 95 % of cases as long as questions come from one mixture; it is no bound at
every moment. See docs/decisions for what it did on real streams.
"""

from __future__ import annotations

import math
import struct
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .policy import ErrorBudget

RING = 4_000
Z = 1.64
GRID_LOW, GRID_STEP = 0.70, 0.01
CLOSED = 1.01
"""A threshold that nothing reaches: only the exact tier answers."""
EVERY = 100
"""Lookups between two computations."""
HOT_AUDITS = 200
COMPLAINT = 5.0
WINDOW = 50_000
"""Lookups of the ledger's shorter memory."""
RELAXED_AUDITS = 5.0

_GRID = np.round(np.arange(GRID_LOW, 1.0 + GRID_STEP / 2, GRID_STEP), 2)
_HEAD = struct.Struct("<4sd3q8d")
_MAGIC = b"VPL1"
_OBSERVATION = np.dtype([("score", "<f4"), ("right", "u1"), ("weight", "<f4")])


@dataclass(slots=True)
class _Ledger:
    """Audited wrong hits over some lookups."""

    wrong: float = 0.0
    variance: float = 0.0
    lookups: int = 0

    def bound(self, drawn: float) -> float:
        if self.lookups == 0:
            return 0.0
        extra = Z * Z / (2.0 * drawn) if self.wrong > 0.0 else 0.0
        return (self.wrong + Z * math.sqrt(self.variance) + extra) / self.lookups


class Pool:
    """What one pool of categories has learned. Safe for any thread.

    ``threshold`` is read without a lock: one float, replaced by one assignment.
    """

    def __init__(self, budget: ErrorBudget, audit_floor: float) -> None:
        self.budget = budget
        self.audit_floor = audit_floor
        self.threshold = CLOSED
        self.strict = CLOSED  # what it would be without load
        self._lock = threading.Lock()
        self._ring = np.zeros(RING, _OBSERVATION)  # Guarded by self._lock, as all that follows.
        self._seen = 0
        self._lookups = 0
        self._computed_at = 0
        self._hits_since_restart = 0
        self._all, self._now, self._before = _Ledger(), _Ledger(), _Ledger()
        self._audits = 0
        self._allowed = budget.value

    # ------------------------------------------------------------------------ from the request

    def note_lookup(self) -> None:
        """One more lookup, hit or miss."""
        with self._lock:
            self._lookups += 1
            for ledger in (self._all, self._now):
                ledger.lookups += 1
            if self._now.lookups >= WINDOW:
                self._before, self._now = self._now, _Ledger()

    def audit_probability(self, *, relaxed: bool) -> float:
        """How likely a hit is audited; counts the hit."""
        with self._lock:
            self._hits_since_restart += 1
            hot = HOT_AUDITS / (1.0 + self._hits_since_restart)
            drawn = min(1.0, max(self.audit_floor, hot))
            return min(1.0, RELAXED_AUDITS * drawn) if relaxed else drawn

    # ----------------------------------------------------------------------------- from labels

    def observe(self, score: float, right: bool, weight: float = 1.0) -> None:
        """A label of the nearest entry of a lookup."""
        with self._lock:
            self._ring[self._seen % RING] = (score, right, weight)
            self._seen += 1
        self.compute_if_due()

    def audit(self, score: float, right: bool, drawn: float) -> None:
        """The verdict about a hit that was drawn with probability ``drawn``."""
        with self._lock:
            self._audits += 1
            if not right:
                for ledger in (self._all, self._now):
                    ledger.wrong += 1.0 / drawn
                    ledger.variance += 1.0 / (drawn * drawn)
        self.observe(score, right, 1.0 / drawn)

    def complain(self, score: float) -> None:
        """Somebody says that a hit was wrong."""
        self.observe(score, False, COMPLAINT)

    def calibrate(self, observations: list[tuple[float, bool]]) -> None:
        """Labelled pairs from elsewhere, of the questions that will be asked: (similarity, right).

        The threshold may come down to where they say, at once.
        """
        with self._lock:
            for score, right in observations:
                self._ring[self._seen % RING] = (score, right, 1.0)
                self._seen += 1
        self.compute(free=True)

    def restart(self) -> None:
        """Audit much again: policy, encoder or judge have changed."""
        with self._lock:
            self._hits_since_restart = 0

    def allow(self, budget: ErrorBudget, relaxation: float) -> None:
        """Under load the budget moves towards its most."""
        most = budget.value if budget.most is None else budget.most
        self.budget = budget
        allowed = budget.value + relaxation * (most - budget.value)
        if allowed != self._allowed:
            self._allowed = allowed
            self.compute()

    # -------------------------------------------------------------------------------- the rule

    def compute_if_due(self) -> None:
        if self.threshold >= CLOSED or self._lookups - self._computed_at >= EVERY:
            self.compute()

    def compute(self, *, free: bool = False) -> None:
        """Take the threshold that follows from what was seen."""
        with self._lock:
            due = self._lookups - self._computed_at >= EVERY
            self._computed_at = self._lookups if due else self._computed_at
            wanted = self._wanted(self._allowed)
            now = self.threshold
            if self._overspent():
                if due:
                    wanted = max(wanted, min(CLOSED, now + GRID_STEP))
                wanted = max(wanted, now)
            elif wanted < now < CLOSED and not free:
                wanted = max(wanted, now - GRID_STEP) if due else now
            self.threshold = round(wanted, 2)
            self.strict = self.threshold
            if self._allowed > self.budget.value:
                self.strict = max(self.threshold, self._wanted(self.budget.value))

    def _wanted(self, allowed: float) -> float:
        seen = self._ring[: min(self._seen, RING)]
        bounds = error_bounds(seen, per_hit=self.budget.per == "hit")
        fits = bounds <= allowed
        # U(t) must hold at every stricter threshold that has evidence too.
        held = np.flatnonzero(fits)
        if not len(held):
            return CLOSED
        lowest = len(fits) - 1
        if not fits[lowest]:
            lowest = int(held[-1])
        while lowest > 0 and fits[lowest - 1]:
            lowest -= 1
        return float(_GRID[lowest])

    def _overspent(self) -> bool:
        """Whether what was served went wrong more often than the budget allows."""
        drawn = min(1.0, max(self.audit_floor, HOT_AUDITS / (1.0 + self._hits_since_restart)))
        recent = _Ledger(
            self._now.wrong + self._before.wrong,
            self._now.variance + self._before.variance,
            self._now.lookups + self._before.lookups,
        )
        return max(self._all.bound(drawn), recent.bound(drawn)) > self._allowed

    def threshold_for(self, budget: ErrorBudget) -> float:
        """What would follow from the same observations under another budget."""
        with self._lock:
            return self._wanted(budget.value)

    def observations(self) -> NDArray[Any]:
        """A copy of what was seen last."""
        with self._lock:
            return self._ring[: min(self._seen, RING)].copy()

    # -------------------------------------------------------------------------- what it can say

    def report(self) -> dict[str, Any]:
        """The threshold in force, why, and what was measured; both kinds of share."""
        with self._lock:
            seen = self._ring[: min(self._seen, RING)]
            at = int(np.searchsorted(_GRID, self.threshold - 1e-9))
            closed = self.threshold >= CLOSED
            shares = {
                f"error_bound_per_{name}": None
                if closed or not len(seen)
                else float(error_bounds(seen, per_hit=name == "hit")[min(at, len(_GRID) - 1)])
                for name in ("query", "hit")
            }
            return {
                "threshold": None if closed else self.threshold,
                "closed": closed,
                "confidence": 0.95,
                "budget": self.budget.value,
                "budget_in_force": self._allowed,
                "per": self.budget.per,
                "observations": int(self._seen),
                "audits": self._audits,
                "audited_wrong_estimate": self._all.wrong,
                "ledger_bound": self._all.bound(max(self.audit_floor, 1e-9)),
                "overspent": self._overspent(),
                "lookups": self._lookups,
                **shares,
            }

    def to_bytes(self) -> bytes:
        with self._lock:
            ledgers = (self._all, self._now, self._before)
            numbers = [
                value for one in ledgers for value in (one.wrong, one.variance, float(one.lookups))
            ]
            head = _HEAD.pack(
                *(_MAGIC, self.threshold, self._seen, self._lookups, self._hits_since_restart),
                *numbers[:8],
            )
            tail = struct.pack("<2d", numbers[8], float(self._audits))
            return head + tail + self._ring[: min(self._seen, RING)].tobytes()

    def load(self, stored: bytes) -> bool:
        """Go on with what ``to_bytes`` gave; False: it is none of ours, nothing was taken."""
        tail = struct.Struct("<2d")
        if len(stored) < _HEAD.size + tail.size or stored[:4] != _MAGIC:
            return False
        ring = np.frombuffer(stored, np.uint8, offset=_HEAD.size + tail.size)
        if len(ring) % _OBSERVATION.itemsize or len(ring) > RING * _OBSERVATION.itemsize:
            return False
        _, threshold, seen, lookups, hits, *numbers = _HEAD.unpack_from(stored)
        numbers += tail.unpack_from(stored, _HEAD.size)
        with self._lock:
            self.threshold, self._seen, self._lookups = threshold, seen, lookups
            self.strict = threshold
            self._computed_at, self._hits_since_restart = lookups, hits
            made = [_Ledger(numbers[at], numbers[at + 1], int(numbers[at + 2])) for at in (0, 3, 6)]
            self._all, self._now, self._before = made
            self._audits = int(numbers[9])
            self._ring[: len(ring) // _OBSERVATION.itemsize] = ring.view(_OBSERVATION)
        return True


def error_bounds_at(pool: Pool, threshold: float) -> dict[str, float]:
    """The bounds, of all lookups and of hits, if ``threshold`` were in force."""
    seen = pool.observations()
    at = min(int(np.searchsorted(_GRID, threshold - 1e-9)), len(_GRID) - 1)
    return {
        f"per_{name}": float(error_bounds(seen, per_hit=name == "hit")[at])
        for name in ("query", "hit")
    }


def error_bounds(seen: NDArray[Any], *, per_hit: bool) -> NDArray[np.float64]:
    """U(t) for each t of the grid; 1.0 where nothing was seen."""
    if not len(seen):
        return np.ones(len(_GRID))
    place = np.floor((seen["score"].astype(np.float64) + 1e-6 - GRID_LOW) / GRID_STEP)
    place = np.clip(place, -1, len(_GRID) - 1).astype(np.int64) + 1  # 0: below the grid
    weight = seen["weight"].astype(np.float64)

    def above(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(place, values, len(_GRID) + 1)
        summed: NDArray[np.float64] = np.cumsum(sums[::-1])[::-1][1:].astype(np.float64)
        return summed

    wrong = above(weight * (seen["right"] == 0))
    total, squares = weight.sum(), (weight * weight).sum()
    if per_hit:
        whole, square = above(weight), above(weight * weight)
    else:
        whole, square = np.full(len(_GRID), total), np.full(len(_GRID), squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(whole > 0.0, wrong / whole, 0.0)
        n = np.where(square > 0.0, whole * whole / square, 0.0)
        bound = (
            error + Z * Z / (2 * n) + Z * np.sqrt(error * (1 - error) / n + Z * Z / (4 * n * n))
        ) / (1 + Z * Z / n)
    return np.where(n > 0.0, bound, 1.0)
