"""How many of the true nearest a scan finds: on real sentences, and on clusters that are hard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.testing.scan_oracle import estimate_run
from vecdb_server import demo_data

pytestmark = pytest.mark.slow

FLOORS = {1: 0.99, 8: 0.999}
K = 10


@dataclass(frozen=True)
class Sealed:
    docs: Any
    queries: np.ndarray


def sentences():
    """Packages of Debian, embedded: 384 dimensions."""
    data = demo_data.load()
    return "cosine", "float32", data.vectors, data.queries[:400]


def directions():
    """100 dimensions, two clusters of many latent ones: as hard as vectors of words."""
    rows = _mixture(np.random.default_rng(5), 20_300, dim=100, latent=50)
    return "cosine", "float32", rows[:20_000], rows[20_000:]


def bytes_far_from_the_origin():
    """128 dimensions of uint8 under l2."""
    rows = _mixture(np.random.default_rng(6), 20_300, dim=128, latent=45)
    rows = np.clip(60 + 25 * rows, 0, 255).astype(np.uint8)
    return "l2", "uint8", rows[:20_000], rows[20_000:].astype(np.float32)


def _mixture(rng, count, *, dim, latent):
    """With fewer latent dimensions, or more clusters, a scan finds everything."""
    which = rng.integers(0, 2, count)
    centres = rng.standard_normal((2, dim))[which]
    spread = rng.standard_normal((2, latent, dim)) / np.sqrt(latent)
    inside = rng.standard_normal((count, latent))
    both = np.where(which[:, None], inside @ spread[1], inside @ spread[0])
    return (centres + both + 0.3 * rng.standard_normal((count, dim))).astype(np.float32)


@pytest.fixture(scope="module", params=[sentences, directions, bytes_far_from_the_origin])
def sealed(request, tmp_path_factory) -> Iterator[Sealed]:
    metric, dtype, vectors, queries = request.param()
    with vecdb.open(tmp_path_factory.mktemp("recall"), threads=2) as db:
        docs = db.create_collection("docs", dim=vectors.shape[1], metric=metric, dtype=dtype)
        docs.upsert(np.arange(len(vectors)), vectors)
        docs.seal()
        docs.compact()
        yield Sealed(docs, queries)


@pytest.mark.parametrize("effort", FLOORS)
def test_scan_finds_the_nearest(sealed, effort):
    """By distance: a record as near as the last of the answer is as good."""
    docs, queries = sealed.docs, sealed.queries
    exact = docs.search_batch(queries, K, mode="exact")
    found = docs.search_batch(queries, K, mode="scan", effort=effort)
    hits = [(one.scores >= best.scores[-1]).sum() for one, best in zip(found, exact, strict=True)]
    recall = sum(hits) / (K * len(queries))
    assert recall >= FLOORS[effort], "\n".join(_lost(docs, queries, found, exact))


def _lost(docs, queries, found, exact) -> Iterator[str]:
    """Each neighbour that was not found, and its rank among the estimates of the scan plane."""
    with docs._store.view(docs.name, with_snapshot=True) as view:
        (run,) = view.snapshot.coded()
        ids = view.snapshot.ids_of(np.arange(len(view.snapshot.segments[0])))
    slot_of = np.argsort(ids)
    rotated = run.encoder.quantizer.rotate_queries(queries)
    planes = run.encoder.prepare(rotated)
    for at, (one, best) in enumerate(zip(found, exact, strict=True)):
        lost = np.setdiff1d(best.ids, one.ids)
        if len(lost):
            e = estimate_run(run, planes, at)[: len(ids)]
            ranks = [int((e > e[slot]).sum()) for slot in slot_of[lost]]
            yield f"query {at}: lost {lost.tolist()}, by estimate number {ranks}"
