"""What a cache says of itself. No prompt, no answer and no vector is in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..errors import InvalidArgument, NotFound
from ..storage.caches import get_cache_state
from .change import cache_gone
from .economics import break_even, interval
from .engine import TRACES, Engine
from .policy import Category
from .tally import BINS

OVER_ISOLATED = 0.5
"""More partitions than this an entry: scopes are so fine that nobody meets an answer."""


def report(engine: Engine) -> dict[str, Any]:
    """By category and in all; counts since the cache was made.

    Times are of this process, and of one lookup in ``lookup.TIMED``.
    """
    with engine.store.environment.read() as transaction:
        state = get_cache_state(transaction, engine.row.number)
    if state is None:
        raise cache_gone(engine.row.name)
    index, tally = engine.index, engine.tally
    with tally.lock:
        stages = {name: one.report() for name, one in tally.stages.items() if one.count}
    names = sorted({*engine.policy.categories, *tally.categories})
    entries, partitions = len(index), len(index.partitions)
    return {
        "name": engine.row.name,
        "dim": engine.row.dim,
        "policy_version": engine.policy.version,
        "encoder": engine.policy.encoder,
        "entries": entries,
        "capacity_entries": engine.policy.entries,
        "stored_entries": state.entries,
        "stored_bytes": state.bytes,
        "capacity_bytes": engine.policy.bytes,
        "memory_bytes": index.nbytes,
        "waiting_for_deletion": len(engine.reclaim),
        "partitions": partitions,
        "over_isolated": entries >= 100 and partitions > OVER_ISOLATED * entries,
        "graphs": sorted(
            {one.view.graph.name for one in index.partitions.values() if one.view.graph is not None}
        ),
        "waiting_callers": engine.flights.waiting,
        "load": engine.loads.table(engine.policy.load),
        "latency": stages,
        "pools": {name: pool.report() for name, pool in engine.pools.items()},
        "categories": {name: _category(engine, name) for name in names},
    }


def _category(engine: Engine, name: str) -> dict[str, Any]:
    tally = engine.tally
    with tally.lock:
        row = tally.of(name)
        counts = asdict(row)
        hits = row.hit_count
    category = engine.policy.categories.get(name)
    group = engine.index.categories.get(name)
    low, high = interval(hits, row.lookups)
    audited = row.audits_right + row.audits_wrong
    wrong_low, wrong_high = interval(row.audits_wrong, audited)
    nearest = counts.pop("nearest")
    found: dict[str, Any] = {
        **counts,
        "entries": 0 if group is None else group.count,
        "bytes": 0 if group is None else group.bytes,
        "hit_rate": hits / row.lookups if row.lookups else 0.0,
        "hit_rate_interval": [low, high],
        "audited_wrong": row.audits_wrong / audited if audited else None,
        "audited_wrong_interval": [wrong_low, wrong_high] if audited else None,
        "nearest_of_misses": {
            f"{(50 + place) / 100:.2f}": nearest[place] for place in range(BINS) if nearest[place]
        },
    }
    if category is not None:
        found |= _in_force(engine, category)
        switch = engine.switches.get(name)
        even = break_even(tally, name, switch)
        found["break_even"] = {
            "vector_tier_off": switch is not None and switch.off,
            "hit_rate": even.rate,
            "interval": [even.low, even.high],
            "needed": even.needed,
        }
        money = row.money_saved + row.tokens_saved * engine.policy.price_per_token
        wrong = row.audits_wrong / audited if audited else 0.0
        found["saved"] = {
            "tokens": row.tokens_saved,
            "seconds": row.seconds_saved,
            "money": money,
            "money_less_wrong_answers": money - hits * wrong * category.wrong_cost,
        }
    return found


def _in_force(engine: Engine, category: Category) -> dict[str, Any]:
    """The threshold that counts now, and why."""
    budget = engine.policy.budget_of(category)
    threshold = engine.threshold_of(category)
    if not category.allow_caching:
        return {"threshold": None, "threshold_by": "caching is not allowed"}
    if budget is None:
        return {"threshold": threshold, "threshold_by": "policy"}
    closed = threshold > 1.0
    return {
        "threshold": None if closed else threshold,
        "threshold_by": f"error budget of {budget[0]}" + (", closed" if closed else ""),
    }


def explain(engine: Engine, number: int) -> dict[str, Any]:
    """One of the latest lookups."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidArgument("a lookup is named by its id", field="lookup")
    for trace in reversed(list(engine.traces)):
        if trace.id == number:
            return {
                "id": trace.id,
                "category": trace.category,
                "outcome": trace.outcome,
                "tier": trace.tier or None,
                "partition_entries": trace.partition,
                "threshold": trace.threshold,
                "relaxation": trace.relaxation,
                "candidates": [
                    {"entry": entry, "score": score, "verdict": verdict}
                    for entry, score, verdict in trace.candidates
                ],
                "times_us": {stage: ns / 1e3 for stage, ns in trace.times_ns.items()},
            }
    raise NotFound(
        f"lookup {number} is not among the last {TRACES}",
        field="lookup",
        reason="NO_LOOKUP",
    )
