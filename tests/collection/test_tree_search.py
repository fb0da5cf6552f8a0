"""Search by trees: right scores, exactly min(k, matching) matches, whatever lies where."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb import F
from vecdb.collection import building, levels, sealer
from vecdb.errors import DataCorruption, DeadlineExceeded, InvalidArgument
from vecdb.storage import segment_files
from vecdb.storage.manifest import scan_segments
from vecdb.testing.faults import flip_bit

COUNT, DIM, K = 3_000, 24, 10
LEVELS = ("all", "graph+codes", "codes", "entries")


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    """A graph from 500 slots on, and budgets of less than a megabyte."""
    monkeypatch.setattr(levels, "GRAPH_SLOTS", 500)
    monkeypatch.setattr(building, "GRAPH_SLOTS", 500)
    monkeypatch.setattr(levels, "CACHE_BYTES", 64 * 1024)
    monkeypatch.setattr("vecdb.limits.BUDGET_BYTES", 1_000)


def clustered(seed, count):
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((40, DIM))
    return (centres[rng.integers(0, 40, count)] + rng.standard_normal((count, DIM))).astype("f4")


VECTORS = clustered(0, COUNT)
QUERIES = clustered(0, COUNT + 30)[COUNT:] + np.float32(0.1)
NEAR_FIRST = np.argsort(np.sum((VECTORS - VECTORS[0]) ** 2, axis=1))
PLACE = np.argsort(NEAR_FIRST)
PAYLOADS = [{"part": row % 10, "place": int(PLACE[row])} for row in range(COUNT)]
"""``place`` goes with where a vector lies, ``part`` with nothing."""


def fill(path, *, metric="l2", parts=(COUNT,), tail=0, **options):
    """Segments of so many records each, and a tail."""
    db = vecdb.open(path, **options)
    fields = {"part": "int", "place": "int"}
    docs = db.create_collection("docs", dim=DIM, metric=metric, fields=fields)
    start = 0
    for count in (*parts, tail):
        rows = slice(start, start + count)
        if count:
            docs.upsert(np.arange(COUNT)[rows], VECTORS[rows], PAYLOADS[rows])
        if start + count <= COUNT - tail and count:
            docs.seal()
        start += count
    return db, docs


@pytest.fixture
def many_segments(monkeypatch):
    monkeypatch.setattr(sealer, "choose_compaction", lambda segments: ())


def recall(found, exact):
    return np.mean(
        [np.isin(one.ids, other.ids).mean() for one, other in zip(exact, found, strict=True)]
    )


def same(ones, others):
    return all(
        one.scores.tobytes() == other.scores.tobytes() and list(one.ids) == list(other.ids)
        for one, other in zip(ones, others, strict=True)
    )


SHAPES = {
    "one segment": {},
    "five segments": {"parts": (600,) * 5},
    "segments and a tail": {"parts": (1_200, 1_300), "tail": 500},
    "a tail": {"parts": (), "tail": COUNT},
}
FILTERS = (None, F("part") < 3, F("place") < 400, F("place") >= 2_700)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_with_the_most_effort_it_is_exact(tmp_path, many_segments, metric, shape):
    db, docs = fill(tmp_path / "db", metric=metric, **SHAPES[shape])
    with db:
        docs.delete(list(range(0, COUNT, 7)))
        assert docs.describe().segments == len(SHAPES[shape].get("parts", (COUNT,)))
        for where in FILTERS:
            exact = docs.search_batch(QUERIES, K, mode="exact", filter=where)
            found = docs.search_batch(QUERIES, K, mode="tree", filter=where, effort=64)
            assert same(found, exact)
            usual = docs.search_batch(QUERIES, K, mode="tree", filter=where)
            assert recall(usual, exact) >= 0.98
            known = [dict(zip(one.ids, one.scores, strict=True)) for one in exact]
            for one, scores in zip(usual, known, strict=True):
                assert all(scores.get(i, s) == s for i, s in zip(one.ids, one.scores, strict=True))


@pytest.mark.slow
def test_there_are_always_as_many_matches_as_there_can_be(tmp_path, many_segments):
    db, docs = fill(tmp_path / "db", parts=(900, 40, 1_500), tail=560)
    rng = np.random.default_rng(7)
    with db:
        docs.delete(list(range(5, COUNT, 11)))
        left = np.array([row for row in range(COUNT) if row % 11 != 5])
        for _ in range(60):
            width = int(10.0 ** rng.uniform(0, 3.4))
            low = int(rng.integers(0, COUNT))
            part = int(rng.integers(1, 11))
            where = F("place").between(low, low + width) & (F("part") < part)
            right = left[(PLACE[left] >= low) & (PLACE[left] <= low + width) & (left % 10 < part)]
            k = int(rng.integers(1, 300))
            effort = float(rng.choice([0.01, 1.0, 4.0]))
            query = QUERIES[rng.integers(0, len(QUERIES))]
            found = docs.search(query, k, mode="tree", filter=where, effort=effort)
            assert len(set(found.ids)) == len(found) == min(k, len(right))
            assert set(found.ids) <= set(right.tolist())
            assert (np.diff(found.scores) <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_answers_depend_neither_on_batches_nor_on_threads(tmp_path, many_segments, metric):
    db, docs = fill(tmp_path / "db", metric=metric, parts=(1_000, 1_500), tail=500, threads=1)
    where = F("part") < 6
    with db:
        alone = [docs.search(query, K, mode="tree", filter=where) for query in QUERIES]
        assert same(docs.search_batch(QUERIES, K, mode="tree", filter=where), alone)
        assert same(docs.search_batch(QUERIES[::-1], K, mode="tree", filter=where)[::-1], alone)
    with vecdb.open(tmp_path / "db", threads=4) as again:
        docs = again.collection("docs")
        assert same(docs.search_batch(QUERIES, K, mode="tree", filter=where), alone)


@pytest.mark.slow
def test_every_level_finds_the_nearest(tmp_path):
    db, docs = fill(tmp_path / "db")
    where = F("place") < 1_000
    with db:
        docs.delete(list(range(0, COUNT, 9)))
        exact = docs.search_batch(QUERIES, K, mode="exact", filter=where)
        first = docs.search_batch(QUERIES, K, mode="tree", filter=where)
        assert recall(first, exact) >= 0.98
        for level in LEVELS[1:]:
            docs.set_memory_budget(budget_of(docs, level))
            docs.compact()
            exact = docs.search_batch(QUERIES, K, mode="exact", filter=where)
            told = docs.explain(QUERIES[0], K, mode="tree", filter=where)
            assert (told.mode, told.level) == ("tree", level)
            assert told.pages_read + told.cache_hits > 0
            found = docs.search_batch(QUERIES, K, mode="tree", filter=where)
            assert recall(found, exact) >= 0.98
            most = docs.search_batch(QUERIES, K, mode="tree", filter=where, effort=64)
            assert same(most, exact)


def budget_of(docs, level):
    """A budget that gives the level."""
    with docs._store.view("docs") as view:
        rows = scan_segments(view.transaction, view.row.number)
        infos = [docs._store.segments.info(row) for row in rows]
    sizes = levels.add_sizes([levels.sizes_of(info) for info in infos])
    above = LEVELS[LEVELS.index(level) - 1]
    room = 2 * levels.CACHE_BYTES + sizes.at(level) // 8
    return sizes.at(level) + min(room, (sizes.at(above) - sizes.at(level)) * 3 // 4)


def test_explanation_counts_what_was_visited(tmp_path):
    db, docs = fill(tmp_path / "db", parts=(2_800,), tail=200)
    with db:
        few = docs.explain(QUERIES[0], K, mode="tree", filter=F("place") < 100)
        assert (few.mode, few.matching, few.codes_scanned) == ("tree", 100, 100)
        assert 1 <= few.nodes_visited <= 40
        told = docs.explain(QUERIES[0], K, mode="tree", effort=0.05)
        assert 200 < told.codes_scanned < 1_500
        assert K <= told.vectors_scored <= told.codes_refined + 200
        stats = docs.stats()["searches"]
        assert stats["nodes_visited"] == few.nodes_visited + told.nodes_visited


def test_search_past_its_deadline_stops(tmp_path):
    db, docs = fill(tmp_path / "db")
    with db:
        docs.search(QUERIES[0], K, mode="tree")
        with pytest.raises(DeadlineExceeded):
            docs.search_batch(QUERIES, K, mode="tree", timeout=1e-9)


@pytest.mark.parametrize(
    ("options", "field"), [({"effort": "bound"}, "effort"), ({"estimator": "hamming"}, "estimator")]
)
def test_what_means_nothing_to_a_walk_is_refused(docs, options, field):
    with pytest.raises(InvalidArgument) as caught:
        docs.search(np.ones(4), mode="tree", **options)
    assert caught.value.field == field


def test_damaged_tree_is_reported_and_codes_are_scanned_without_it(tmp_path):
    db, docs = fill(tmp_path / "db")
    with db, docs._store.view("docs") as view:
        (row,) = scan_segments(view.transaction, view.row.number)
    folder = segment_files.segment_folder(tmp_path / "db", row.uuid)
    flip_bit(folder / "tree", 5_000, 3)
    with vecdb.open(tmp_path / "db") as again:
        docs = again.collection("docs")
        with pytest.raises(DataCorruption) as caught:
            docs.search(QUERIES[0], K, mode="tree")
        assert caught.value.path == str(folder / "tree")
        assert len(docs.search(QUERIES[0], K, mode="scan")) == K


def test_segment_whose_files_are_gone_is_scanned(tmp_path):
    db, docs = fill(tmp_path / "db")
    with db:
        exact = docs.search_batch(QUERIES, K, mode="exact")
        (folder,) = (tmp_path / "db" / segment_files.SEGMENTS).iterdir()
        folder.rename(tmp_path / "gone")
        try:
            found = docs.search_batch(QUERIES, K, mode="tree")
            assert recall(found, exact) >= 0.98
            assert docs.explain(QUERIES[0], K, mode="tree").nodes_visited == 0
        finally:
            (tmp_path / "gone").rename(folder)
