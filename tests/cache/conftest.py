"""Databases with a clock that stands still, small caches, and questions near each other."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.testing.clock import ManualClock

DIM = 32
SCOPE = {"tenant": "acme", "model": "m1"}


class Questions:
    """Vectors at a given cosine from each other."""

    def __init__(self, seed: int = 0, dim: int = DIM) -> None:
        self._rng = np.random.default_rng(seed)
        self.dim = dim

    def new(self) -> np.ndarray:
        vector = self._rng.standard_normal(self.dim)
        return vector / np.linalg.norm(vector)

    def near(self, vector: np.ndarray, cosine: float) -> np.ndarray:
        other = self.new()
        other -= (other @ vector) * vector
        other /= np.linalg.norm(other)
        return cosine * vector + np.sqrt(1 - cosine**2) * other


@pytest.fixture
def questions():
    return Questions()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def db(path, clock):
    with vecdb.open(path, clock=clock, threads=1) as opened:
        yield opened


def category(**values):
    return {
        "threshold": 0.9,
        "threshold_min": 0.8,
        "ttl": 100,
        "ttl_max": 100,
        "jitter": 0,
    } | values


@pytest.fixture
def make_cache(db):
    """A cache of one category, ``faq``, whose policy has ``values``, and the rest ``top``."""

    def make(name="answers", top=None, handle=None, **values):
        policy = {"category": {"faq": category(quota=1.0, **values)}} | (top or {})
        db.create_cache(name, dim=DIM, policy=policy)
        return db.cache(name, **(handle or {}))

    return make
