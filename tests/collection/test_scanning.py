"""Search by codes in a collection: exactly what its stages say, whatever else is going on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.collection import costs, planner, scanning, tail
from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded, InvalidArgument
from vecdb.index import scan_codes
from vecdb.index.shortlist import rows_kept
from vecdb.quantize.score import relevance
from vecdb.testing.model import Model
from vecdb.testing.scan_oracle import scan_snapshot

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="codes are compared with vector instructions"
)

DIM = 40
METRICS = ("cosine", "dot", "l2")
ESTIMATORS = ("rabitq", "hamming")
FEW = 0.15  # an effort: about 120 rows are kept for k = 3


def clusters(rng, count, dim=DIM):
    centres = rng.standard_normal((15, dim)) * 2 + 1
    return (centres[rng.integers(0, 15, count)] + rng.standard_normal((count, dim))).astype("f4")


def fill(docs, model, rng, ids, *, equal=0):
    """Upsert records of those ids; the first ``equal`` have one vector."""
    vectors = clusters(rng, len(ids))
    if model.dtype == np.uint8:
        vectors = np.clip(20 * vectors + 100, 0, 255).astype(np.uint8).astype(np.float32)
    vectors[:equal] = vectors[0]
    payloads = [{"group": position % 10} for position in range(len(ids))]
    docs.upsert(ids, vectors, payloads)
    model.upsert(ids, vectors, payloads)


@dataclass(frozen=True)
class Filled:
    """Two segments and a tail; some records were overwritten and some deleted since."""

    directory: Path
    docs: Any
    model: Model
    queries: np.ndarray


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Iterator[Filled]:
    rng = np.random.default_rng(31)
    directory = tmp_path_factory.mktemp("filled")
    model = Model(dim=DIM, metric="cosine")
    with vecdb.open(directory, threads=2) as db:
        docs = db.create_collection("docs", dim=DIM, metric="cosine", fields={"group": "int"})
        fill(docs, model, rng, rng.permutation(1_400).tolist(), equal=60)
        docs.seal()
        fill(docs, model, rng, [2_000 + one for one in rng.permutation(900).tolist()])
        docs.seal()
        fill(docs, model, rng, [*range(100, 200), *range(5_000, 5_300)])
        gone = [*range(0, 1_400, 9), *range(2_000, 2_500, 7), *range(5_000, 5_020)]
        docs.delete(gone)
        model.delete(gone)
        assert (docs.describe().segments, docs.describe().tail) == (2, 369)
        yield Filled(directory, docs, model, clusters(rng, 33))


@pytest.fixture
def small_parts(monkeypatch):
    """A few thousand codes are enough to occupy all threads."""
    monkeypatch.setattr(scan_codes, "_PART_BYTES", 4_096)
    monkeypatch.setattr(scan_codes, "_SHARE_BYTES", 0)


def content(answers):
    return [(list(one.ids), one.scores.tobytes(), one.distances.tobytes()) for one in answers]


def assert_defined(docs, query, k, *, filter=None, **options):
    """The answer of a scan is what it is by definition; ``options``: of ``scan_snapshot``."""
    with docs._store.view(docs.name, with_snapshot=True) as view:
        ids, scores = scan_snapshot(view.snapshot, query, k, **options)
    found = docs.search(
        query,
        k,
        mode="scan",
        effort=options.get("effort", 1.0),
        estimator=ESTIMATORS[options.get("hamming", False)],
        filter=filter,
        min_score=options.get("min_score"),
    )
    assert list(found.ids) == ids
    assert found.scores.tobytes() == scores.tobytes()
    return found


# ------------------------------------------------------------------------------- by definition


@pytest.mark.parametrize("hamming", [False, True], ids=ESTIMATORS)
def test_scan_is_what_its_stages_say(filled, hamming):
    for query in filled.queries[:3]:
        for k, effort in ((1, 0.05), (3, FEW), (20, 1.0), (200, 0.1)):
            assert_defined(filled.docs, query, k, effort=effort, hamming=hamming)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("metric", METRICS)
def test_scan_is_what_its_stages_say_for_every_metric_and_dtype(db, rng, metric, dtype):
    docs = db.create_collection(
        "docs", dim=DIM, metric=metric, dtype=dtype, fields={"group": "int"}, code_bits=2
    )
    model = Model(dim=DIM, metric=metric, dtype=dtype)
    fill(docs, model, rng, rng.permutation(900).tolist(), equal=20)
    queries = [model.records[id].vector.astype(np.float32) for id in (5, 700)]
    for turn in range(3):  # a tail alone, a segment and a tail, a segment alone
        for query in queries:
            for hamming in (False, True):
                assert_defined(docs, query, 5, effort=FEW, hamming=hamming)
        if turn == 0:
            docs.seal()
            fill(docs, model, rng, list(range(850, 1_100)))
            docs.delete([1, 2, 3, 1_001])
        else:
            docs.seal()
            docs.compact()


@pytest.mark.parametrize("bits", [1, 8])
def test_scan_is_what_its_stages_say_for_other_codes(db, rng, bits):
    docs = db.create_collection("docs", dim=DIM, code_bits=bits, fields={"group": "int"})
    model = Model(dim=DIM)
    fill(docs, model, rng, list(range(600)))
    docs.seal()
    fill(docs, model, rng, list(range(500, 800)))  # of the segment's encoder
    for query in clusters(rng, 3):
        for hamming in (False, True):
            assert_defined(docs, query, 4, effort=FEW, hamming=hamming)


def test_text_ids_are_ordered_by_code_point(db, rng):
    docs = db.create_collection("docs", dim=DIM, fields={"group": "int"})
    ids = [f"{'é' if place % 3 else 'Z'}{place}" for place in rng.permutation(500).tolist()]
    model = Model(dim=DIM)
    fill(docs, model, rng, ids, equal=40)
    query = model.records[ids[0]].vector
    for _ in range(2):
        found = assert_defined(docs, query, 30, effort=0.1)
        assert list(found.ids)[:30] == sorted(found.ids)[:30]  # all of them are equal
        docs.seal()
        fill(docs, model, rng, ids[300:350])


def test_lowest_score_cuts_the_answer_short(filled):
    query = filled.queries[0]
    whole = filled.docs.search(query, 25, mode="scan")
    for place in (0, 10, 24):
        least = float(whole.scores[place]) - 1e-7  # they were rounded
        for k in (5, 25):
            found = assert_defined(filled.docs, query, k, min_score=least)
            assert list(found.ids) == list(whole.ids)[: min(k, place + 1)]
    assert len(filled.docs.search(query, mode="scan", min_score=1.5)) == 0


# --------------------------------------------------------------------- what makes no difference


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bytes_depend_neither_on_threads_nor_on_batches_nor_on_reopening(
    filled, small_parts, tmp_path, monkeypatch, estimator
):
    shutil.copytree(filled.directory, tmp_path / "copy")
    asked = {"mode": "scan", "estimator": estimator, "effort": FEW, "filter": None}
    some = {**asked, "filter": {"group": {"gte": 4}}}
    expected = [
        content(filled.docs.search_batch(filled.queries, 3, **one)) for one in (asked, some)
    ]
    for threads in (1, 2, 8):
        rows = 16 * threads  # and other blocks of the tail
        monkeypatch.setattr(tail, "_BLOCK_ROWS", (rows, rows))
        with vecdb.open(tmp_path / "copy", threads=threads) as db:
            docs = db.collection("docs")
            for options, answers in zip((asked, some), expected, strict=True):
                for batch in (1, 3, 8, 33):
                    found = [
                        one
                        for start in range(0, 33, batch)
                        for one in docs.search_batch(
                            filled.queries[start : start + batch], 3, **options
                        )
                    ]
                    assert content(found) == answers, (threads, batch)
                alone = [docs.search(query, 3, **options) for query in filled.queries[:5]]
                assert content(alone) == answers[:5]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_four_clients_at_once_get_what_one_gets(filled, small_parts, estimator):
    asked = {"mode": "scan", "estimator": estimator, "effort": FEW}
    expected = content(filled.docs.search_batch(filled.queries, 3, **asked))

    def client(turn):
        if turn % 2:
            return content(filled.docs.search_batch(filled.queries, 3, **asked))
        return content([filled.docs.search(query, 3, **asked) for query in filled.queries])

    with ThreadPoolExecutor(4) as clients:
        assert list(clients.map(client, range(8))) == [expected] * 8


# ----------------------------------------------------------------------------- filters, ties, k


@pytest.mark.parametrize("hamming", [False, True], ids=ESTIMATORS)
@pytest.mark.parametrize("groups", [[3], [0, 1, 2, 5, 8]])
def test_filtered_scan_sees_the_matching_records_alone(filled, groups, hamming):
    model = filled.model
    matching = set(model.matching(lambda one: one["group"] in groups))
    for query in filled.queries[:3]:
        found = assert_defined(
            filled.docs,
            query,
            5,
            filter={"group": {"in": groups}},
            keep=matching.__contains__,
            effort=FEW,
            hamming=hamming,
        )
        assert set(found.ids.tolist()) <= matching
        assert len(found) == 5


def test_filter_that_leaves_no_more_than_are_kept_is_exact(filled):
    def predicate(one):
        return one["group"] == 6

    assert len(filled.model.matching(predicate)) < rows_kept(10, 1.0, 10**6)
    for query in filled.queries[:4]:
        for k in (1, 10, 1_000):
            found = filled.docs.search(query, k, filter={"group": 6}, mode="scan", with_vector=True)
            filled.model.check_matches(found, query, k, predicate=predicate)


def test_more_than_there_are_gives_all(filled):
    for estimator in ESTIMATORS:
        found = filled.docs.search(
            filled.queries[0], 10_000, mode="scan", estimator=estimator, with_vector=True
        )
        filled.model.check_matches(found, filled.queries[0], 10_000)
    nothing = filled.docs.search(filled.queries[0], filter={"group": 77}, mode="scan")
    assert len(nothing) == 0


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_copies_come_by_id_after_a_seal(db, rng, estimator):
    """Also where there are many more of them than the scan keeps."""
    docs = db.create_collection("docs", dim=DIM, metric="l2", fields={"group": "int"})
    model = Model(dim=DIM, metric="l2")
    ids = rng.permutation(3_000).tolist()
    fill(docs, model, rng, ids, equal=2_000)
    docs.seal()
    copies = sorted(ids[:2_000])
    query = model.records[ids[0]].vector + np.float32(0.25)
    found = docs.search(query, 40, mode="scan", effort=0.1, estimator=estimator)
    assert found.ids.tolist() == copies[:40]
    docs.delete(copies[:10])
    found = docs.search(query, 40, mode="scan", effort=0.1, estimator=estimator)
    assert found.ids.tolist() == copies[10:50]


# ------------------------------------------------------------------------------ modes and efforts


def test_auto_is_exact_up_to_a_number_of_matching_records(filled, monkeypatch):
    monkeypatch.setattr(costs, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(costs, "EXACT_RECORDS", 100)
    dear = costs.Constants(number=1e6, tree_start=1e12)
    monkeypatch.setattr(planner, "CONSTANTS", dear)
    asked = {"k": 3, "effort": 0.01}  # 6 rows are kept
    scan, auto = (
        content(filled.docs.search_batch(filled.queries, mode=mode, **asked))
        for mode in ("scan", "auto")
    )
    exact = content(filled.docs.search_batch(filled.queries, 3, mode="exact"))
    assert auto == scan != exact
    monkeypatch.setattr(costs, "EXACT_RECORDS", len(filled.model))
    assert content(filled.docs.search_batch(filled.queries, mode="auto", **asked)) == exact


def test_more_effort_finds_more(filled):
    exact = filled.docs.search_batch(filled.queries, 10, mode="exact")
    recalls = []
    for effort in (0.02, 0.2, 1, 64):
        found = filled.docs.search_batch(filled.queries, 10, mode="scan", effort=effort)
        hits = [np.isin(one.ids, best.ids).mean() for one, best in zip(found, exact, strict=True)]
        recalls.append(np.mean(hits))
    assert recalls[0] < 0.7 < recalls[1] < recalls[2] <= recalls[3] == 1.0


def test_hamming_has_no_bound(filled):
    with pytest.raises(InvalidArgument) as caught:
        filled.docs.search(filled.queries[0], mode="scan", effort="bound", estimator="hamming")
    assert caught.value.field == "estimator"


def test_query_whose_bound_is_not_met_is_scanned_once_more(filled, monkeypatch):
    widths = []
    lists = scanning.Lookup._lists

    def note(self, queries, kept, effort):
        widths.append((len(queries), kept, effort.sigmas))
        return lists(self, queries, kept, effort)

    monkeypatch.setattr(scanning.Lookup, "_lists", note)
    monkeypatch.setattr(scanning, "rows_kept", lambda *_: 150)
    batch = content(filled.docs.search_batch(filled.queries, 3, mode="scan"))
    (first, second) = widths
    assert (first, second[1:]) == ((33, 150, 2.0), (600, 2.0))
    assert 0 < second[0] < 33
    alone = [filled.docs.search(query, 3, mode="scan") for query in filled.queries]
    assert content(alone) == batch
    widths.clear()
    filled.docs.search_batch(filled.queries, 3, mode="scan", effort=1)
    assert widths == [(33, 150, 2.0)]


def test_bound_goes_wider_until_it_is_met_or_everything_is_compared(filled, monkeypatch):
    widths = []
    lists = scanning.Lookup._lists

    def note(self, queries, kept, effort):
        widths.append((len(queries), kept, effort.sigmas))
        return lists(self, queries, kept, effort)

    monkeypatch.setattr(scanning.Lookup, "_lists", note)
    monkeypatch.setattr(scanning, "rows_kept", lambda *_: 1_000)
    found = filled.docs.search_batch(filled.queries, 3, mode="scan", effort="bound")
    counts = [count for count, _, _ in widths]
    assert [kept for _, kept, _ in widths] == [1_000 * 4**turn for turn in range(len(widths))]
    assert {sigmas for _, _, sigmas in widths} == {3.0}
    assert counts[0] == 33
    assert counts == sorted(counts, reverse=True)
    assert content(found) == content(filled.docs.search_batch(filled.queries, 3, mode="exact"))


# ----------------------------------------------------------------------------- columns, deadline


def test_relevance_and_surprise_are_those_of_the_exact_score(filled):
    query = filled.queries[2]
    every = filled.docs.search(query, 10_000, mode="exact", with_relevance=True, with_surprise=True)
    rank = {id: place for place, id in enumerate(every.ids.tolist())}
    found = filled.docs.search(
        query, 30, mode="scan", effort=FEW, with_relevance=True, with_surprise=True
    )
    places = [rank[id] for id in found.ids.tolist()]
    assert found.relevance.tobytes() == every.relevance[places].tobytes()
    assert found.surprise_bits.tobytes() == every.surprise_bits[places].tobytes()
    np.testing.assert_allclose(found.relevance, relevance(found.scores.astype("f8")), atol=1e-5)
    assert filled.docs.search(query, mode="scan").relevance is None


@pytest.mark.parametrize("stage", ["scanning codes", "scoring vectors"])
def test_every_stage_looks_at_the_deadline(filled, monkeypatch, stage):
    def check(self, doing):
        if doing == stage:
            raise DeadlineExceeded(f"the deadline passed while {doing}")

    monkeypatch.setattr(Deadline, "check", check)
    for estimator in ESTIMATORS:
        with pytest.raises(DeadlineExceeded, match=stage):
            filled.docs.search(filled.queries[0], 3, mode="scan", estimator=estimator)
