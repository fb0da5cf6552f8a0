"""What a cache may do: categories with thresholds, lifetimes, quotas and error budgets.

A policy is a document: validated as a whole before anything changes, versioned, replaced by one
assignment. Thresholds are cosine similarities in (0, 1]: higher is stricter. 0 is an error, not
"accept all"; absent means the default of the category, never "off".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VETO, GREY, OFF = "veto", "grey", "off"
GUARDS = ("numbers", "negation", "order", "entities", "overlap")
DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """The largest share of wrong answers: of all lookups (``per`` "query") or of all hits ("hit").

    ``most``: what it may grow to while a model is overloaded.
    """

    value: float
    per: str = "query"
    most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """Times in seconds. Validated by ``policy_parse``, which alone makes them.

    - ``threshold``, ``threshold_min``: least similarity of a hit; nothing relaxes it below the min
    - ``ttl``, ``ttl_max``: how long an answer is fresh; nothing extends it beyond the max
    - ``jitter``: lifetimes are shortened by a random share up to this one
    - ``quota``: share of the capacity; unused room is lent, and taken back first
    - ``adaptive``, ``relax_threshold``, ``relax_ttl``: what full load takes from the threshold, and
      adds to the lifetime as a share of it
    - ``error_budget``: the threshold is learned, and closed until there is evidence
    - ``swr``: how long after its lifetime an answer may be served as stale
    - ``negative_ttl``: lifetime of "there is no answer"
    - ``guards``: name -> veto, grey or off; ``guards_required``: no hit without a prompt to guard
    """

    name: str
    allow_caching: bool = True
    threshold: float = 0.90
    threshold_min: float = 0.90
    threshold_grey: float | None = None
    ttl: float = DAY
    ttl_max: float = DAY
    jitter: float = 0.10
    quota: float = 0.0
    priority: float = 0.5
    adaptive: bool = False
    relax_threshold: float = 0.0
    relax_ttl: float = 0.0
    error_budget: ErrorBudget | None = None
    audit_floor: float = 0.05
    swr: float = 0.0
    negative_ttl: float = 30.0
    compliance: tuple[str, ...] = ()
    guards: Mapping[str, str] = field(default_factory=dict)
    guards_required: bool = False
    fold_case: bool = False
    store_prompt: bool = True
    doorkeeper: bool = False
    auto_off: bool = True
    wrong_cost: float = 0.0

    @property
    def swr_us(self) -> int:
        return round(self.swr * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A model is loaded from ``start`` on, fully at ``full``; ``fall`` seconds to recover."""

    start: float = 0.7
    full: float = 1.0
    smooth: float = 30.0
    fall: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``document`` is what it was made from, complete: ``policy_parse.parse_policy`` reads it."""

    version: int
    encoder: str
    entries: int
    bytes: int
    tenant_quota: float
    scope: tuple[str, ...]
    error_budget: ErrorBudget | None
    hnsw_above: int
    lease: float
    grace: float
    break_even_window: float
    price_per_token: float
    load: Load
    categories: Mapping[str, Category]
    document: Mapping[str, Any]

    def budget_of(self, category: Category) -> tuple[str, ErrorBudget] | None:
        """The pool that the category learns in, and its budget; None: its threshold is given."""
        if category.error_budget is not None:
            return f"category:{category.name}", category.error_budget
        return None if self.error_budget is None else ("cache", self.error_budget)
