"""The shortlist of a search by codes is what its three stages are in plain numpy, to the bit."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb.index import scan_codes, shortlist
from vecdb.index.coded import CodedRun, split_blocks
from vecdb.index.scan_codes import KEPT_MAX, Scan
from vecdb.index.shortlist import rows_kept, sigmas_at, warm
from vecdb.quantize.bounds import KAPPA
from vecdb.quantize.center import mean_of, normalise
from vecdb.quantize.planes import Encoder, Quantizer
from vecdb.testing.scan_oracle import shortlist_query

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="codes are compared with vector instructions"
)

METRICS = ("cosine", "dot", "l2")


@dataclass(frozen=True)
class Coded:
    """Runs of codes over ``vectors``, whose places are the rows; some rows are masked."""

    quantizer: Quantizer
    vectors: np.ndarray
    mask: np.ndarray
    runs: list[CodedRun]

    @property
    def matching(self) -> int:
        return int(self.mask.sum())

    def search(
        self, queries: np.ndarray, *, runs: list[CodedRun] | None = None, **options: Any
    ) -> list[shortlist.Shortlist]:
        scan = Scan(**{"k": 5, "kept": 100, "matching": self.matching, **options})
        asked = self.runs if runs is None else runs
        return shortlist.shortlist(asked, self.quantizer, queries, scan)


@pytest.fixture
def make_runs(rng):
    """Codes of vectors cut at ``edges``: the last two are a tail, the others segments."""

    def make(vectors, *, metric="l2", bits=4, share=1.0, edges=None, first=0):
        quantizer = Quantizer(dim=vectors.shape[1], metric=metric, seed=3, bits=bits)
        rows = normalise(vectors) if metric == "cosine" else vectors
        mask = (rng.random(len(vectors)) < share).astype(np.uint8)
        count = len(vectors)
        bounds = edges or [0, count // 2, count - 200, count - 99, count]
        bounds = [bound - bound % 8 if bound < count else bound for bound in bounds]
        runs: list[CodedRun] = []
        encoder = Encoder(quantizer, None)
        for at in range(len(bounds) - 1):
            start, stop = bounds[at], bounds[at + 1]
            sealed = at < len(bounds) - 3 or edges is not None
            if sealed:
                encoder = Encoder(quantizer, mean_of([rows[start:stop]]))
            codes, factors, refine = quantizer.empty_codes(stop - start)
            encoder.encode(vectors[start:stop], 0, codes, factors, refine if sealed else None)
            runs.append(
                CodedRun(
                    first=first + start,
                    codes=codes,
                    factors=factors,
                    mask=np.packbits(mask[start:stop], bitorder="little"),
                    encoder=encoder,
                    kappa=KAPPA + 0.01 * at if sealed else KAPPA,
                    mul_max=float(factors[:, 1].max()),
                    refine=refine if sealed else None,
                )
            )
        return Coded(quantizer, vectors, mask, runs)

    return make


@pytest.fixture
def small_parts(monkeypatch):
    """A few thousand codes are enough to occupy all threads."""
    monkeypatch.setattr(scan_codes, "_PART_BYTES", 4_096)
    monkeypatch.setattr(scan_codes, "_SHARE_BYTES", 0)


def clusters(rng, count, dim):
    centres = rng.standard_normal((20, dim)) * 2 + 1
    return (centres[rng.integers(0, 20, count)] + rng.standard_normal((count, dim))).astype("f4")


def content(lists):
    return [(np.sort(one.places).tolist(), one.bound_met, one.refined) for one in lists]


# ------------------------------------------------------------------------------------- the stages


@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("metric", METRICS)
def test_three_stages_equal_their_definition(make_runs, rng, metric, bits, hamming):
    coded = make_runs(clusters(rng, 1_500, 70), metric=metric, bits=bits, share=0.8)
    queries = clusters(rng, 3, 70)
    for k, kept, sigmas in ((1, 20, 2.0), (10, 150, 2.0), (10, 600, 3.0), (30, 30, 2.5)):
        found = coded.search(queries, k=k, kept=kept, sigmas=sigmas, hamming=hamming)
        for query, one in zip(queries, found, strict=True):
            twin = shortlist_query(
                coded.runs,
                coded.quantizer,
                query,
                k=k,
                kept=kept,
                sigmas=sigmas,
                hamming=hamming,
            )
            assert np.sort(one.places).tolist() == twin.places
            assert (one.bound_met, one.refined) == (twin.bound_met, twin.refined)
            assert set(twin.places) <= set(twin.kept)
            assert k <= len(one.places) <= kept


def test_sigmas_decide_what_is_scored_and_the_rows_kept_what_is_found(make_runs, rng):
    coded = make_runs(clusters(rng, 2_000, 96), metric="cosine")
    queries = clusters(rng, 8, 96)
    sizes = [
        [len(one.places) for one in coded.search(queries, k=10, kept=400, sigmas=sigmas)]
        for sigmas in (1.0, 2.0, 3.0)
    ]
    assert sizes[0] < sizes[1] < sizes[2]
    few = coded.search(queries, k=10, kept=20)
    assert not any(one.bound_met for one in few)
    all_of_them = coded.search(queries, k=10, kept=2_000)
    assert all(one.bound_met for one in all_of_them)
    assert all(one.refined < 2_000 for one in all_of_them)


def test_vectors_that_belong_to_the_answer_are_on_the_list(make_runs, rng):
    coded = make_runs(clusters(rng, 3_000, 128), share=0.9)
    queries = clusters(rng, 20, 128)
    gaps = ((coded.vectors[None] - queries[:, None]) ** 2).sum(axis=2)
    gaps[:, coded.mask == 0] = np.inf
    nearest = np.argsort(gaps, axis=1)[:, :10]
    lists = coded.search(queries, k=10, kept=650)
    hits = [np.isin(best, one.places).sum() for best, one in zip(nearest, lists, strict=True)]
    assert sum(hits) >= 199


# ---------------------------------------------------------------------------------- determinism


@pytest.mark.slow
@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
@pytest.mark.parametrize("bits", [1, 4])
def test_list_depends_on_nothing_but_rows_and_query(
    make_runs, rng, pool, small_parts, bits, hamming
):
    coded = make_runs(clusters(rng, 4_000, 130), metric="l2", bits=bits, share=0.7)
    queries = clusters(rng, 33, 130)
    expected = content(coded.search(queries, hamming=hamming))
    assert len(list(split_blocks(coded.runs, 4_096))) > 8
    for order in ([3, 1, 0, 2], [2, 3, 1, 0]):
        runs = [coded.runs[at] for at in order]
        for threads in (1, 2, 8):
            for batch in (1, 3, 8, 33):
                found = [
                    one
                    for start in range(0, 33, batch)
                    for one in coded.search(
                        queries[start : start + batch],
                        runs=runs,
                        hamming=hamming,
                        pool=pool,
                        threads=threads,
                    )
                ]
                assert content(found) == expected, (order, threads, batch)


@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
def test_parts_of_the_codes_do_not_show(make_runs, rng, monkeypatch, hamming):
    """The tail lies in other blocks after the database was opened again."""
    vectors, queries = clusters(rng, 2_000, 64), clusters(rng, 4, 64)
    whole = make_runs(vectors, bits=1, edges=[0, 2_000])
    (run,) = whole.runs
    expected = content(whole.search(queries, hamming=hamming))
    cut = []
    for start, stop in ((0, 24), (24, 640), (640, 1_992), (1_992, 2_000)):
        part = slice(start // 8, stop // 8)
        cut.append(
            CodedRun(
                first=start,
                codes=run.codes[part],
                factors=run.factors[part],
                mask=run.mask[part],
                encoder=run.encoder,
                kappa=run.kappa,
                mul_max=run.mul_max,
            )
        )
    assert content(whole.search(queries, hamming=hamming, runs=cut)) == expected
    monkeypatch.setattr(scan_codes, "_PART_BYTES", 2_048)
    assert content(whole.search(queries, hamming=hamming)) == expected


def test_groups_of_a_large_batch_answer_in_order(make_runs, rng, monkeypatch):
    coded = make_runs(clusters(rng, 900, 40))
    queries = clusters(rng, 11, 40)
    expected = content(coded.search(queries))
    monkeypatch.setattr(shortlist, "_GROUP_KEPT", 300)
    assert content(coded.search(queries)) == expected


@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
def test_of_equal_rows_the_first_are_kept(make_runs, rng, pool, small_parts, hamming):
    """In a segment they lie by id: hence copies come out by id, however many there are."""
    vectors = np.repeat(clusters(rng, 1, 32), 5_000, axis=0)
    coded = make_runs(vectors, edges=[0, 5_000], metric="cosine", first=70)
    for threads in (1, 2):
        (found,) = coded.search(
            clusters(rng, 1, 32), k=10, kept=90, hamming=hamming, pool=pool, threads=threads
        )
        assert np.sort(found.places).tolist() == list(range(70, 160))
        assert not found.bound_met


# ------------------------------------------------------------------------------------- the edges


@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
@pytest.mark.parametrize("share", [0.3, 0.01])
def test_masked_rows_are_never_listed(make_runs, rng, share, hamming):
    coded = make_runs(clusters(rng, 1_200, 20), share=share, metric="dot")
    for one in coded.search(clusters(rng, 5, 20), kept=60, hamming=hamming):
        assert coded.mask[one.places].all()
        assert len(one.places) >= min(5, coded.matching)
        assert len(set(one.places.tolist())) == len(one.places)


def test_mask_is_as_if_the_other_rows_were_not_there(make_runs, rng):
    """About the same centre; the codes of a row do not depend on its neighbours."""
    coded = make_runs(clusters(rng, 800, 50), edges=[0, 800], share=0.5)
    (run,) = coded.runs
    rows = np.flatnonzero(coded.mask)
    codes, factors, refine = coded.quantizer.empty_codes(len(rows))
    run.encoder.encode(coded.vectors[rows], 0, codes, factors, refine)
    alone = CodedRun(
        first=0,
        codes=codes,
        factors=factors,
        mask=np.packbits(np.ones(len(rows), np.uint8), bitorder="little"),
        encoder=run.encoder,
        kappa=run.kappa,
        mul_max=float(factors[:, 1].max()),
        refine=refine,
    )
    queries = clusters(rng, 6, 50)
    for hamming in (False, True):
        some = coded.search(queries, hamming=hamming)
        every = coded.search(queries, hamming=hamming, runs=[alone])
        for one, other in zip(some, every, strict=True):
            assert np.sort(one.places).tolist() == rows[np.sort(other.places)].tolist()


def test_nothing_that_matches_gives_empty_lists(make_runs, rng):
    coded = make_runs(clusters(rng, 800, 16), share=0.0)
    for runs in ([], coded.runs):
        for hamming in (False, True):
            found = coded.search(clusters(rng, 2, 16), matching=0, runs=runs, hamming=hamming)
            assert [len(one.places) for one in found] == [0, 0]
    assert coded.search(np.empty((0, 16), np.float32)) == []


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [0.0, 3e38, 1e30, 1e15, 1e-20, 1e-45])
def test_numbers_at_the_ends_of_float32_leave_enough_rows(make_runs, rng, metric, size):
    """Estimates are of no use then; but k rows are found, and nothing is said on stderr."""
    vectors = np.clip(rng.standard_normal((600, 24)), -1, 1).astype(np.float32)
    with np.errstate(under="ignore"):
        vectors[::3] *= np.float32(size)
        coded = make_runs(vectors, metric=metric)
        for hamming in (False, True):
            found = coded.search(vectors[:7], k=20, kept=60, hamming=hamming)
            assert all(20 <= len(one.places) <= 60 for one in found)


@pytest.mark.parametrize("hamming", [False, True], ids=["rabitq", "hamming"])
def test_scan_ends_at_its_deadline(make_runs, rng, pool, small_parts, hamming):
    coded = make_runs(clusters(rng, 2_000, 64))
    late = Deadline(time.monotonic() - 1.0)
    for threads in (1, 4):
        with pytest.raises(DeadlineExceeded, match="scanning codes"):
            coded.search(
                clusters(rng, 3, 64), hamming=hamming, deadline=late, pool=pool, threads=threads
            )


def test_effort_multiplies_the_rows_kept_up_to_a_bound():
    assert rows_kept(10, 1.0, 10**6) == 650
    assert rows_kept(10, 0.1, 10**6) == 65
    assert rows_kept(10, 0.001, 10**6) == 10  # never fewer than asked for
    assert rows_kept(10, 8.0, 10**6) == 5_200
    assert rows_kept(10, 64.0, 10**6) == KEPT_MAX
    assert rows_kept(KEPT_MAX, 1.0, 10**6) == KEPT_MAX
    assert rows_kept(10, 1.0, 400) == 400
    assert rows_kept(10, 1.0, 0) == 1


def test_sigmas_grow_with_the_effort_from_two_to_three():
    assert [sigmas_at(effort) for effort in (0.1, 1.0, 8.0, 64.0)] == [2.0, 2.0, 3.0, 3.0]
    assert sigmas_at(2.0) == pytest.approx(2.0 + 1 / 3)
    assert math.isclose(sigmas_at(4.0), 2.0 + 2 / 3)


def test_warm_runs_every_kernel():
    warm()
