"""The policy of a cache for which none was given.

Thresholds, lifetimes and quotas after "Category-Aware Semantic Caching for Heterogeneous LLM
Workloads" (arXiv 2510.26835); where it gives no number, or one that measured wrong on BANKING77 and
QQP (conversation at 0.75), ours.
"""

from __future__ import annotations

from typing import Any


def default_document() -> dict[str, Any]:
    """A fresh copy."""
    return {
        "encoder": "",
        "capacity": {"entries": 1_000_000, "bytes": "4GiB", "tenant_quota": 1.0},
        "scope": ["tenant", "model"],
        "defaults": {},
        "category": {name: dict(values) for name, values in _CATEGORIES.items()},
    }


def _row(
    threshold: float, least: float, ttl: str, ttl_max: str, quota: float, priority: float
) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "threshold_min": least,
        "ttl": ttl,
        "ttl_max": ttl_max,
        "quota": quota,
        "priority": priority,
    }


def _adaptive(threshold: float) -> dict[str, Any]:
    return {"adaptive": True, "relax_threshold": threshold, "relax_ttl": 1.0}


_CATEGORIES: dict[str, dict[str, Any]] = {
    "code": _row(0.90, 0.88, "30d", "90d", 0.35, 1.0) | _adaptive(0.02),
    "docs": _row(0.88, 0.84, "7d", "14d", 0.25, 0.9) | _adaptive(0.04),
    "faq": _row(0.85, 0.82, "1d", "3d", 0.15, 0.8) | _adaptive(0.03),
    "chat": _row(0.85, 0.82, "6h", "12h", 0.08, 0.3) | _adaptive(0.03),
    "news": _row(0.90, 0.90, "10m", "10m", 0.04, 0.4),
    "prices": _row(0.95, 0.95, "5m", "5m", 0.03, 0.4),
    "legal": _row(0.95, 0.95, "7d", "7d", 0.05, 0.6),
    "medical": _row(0.97, 0.97, "1d", "1d", 0.03, 0.6),
    "personal": {"allow_caching": False, "compliance": ["personal data"]},
}
