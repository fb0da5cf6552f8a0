"""What would another policy have done with the latest lookups? Replayed; nothing is served.

A lookup is recorded as the similarities that it compared, not as texts. So a policy that is
stricter is told exactly; one that is looser from the nearest entries alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .engine import Engine
from .lookup import Trace
from .policy import Category, Policy
from .verification import CLOSED, error_bounds_at

_LOST = ("guard", "required", "expired", "floor", "repair")
"""Reasons that no threshold changes."""


def preview(engine: Engine, candidate: Policy) -> dict[str, Any]:
    """By category: lookups, hits as they were and as they would be, and the error to expect."""
    rows: dict[str, Counter[str]] = {}
    for trace in list(engine.traces):
        row = rows.setdefault(trace.category, Counter())
        row["lookups"] += 1
        row["hits"] += trace.outcome == "hit"
        category = candidate.categories.get(trace.category)
        if category is None:
            row["unknown_category"] += 1
        else:
            row["hits_then"] += _would_hit(engine, candidate, category, trace)
    found: dict[str, Any] = {}
    for name, row in sorted(rows.items()):
        category = candidate.categories.get(name)
        threshold = None if category is None else _threshold(engine, candidate, category)
        found[name] = {
            "lookups": row["lookups"],
            "hits": row["hits"],
            "hits_then": row["hits_then"],
            "threshold_then": threshold,
            "known_then": category is not None,
            "error_bound_then": None
            if category is None or threshold is None
            else _error(engine, category, threshold),
        }
    return {"version": candidate.version, "lookups": len(engine.traces), "categories": found}


def _threshold(engine: Engine, candidate: Policy, category: Category) -> float | None:
    """What would be in force; None: nothing would be served by similarity."""
    if not category.allow_caching:
        return None
    budget = candidate.budget_of(category)
    if budget is None:
        return category.threshold
    pool = engine.pools.get(budget[0])
    learned = CLOSED if pool is None else pool.threshold_for(budget[1])
    return None if learned >= CLOSED else max(learned, category.threshold_min)


def _would_hit(engine: Engine, candidate: Policy, category: Category, trace: Trace) -> bool:
    if not category.allow_caching:
        return False
    if trace.tier in ("exact", "negative"):
        return True
    threshold = _threshold(engine, candidate, category)
    if threshold is None:
        return False
    return any(score >= threshold and reason not in _LOST for _, score, reason in trace.candidates)


def _error(engine: Engine, category: Category, threshold: float) -> dict[str, float] | None:
    pool = engine.pool_of(category)
    return None if pool is None else error_bounds_at(pool, threshold)
