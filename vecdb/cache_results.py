"""What the calls of a cache return. No numpy, no engine: the client may carry a copy.

Every score and threshold is a cosine similarity: higher is nearer, and stricter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BYPASS",
    "EXACT",
    "NEGATIVE",
    "RING",
    "VECTOR",
    "VERIFIED",
    "CacheInfo",
    "Hit",
    "Invalidation",
    "Lookup",
    "PutResult",
    "Saved",
    "ticket_text",
]

Told = tuple[int, int, float, float]
"""Sequence of the cache, nearest entry (-1: none), its score, probability of an audit."""

EXACT, RING, VECTOR, VERIFIED, NEGATIVE = "exact", "ring", "vector", "verified", "negative"
BYPASS = "bypass"


def ticket_text(told: Told) -> str:
    """The form in which a ticket travels."""
    sequence, entry, score, drawn = told
    return f"t1:{sequence}:{entry}:{score!r}:{drawn!r}"


@dataclass(slots=True, kw_only=True)
class Saved:
    """What computing the answer had cost, as it was told when it was stored."""

    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Hit:
    """An answer from the cache. (Not frozen: that would take 4 us more of each lookup's 40.)

    - ``data``, ``content_type``: the answer's bytes; ``value``: as it was given
    - ``kind``: exact, ring, vector, verified (a grey pair that a verifier accepted) or negative
      (it is known that there is no answer)
    - ``score``, ``threshold``: of the pair, and what it had to reach; exact hits have 1.0
    - ``age``: seconds since it was stored; ``stale``: past its lifetime, served while refreshed
    - ``relaxed``: only the load of the model made it a hit
    - ``audit``: please compute the answer as well, off the request's path, and ``put`` it with
      this ticket; ``refresh``: you alone are asked to compute it anew
    """

    data: bytes
    content_type: str
    kind: str
    score: float
    threshold: float
    age: float
    entry: int
    category: str
    told: Told
    id: int
    stale: bool = False
    relaxed: bool = False
    audit: bool = False
    refresh: bool = False
    saved: Saved = field(default_factory=Saved)
    meta_json: bytes = b"{}"

    @property
    def ticket(self) -> str:
        """What ``put`` of a fresh answer wants."""
        return ticket_text(self.told)

    @property
    def value(self) -> Any:
        """Text, bytes or what JSON holds; None of a negative hit."""
        if self.kind == NEGATIVE:
            return None
        if self.content_type == "application/json":
            return json.loads(self.data)
        if self.content_type.startswith("text/plain"):
            return self.data.decode()
        return self.data

    @property
    def meta(self) -> dict[str, Any]:
        """What ``put`` was given: ``meta``, ``tags`` and ``sources``."""
        meta: dict[str, Any] = json.loads(self.meta_json)
        return meta


@dataclass(slots=True, kw_only=True)
class Lookup:
    """The outcome of one lookup.

    - ``reason``: of a miss: empty, below, grey, expired, guard, floor, required, closed, off,
      bypass, repair; "" of a hit
    - ``nearest_score``: of the nearest entry that was compared; None: none was
    - ``id``: for ``explain``
    """

    hit: Hit | None
    reason: str
    nearest_score: float | None
    told: Told
    id: int

    @property
    def ticket(self) -> str:
        """What ``put`` of the fresh answer wants."""
        return ticket_text(self.told)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """Whether an answer was stored, and if not, why; a refusal is no error.

    ``reason``: "" or queued (stored, or on its way), else bypass, first_seen, quota, too_large,
    invalidated_meanwhile, busy, known (the answer that was audited is right).
    """

    stored: bool
    reason: str = ""
    entry: int | None = None
    evicted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """Entries that an invalidation took (or, dry, would take) out, and some of their numbers."""

    count: int
    samples: tuple[int, ...]
    dry_run: bool
    sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """One cache of a database."""

    name: str
    dim: int
    entries: int
    bytes: int
    policy_version: int
    scope: tuple[str, ...]
    categories: tuple[str, ...]
    created_us: int
    extra: Mapping[str, Any] = field(default_factory=dict)
