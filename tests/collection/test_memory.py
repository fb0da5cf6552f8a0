"""The memory that a collection takes: predicted, counted, and really allocated."""

from __future__ import annotations

import gc
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb.collection.memory import PARTS, measure_memory, predict_memory
from vecdb.schema import CollectionSchema

DOCUMENT = Path(__file__).parents[2] / "docs" / "memory.md"


def draw(rng, count, dim, dtype):
    return rng.integers(0, 200, (count, dim)).astype(dtype)


@pytest.mark.parametrize(
    ("dim", "dtype", "bits", "texts"),
    [
        (33, "float32", 4, False),
        (200, "uint8", 1, False),
        (64, "float16", 8, True),
    ],
)
def test_prediction_is_what_stats_counts(db, rng, dim, dtype, bits, texts):
    docs = db.create_collection("docs", dim=dim, metric="l2", dtype=dtype, code_bits=bits)
    ids = [f"record {number:04}" if texts else number for number in range(2_000)]
    for start, stop in ((0, 1_001), (1_001, 1_700)):
        docs.upsert(ids[start:stop], draw(rng, stop - start, dim, dtype))
        docs.seal()
    docs.upsert(ids[1_700:], draw(rng, 300, dim, dtype))
    docs.delete(ids[:100])
    schema = CollectionSchema(dim=dim, metric="l2", dtype=dtype, code_bits=bits)
    for mode, exact in (("scan", False), ("exact", True)):
        docs.search(np.ones(dim), 3, mode=mode, effort=0.1 if mode == "scan" else None)
        text_bytes = len("record 0000") if texts else None
        predicted = predict_memory(schema, 1_700, 300, text_bytes=text_bytes, exact=exact)
        counted = docs.stats()["memory_bytes"]
        assert tuple(predicted) == tuple(counted) == PARTS
        for part in PARTS:
            assert predicted[part] == pytest.approx(counted[part], rel=0.01), part


def test_nothing_is_counted_before_something_is_loaded():
    assert measure_memory(None) == dict.fromkeys(PARTS, 0)


def test_records_that_are_sealed_leave_the_tail(db, rng):
    docs = db.create_collection("docs", dim=16)
    docs.upsert(np.arange(500), draw(rng, 500, 16, "float32") + 1)
    docs.search(np.ones(16), 1)
    before = docs.stats()["memory_bytes"]
    assert [part for part in PARTS if before[part]] == ["tail"]
    docs.seal()
    after = docs.stats()["memory_bytes"]
    assert (after["tail"], after["vectors"]) == (0, 500 * 64)


@pytest.mark.slow
def test_parts_add_up_to_what_is_allocated(tmp_path, rng):
    """Nothing else of note is held for each record."""
    dim, sealed, left = 96, 20_000, 5_000
    vectors = draw(rng, sealed + left, dim, "float32") + 1
    with vecdb.open(tmp_path / "db", threads=1) as db:
        docs = db.create_collection("docs", dim=dim)
        docs.upsert(np.arange(sealed), vectors[:sealed])
        docs.seal()
        docs.upsert(np.arange(sealed, sealed + left), vectors[sealed:])
        for mode in ("scan", "exact"):
            docs.search(vectors[0], 3, mode=mode)
    with vecdb.open(tmp_path / "db", threads=1) as db:
        docs = db.collection("docs")
        tracemalloc.start()
        try:
            for mode in ("scan", "exact"):
                docs.search(vectors[0], 3, mode=mode)
            gc.collect()
            allocated, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        counted = docs.stats()["memory_bytes"]
    predicted = predict_memory(CollectionSchema(dim=dim), sealed, left)
    assert counted == predicted
    assert allocated == pytest.approx(sum(counted.values()), rel=0.05)
    assert peak < 2 * allocated


def test_document_shows_what_the_formula_gives():
    """The rows of its example: records, dimensions, records in the tail, then megabytes by part."""
    rows = re.findall(
        r"^\| 1,000,000 x (\d+), (?:([\d,]+) more|sealed).*?\| (.*) \|$", _text(), re.M
    )
    assert len(rows) == 4
    for dim, tail, figures in rows:
        predicted = predict_memory(
            CollectionSchema(dim=int(dim)), 1_000_000, int(tail.replace(",", "") or 0)
        )
        order = (
            *("codes", "refine", "graph", "entries", "vectors", "ids"),
            *("origins", "norms", "masks", "tail"),
        )
        sizes = [predicted[part] for part in order]
        assert figures.split(" | ") == [f"{size / 1e6:.1f}" for size in [*sizes, sum(sizes)]]


def test_document_names_every_part():
    assert set(PARTS) <= set(re.findall(r"^\| `(\w+)` \|", _text(), re.M))


def _text():
    return DOCUMENT.read_text(encoding="utf-8")
