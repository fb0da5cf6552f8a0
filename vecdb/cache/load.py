"""How loaded the models are: what relaxes thresholds and lifetimes, within their bounds.

The load of a model is a mean over ``Load.smooth`` seconds of what is reported. Relaxation rises at
once with it and falls slowly, over ``Load.fall`` seconds from full to none: so it does not flicker
where the load hovers about the limit.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import InvalidArgument
from .policy import Category, Load

_MODELS = 1_024
_FORGET = 600.0
"""Seconds after which a model of which nothing is heard counts as idle."""


@dataclass(slots=True)
class _Model:
    mean: float
    at: float
    relaxation: float
    relaxed_at: float


def load_of(
    *,
    load: float | None = None,
    inflight: float | None = None,
    limit: float | None = None,
    queue_wait: float | None = None,
    slo: float | None = None,
    p95: float | None = None,
    p95_target: float | None = None,
) -> float:
    """The largest of the pressures that are told: 1 is all that the model is meant to take."""
    told = [] if load is None else [_checked("load", load)]
    for name, part, whole_name, whole in (
        ("inflight", inflight, "limit", limit),
        ("queue_wait", queue_wait, "slo", slo),
        ("p95", p95, "p95_target", p95_target),
    ):
        if (part is None) != (whole is None):
            raise InvalidArgument(
                f"{name} and {whole_name} belong together: give both",
                field=whole_name if whole is None else name,
            )
        if part is not None and whole is not None:
            if not _checked(whole_name, whole) > 0.0:
                raise InvalidArgument(f"{whole_name} must be above 0", field=whole_name)
            told.append(_checked(name, part) / whole)
    if not told:
        raise InvalidArgument(
            "tell the load: load=, or inflight= and limit=, queue_wait= and slo=, "
            "p95= and p95_target=",
            field="load",
        )
    return max(told)


class Loads:
    """The load of each model, by name. Safe for any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._models: dict[str, _Model] = {}  # Guarded by self._lock.

    def report(self, model: str, load: float, config: Load) -> float:
        """Take a report in; the relaxation from 0 to 1 that follows."""
        now = self._clock()
        with self._lock:
            known = self._models.get(model)
            if known is None:
                if len(self._models) >= _MODELS:
                    del self._models[min(self._models, key=lambda one: self._models[one].at)]
                known = self._models[model] = _Model(load, now, 0.0, now)
            else:
                share = 1.0 - math.exp(-max(0.0, now - known.at) / config.smooth)
                known.mean += share * (load - known.mean)
                known.at = now
            wanted = (known.mean - config.start) / (config.full - config.start)
            fallen = self._fallen(known, now, config)
            known.relaxation = max(fallen, min(1.0, max(0.0, wanted)))
            known.relaxed_at = now
            return known.relaxation

    def relaxation(self, model: str, config: Load) -> float:
        """From 0, none, to 1, full."""
        if not self._models:
            return 0.0
        now = self._clock()
        with self._lock:
            known = self._models.get(model)
            return 0.0 if known is None else self._fallen(known, now, config)

    def table(self, config: Load) -> dict[str, dict[str, float]]:
        with self._lock:
            now = self._clock()
            return {
                name: {"load": one.mean, "relaxation": self._fallen(one, now, config)}
                for name, one in self._models.items()
                if now - one.at < _FORGET
            }

    def _fallen(self, known: _Model, now: float, config: Load) -> float:
        passed = max(0.0, now - known.relaxed_at)
        still = known.mean >= config.start and now - known.at < config.smooth
        return known.relaxation if still else max(0.0, known.relaxation - passed / config.fall)


def relaxed_threshold(category: Category, threshold: float, relaxation: float) -> float:
    """The threshold under load: never below the category's least."""
    if not category.adaptive or relaxation == 0.0:
        return threshold
    return max(category.threshold_min, threshold - relaxation * category.relax_threshold)


def lifetime_us(
    category: Category,
    created_us: int,
    expires_us: int,
    *,
    own_ttl: bool,
    relaxation: float,
) -> tuple[int, int]:
    """(end of the lifetime, the same under load): microseconds since 1970.

    A policy that shortens lifetimes does so for what is stored already; one that lengthens them
    does not. A lifetime that was given with the answer is not extended.
    """
    longest = created_us + round(category.ttl_max * 1e6)
    if own_ttl:
        end = min(expires_us, longest)
        return end, end
    end = min(expires_us, created_us + round(category.ttl * 1e6))
    if not category.adaptive or relaxation == 0.0:
        return end, end
    extended = created_us + round((end - created_us) * (1.0 + category.relax_ttl * relaxation))
    return end, max(end, min(longest, extended))


def _checked(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e9:
        raise InvalidArgument(f"{name} must be a number, 0 or more", field=name)
    return float(value)
