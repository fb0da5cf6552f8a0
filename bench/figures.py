"""A line of the report, and how numbers are written in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A line of the report. ``met`` is None where there is no goal."""

    what: str
    goal: str
    measured: str
    met: bool | None


def spread(values: Sequence[float], form: str) -> str:
    """Median and range."""
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def listed(values: Sequence[float | None], form: str) -> str:
    """One after the other; a dash where a curve does not reach the recall."""
    return " / ".join("-" if value is None else f"{value:{form}}" for value in values)
