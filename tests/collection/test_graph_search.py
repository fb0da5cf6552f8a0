"""Search by graph at every level: few reads, right scores, nothing that may not match."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb import F
from vecdb.check import check_directory
from vecdb.collection import building, costs, levels, planner, scanning
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
QUERIES = clustered(0, COUNT + 40)[COUNT:] + np.float32(0.1)


def budget_of(docs, level):
    """A budget that gives the level."""
    if level == "all":
        return None
    with docs._store.view("docs") as view:
        infos = [docs._store.segments.info(row) for row in segment_rows(docs, view)]
    sizes = levels.add_sizes([levels.sizes_of(info) for info in infos])
    room = 2 * levels.CACHE_BYTES + sizes.at(level) // 8
    return sizes.at(level) + min(room, (sizes.at(above(level)) - sizes.at(level)) * 3 // 4)


def above(level):
    return LEVELS[LEVELS.index(level) - 1]


def segment_rows(docs, view):
    return scan_segments(view.transaction, view.row.number)


def fill(path, *, metric="l2", dtype="float32", level="all", **options):
    """A database whose collection has one segment, laid out for the level."""
    db = vecdb.open(path, **options)
    docs = db.create_collection("docs", dim=DIM, metric=metric, dtype=dtype, fields={"part": "int"})
    scaled = VECTORS if dtype != "uint8" else np.clip(np.rint(16 * VECTORS + 128), 0, 255)
    docs.upsert(np.arange(COUNT), scaled, [{"part": row % 10} for row in range(COUNT)])
    docs.seal()
    move(docs, level)
    return db, docs


def move(docs, level):
    docs.set_memory_budget(budget_of(docs, level))
    docs.compact()
    explained = docs.explain(QUERIES[0], K, mode="graph")
    assert (explained.level, explained.degraded) == (level, False)


def queries_for(dtype):
    return QUERIES if dtype != "uint8" else np.clip(np.rint(16 * QUERIES + 128), 0, 255)


def recall(found, exact):
    return np.mean(
        [np.isin(one.ids, other.ids).mean() for one, other in zip(exact, found, strict=True)]
    )


def same(ones, others):
    return all(
        one.scores.tobytes() == other.scores.tobytes() and list(one.ids) == list(other.ids)
        for one, other in zip(ones, others, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("metric", "dtype"),
    [("l2", "float32"), ("cosine", "float16"), ("dot", "float32"), ("l2", "uint8")],
)
def test_graph_finds_the_nearest_and_scores_them_as_exact_search_does(
    tmp_path, level, metric, dtype
):
    db, docs = fill(tmp_path / "db", metric=metric, dtype=dtype, level=level)
    with db:
        queries = queries_for(dtype)
        exact = docs.search_batch(queries, 200, mode="exact")
        found = docs.search_batch(queries, K, mode="graph")
        assert recall(found, [one_of(match, K) for match in exact]) >= 0.95
        for match, oracle in zip(found, exact, strict=True):
            known = dict(zip(oracle.ids.tolist(), oracle.scores.tolist(), strict=True))
            assert [known.get(id, score) for id, score in pairs(match)] == match.scores.tolist()
            assert len(match) == K
        wide = docs.search_batch(queries, K, mode="graph", effort=16)
        assert recall(wide, [one_of(match, K) for match in exact]) >= 0.999


def one_of(match, k):
    return type(match)(ids=match.ids[:k], scores=match.scores[:k], distances=match.distances[:k])


def pairs(match):
    return zip(match.ids.tolist(), match.scores.tolist(), strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_answers_depend_neither_on_batches_nor_on_threads_nor_on_the_cache(tmp_path, level):
    db, docs = fill(tmp_path / "db", level=level, threads=1)
    with db:
        cold = docs.search_batch(QUERIES, K, mode="graph")
        assert same(docs.search_batch(QUERIES, K, mode="graph"), cold)
        assert same([docs.search(query, K, mode="graph") for query in QUERIES], cold)
        assert same(docs.search_batch(QUERIES[::-1], K, mode="graph")[::-1], cold)
    with vecdb.open(tmp_path / "db", threads=4) as again:
        assert same(again.collection("docs").search_batch(QUERIES, K, mode="graph"), cold)
    with vecdb.open(tmp_path / "db", read_only=True, io_engine="mmap") as mapped:
        assert same(mapped.collection("docs").search_batch(QUERIES, K, mode="graph"), cold)


@pytest.mark.slow
def test_exact_and_scan_are_the_same_at_every_level(tmp_path):
    db, docs = fill(tmp_path / "db")
    with db:
        asked = {mode: docs.search_batch(QUERIES, K, mode=mode) for mode in ("exact", "scan")}
        vectors = docs.get(list(range(0, COUNT, 7)), with_vector=True).vectors
        for level in ("codes", "entries", "graph+codes", "all"):
            move(docs, level)
            for mode, before in asked.items():
                assert same(docs.search_batch(QUERIES, K, mode=mode), before), (level, mode)
            again = docs.get(list(range(0, COUNT, 7)), with_vector=True).vectors
            assert again.tobytes() == vectors.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_deleted_or_filtered_steers_but_never_matches(tmp_path, level):
    db, docs = fill(tmp_path / "db", level=level)
    with db:
        docs.delete(list(range(0, COUNT, 3)))
        kept = {row for row in range(COUNT) if row % 3 and row % 10 < 5}
        where = F("part") < 5
        exact = docs.search_batch(QUERIES, K, mode="exact", filter=where)
        found = docs.search_batch(QUERIES, K, mode="graph", filter=where)
        assert all(set(match.ids.tolist()) <= kept and len(match) == K for match in found)
        assert recall(found, exact) >= 0.95
        few = docs.search_batch(QUERIES[:5], 400, mode="graph", filter=F("part") == 1)
        alive = sum(row % 3 != 0 and row % 10 == 1 for row in range(COUNT))
        assert [len(match) for match in few] == [min(400, alive)] * 5
        assert same(few, docs.search_batch(QUERIES[:5], 400, mode="exact", filter=F("part") == 1))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["all", "graph+codes", "codes"])
def test_segments_and_tail_are_searched_together(tmp_path, level):
    db, docs = fill(tmp_path / "db", level=level)
    with db:
        more = clustered(1, 1_500)
        for start in (0, 700):
            docs.upsert(np.arange(COUNT + start, COUNT + start + 700), more[start : start + 700])
            docs.seal()
        docs.upsert(np.arange(COUNT + 1_400, COUNT + 1_500), more[1_400:])
        assert docs.describe().segments >= 2
        queries = np.concatenate((QUERIES, more[::100] + np.float32(0.05)))
        exact = docs.search_batch(queries, K, mode="exact")
        found = docs.search_batch(queries, K, mode="graph", effort=2)
        assert recall(found, exact) >= 0.95
        assert docs.search(more[1_450], 1, mode="graph").ids.tolist() == [COUNT + 1_450]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["graph+codes", "codes", "entries"])
def test_damaged_page_is_reported_and_never_answered_from(tmp_path, level):
    db, docs = fill(tmp_path / "db", level=level)
    with db:
        right = docs.search_batch(QUERIES, K, mode="graph")
        with docs._store.view("docs") as view:
            (row,) = segment_rows(docs, view)
    folder = segment_files.segment_folder(tmp_path / "db", row.uuid)
    page_bytes = 4_096
    pages = (folder / "vectors.pages").stat().st_size // page_bytes
    for page in range(0, pages, 3):
        flip_bit(folder / "vectors.pages", page * page_bytes + 100 + 7 * page % 3_000, page % 8)
    refused: list[str] = []
    with vecdb.open(tmp_path / "db") as again:
        for query, match in zip(QUERIES, right, strict=True):
            try:
                found = again.collection("docs").search(query, K, mode="graph")
            except DataCorruption as error:
                refused.append(error.path)
            else:
                assert same([found], [match])
    assert set(refused) == {str(folder / "vectors.pages")}
    assert len(refused) > len(QUERIES) // 2


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_search_past_its_deadline_reads_no_page(tmp_path, level):
    db, docs = fill(tmp_path / "db", level=level)
    with db:
        docs.search(QUERIES[0], K, mode="graph")
        before = docs.stats()["searches"]["pages_read"]
        with pytest.raises(DeadlineExceeded):
            docs.search_batch(QUERIES, K, mode="graph", timeout=1e-9)
        assert docs.stats()["searches"]["pages_read"] == before


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_checker_finds_every_layout_sound(tmp_path, level):
    db, _ = fill(tmp_path / "db", level=level)
    db.close()
    report = check_directory(tmp_path / "db")
    assert not report.problems
    assert report.counts["links"] > COUNT


def test_explanation_counts_what_was_read(tmp_path):
    db, docs = fill(tmp_path / "db", level="graph+codes")
    with db:
        told = docs.explain(QUERIES[3], K, mode="graph")
        assert (told.mode, told.level, told.io_rounds) == ("graph", "graph+codes", 1)
        assert told.bytes_read == 4_096 * told.pages_read > 0
        assert told.pages_read + told.cache_hits <= told.vectors_scored
        assert told.codes_scanned == 8 * told.blocks_scanned > 0
        again = docs.explain(QUERIES[3], K, mode="graph")
        assert (again.pages_read, again.cache_hits) == (0, told.pages_read + told.cache_hits)
        assert again.vectors_scored == told.vectors_scored


@pytest.mark.slow
def test_auto_walks_the_graph_only_where_nearly_all_match(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(costs, "EXACT_RECORDS", 100)
    cheap = costs.Constants(graph_start=0.0, hop=0.0, hop_word=0.0)
    monkeypatch.setattr(planner, "CONSTANTS", cheap)
    db, docs = fill(tmp_path / "db")
    with db:
        assert docs.explain(QUERIES[0], K).mode == "graph"
        for part in (9, 4):
            told = docs.explain(QUERIES[0], K, filter=F("part") < part)
            assert told.costs["graph"] < min(told.costs[mode] for mode in ("exact", "scan", "tree"))
            assert told.mode in ("exact", "scan", "tree")
        for options in ({"effort": "bound"}, {"estimator": "hamming"}):
            assert docs.explain(QUERIES[0], K, **options).mode in ("exact", "scan")
        assert docs.explain(QUERIES[0], K, filter=F("part") == 11).mode == "exact"


@pytest.mark.slow
@pytest.mark.parametrize("rest", ["exact", "scan", "tree"])
def test_what_a_walk_does_not_find_another_path_does(tmp_path, monkeypatch, rest):
    monkeypatch.setattr(costs, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(costs, "EXACT_RECORDS", 0)
    dear = {"exact": "exact_start", "scan": "scan_start", "tree": "tree_start"}
    rates = {name: 1e12 for path, name in dear.items() if path != rest}
    monkeypatch.setattr(planner, "CONSTANTS", costs.Constants(**rates))
    monkeypatch.setattr(scanning, "search_graph", lambda *_: None)
    db, docs = fill(tmp_path / "db")
    with db:
        few = docs.search_batch(QUERIES[:5], 400, mode="graph", filter=F("part") == 1)
        assert [len(match) for match in few] == [300] * 5
        exact = docs.search_batch(QUERIES[:5], 400, mode="exact", filter=F("part") == 1)
        assert recall(few, exact) >= 0.95
        told = docs.explain(QUERIES[0], 400, mode="graph", filter=F("part") == 1)
        assert (told.nodes_visited > 0) == (rest == "tree")


@pytest.mark.parametrize(
    ("options", "field"), [({"effort": "bound"}, "effort"), ({"estimator": "hamming"}, "estimator")]
)
def test_what_means_nothing_to_a_walk_is_refused(docs, options, field):
    with pytest.raises(InvalidArgument) as caught:
        docs.search(np.ones(4), mode="graph", **options)
    assert caught.value.field == field


@pytest.mark.slow
def test_new_layout_that_was_cut_short_is_made_at_the_next_open(tmp_path, monkeypatch):
    db, docs = fill(tmp_path / "db")
    with db, monkeypatch.context() as patched:
        patched.setattr(type(docs._store), "lay_out", lambda *_: None)
        docs.set_memory_budget(budget_of(docs, "codes"))
        assert docs.explain(QUERIES[0], K, mode="graph").degraded
        asked = docs.search_batch(QUERIES, K, mode="graph", effort=16)
    with vecdb.open(tmp_path / "db") as again:
        docs = again.collection("docs")
        docs.seal()  # waits behind it
        assert not docs.explain(QUERIES[0], K, mode="graph").degraded
        assert same(docs.search_batch(QUERIES, K, mode="graph", effort=16), asked)
