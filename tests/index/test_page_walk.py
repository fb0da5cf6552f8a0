"""Walks over pages: what they find, what they read, and that nothing else decides."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace

import numpy as np
import pytest

from vecdb.deadline import Deadline
from vecdb.errors import DataCorruption, DeadlineExceeded
from vecdb.index.entries import Entries
from vecdb.index.graph_build import merge_links
from vecdb.index.page_walk import PagePart, PageWalk, _Group, walk_pages
from vecdb.kernels import page_pool
from vecdb.kernels.exact import score_pairs
from vecdb.kernels.refine import refine_candidates
from vecdb.quantize.bounds import KAPPA
from vecdb.quantize.center import mean_of, normalise
from vecdb.quantize.planes import Encoder, Quantizer
from vecdb.storage.format import LAYOUT_CODED, LAYOUT_LINKED
from vecdb.storage.page_cache import PageCache
from vecdb.storage.page_geometry import geometry
from vecdb.storage.page_reader import open_reader
from vecdb.storage.pages import PageWriter
from vecdb.storage.stored_pages import StoredPages
from vecdb.testing.faults import flip_bit

pytestmark = pytest.mark.skipif(
    "NUMBA_DISABLE_JIT" in os.environ, reason="codes are compared with vector instructions"
)

DIM, COUNT, K = 96, 1_200, 10
METRICS = ("cosine", "dot", "l2")
LEVELS = ("codes", "entries")
NO_END = 10**9
SIZES = ((1_200, 0), (413, 1_203), (70, 5_000))


def draw(rng, count, dtype="float32"):
    """Vectors of a mixture in few dimensions: neighbours are neighbours."""
    centres = np.random.default_rng(5).standard_normal((20, 8)) * 2
    turn = np.random.default_rng(6).standard_normal((8, DIM))
    made = (centres[rng.integers(0, 20, count)] + rng.standard_normal((count, 8))) @ turn
    made += 0.2 * rng.standard_normal(made.shape)
    if dtype == "uint8":
        return np.clip(made * 6 + 128, 0, 255).astype(np.uint8)
    return made.astype(dtype)


def link(vectors, degree=12):
    """Each slot's nearest ones, and the next slot, so that all are reached from everywhere."""
    wide = vectors.astype(np.float64)
    squares = (wide**2).sum(1)
    gaps = squares[:, None] + squares - 2 * wide @ wide.T
    np.fill_diagonal(gaps, np.inf)
    links = np.argsort(gaps, axis=1)[:, :degree].astype(np.uint32)
    following = (np.arange(len(vectors), dtype=np.uint32) + 1) % len(vectors)
    alone = (links != following[:, None]).all(1)
    links[alone, 0] = following[alone]
    return links


@dataclass(frozen=True)
class Segment:
    """Vectors in an order of their own, their codes, and a part that walks on its pages."""

    quantizer: Quantizer
    vectors: np.ndarray
    live: np.ndarray
    codes: tuple[np.ndarray, ...]
    part: PagePart

    @property
    def places(self):
        return self.part.first + np.flatnonzero(self.live)


@pytest.fixture
def make(tmp_path):
    """Segments; their files are closed after the test."""
    made = []

    def build(
        level="codes", *, metric="l2", bits=4, dtype="float32", count=COUNT, share=1.0, first=0
    ):
        rng = np.random.default_rng(count + first)
        vectors = draw(rng, count, dtype)
        spread = np.argsort(vectors.astype(np.float32) @ np.ones(DIM, np.float32))
        vectors = vectors[spread]  # so that pages have something in common
        quantizer = Quantizer(dim=DIM, metric=metric, seed=3, bits=bits)
        rows = vectors.astype(np.float32)
        coded = normalise(rows) if metric == "cosine" else rows
        encoder = Encoder(quantizer, mean_of([coded]))
        codes = quantizer.empty_codes(count)
        encoder.encode(rows, 0, *codes)
        layout = LAYOUT_LINKED if level == "codes" else LAYOUT_CODED
        shape = geometry(DIM, dtype, 4096, layout, quantizer.words)
        merged = merge_links(link(coded), shape.per_page, shape.neighbours)
        name, segment = tmp_path / f"pages-{len(made)}", uuid.UUID(int=len(made))
        writer = PageWriter(name, shape, segment, count, merged, *codes[:2])
        writer.append(vectors)
        stored = StoredPages(name, shape, segment, writer.finish(), count)
        made.append(stored)
        live = rng.random(count) < share
        in_memory = codes if level == "codes" else (None, None, None)
        part = PagePart(
            first=first,
            pages=stored,
            mask=np.packbits(live, bitorder="little"),
            count=count,
            encoder=encoder,
            kappa=KAPPA,
            entries=Entries.of(*codes[:2], count),
            codes=in_memory[0],
            factors=in_memory[1],
            refine=in_memory[2],
        )
        return Segment(quantizer, vectors, live, codes, part)

    yield build
    for stored in made:
        stored.file.close()


@pytest.fixture
def make_cache():
    """A cache of so many pages; closed after the test."""
    caches = []

    def build(pages):
        reader = open_reader("threads")
        caches.append((PageCache(pages * 8192, 4096, reader), reader))
        return caches[-1][0]

    yield build
    for cache, reader in caches:
        cache.close()
        reader.close()


@pytest.fixture
def walk(make_cache):
    """Walk with so many pages cached; the widest and endless unless told otherwise."""
    caches = {}

    def run(segments, queries, cached=64, **options):
        cache = caches.setdefault(cached, make_cache(cached))
        options = {"k": K, "width": 10_000, "allowance": NO_END} | options
        parts = [one.part for one in segments]
        return walk_pages(parts, segments[0].quantizer, queries, PageWalk(**options), cache.hold)

    return run


@pytest.fixture
def queries():
    return draw(np.random.default_rng(77), 6)


def as_lists(walked):
    """All that an answer has, comparable."""
    return [
        (
            *(one.places.tobytes(), one.raw.tobytes(), one.squares.tobytes(), one.rounds),
            *(one.nodes_expanded, one.codes_scanned, one.codes_refined, one.stopped_by),
        )
        for one in walked
    ]


def best_of(segment, query, k=K):
    """Places of the k best that are live, by the metric itself."""
    rows, query = segment.vectors.astype(np.float64), query.astype(np.float64)
    near = rows @ query
    if segment.quantizer.metric == "cosine":
        near /= np.linalg.norm(rows, axis=1)
    if segment.quantizer.metric == "l2":
        near = 2 * near - (rows**2).sum(1)
    near[~segment.live] = -np.inf
    return segment.part.first + np.argsort(-near)[:k]


# -------------------------------------------------------------------------------- what they find


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("bits", "dtype"), [(4, "float32"), (2, "float16"), (1, "uint8")])
def test_widest_walk_scores_everything_to_the_bit(make, walk, queries, level, metric, bits, dtype):
    segment = make(level, metric=metric, bits=bits, dtype=dtype, share=0.3, first=1_000)
    pages = segment.part.pages.geometry.pages(COUNT)
    for query, one in zip(queries, walk([segment], queries), strict=True):
        order = np.argsort(one.places)
        assert one.places[order].tolist() == segment.places.tolist()
        rows = segment.vectors[segment.live].astype(np.float32)
        numbers = np.arange(len(rows))
        raw, squares = np.empty((2, len(rows)))
        gaps = metric == "l2"
        score_pairs(gaps, query[None], rows, np.zeros_like(numbers), numbers, raw)
        assert one.raw[order].tobytes() == raw.tobytes()
        score_pairs(False, rows, rows, numbers, numbers, squares)
        assert one.squares[order].tobytes() == (0 * squares if gaps else squares).tobytes()
        assert (one.nodes_expanded, one.stopped_by) == (pages, "pool")
        assert -(-pages // 4) <= one.rounds <= pages
        scanned, refined = one.codes_scanned, one.codes_refined
        assert (scanned == 0, refined == 0) == (
            (True, False) if level == "codes" else (False, True)
        )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("metric", METRICS)
def test_narrow_walk_finds_most_in_few_pages(make, walk, queries, level, metric):
    segment = make(level, metric=metric)
    walked = walk([segment], queries, width=60)
    found = [
        np.isin(best_of(segment, query), one.places).mean()
        for query, one in zip(queries, walked, strict=True)
    ]
    assert np.mean(found) >= 0.9
    pages = segment.part.pages.geometry.pages(COUNT)
    assert np.mean([one.nodes_expanded for one in walked]) < 0.6 * pages


@pytest.mark.parametrize("level", LEVELS)
def test_masked_slots_steer_and_are_never_found(make, walk, queries, level):
    whole, few = make(level), make(level, share=0.02)
    everything = walk([whole], queries, width=80)
    some = walk([few], queries, width=80)
    for one, all_of_them in zip(some, everything, strict=True):
        assert one.nodes_expanded == all_of_them.nodes_expanded  # the same pages
        assert set(one.places) == set(all_of_them.places) & set(few.places)
        assert len(one.places) < len(all_of_them.places)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_all_of_all_segments_are_found_by_the_widest_walk(make, walk, queries, level):
    segments = [make(level, count=count, first=first) for count, first in SIZES]
    walked = walk(segments, queries)
    for one in walked:
        assert sorted(one.places) == [place for some in segments for place in some.places]
    assert as_lists(walk(segments[::-1], queries)) == as_lists(walked)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_many_segments_are_searched_as_well_as_one(make, walk, level):
    """Each has its share of the nearest, so a walk that prefers one misses most."""
    queries = draw(np.random.default_rng(8), 20)
    segments = [make(level, count=400, first=1_000 * number) for number in range(12)]
    options = {"width": 64, "allowance": 16}
    walked = walk(segments, queries, **options)
    rows = np.concatenate([some.vectors for some in segments]).astype(np.float64)
    places = np.concatenate([some.places for some in segments])
    found = []
    for query, one in zip(queries, walked, strict=True):
        gaps = ((rows - query) ** 2).sum(1)
        found.append(np.isin(places[np.argsort(gaps)[:K]], one.places).mean())
    assert np.mean(found) >= 0.95
    pages = sum(some.part.pages.geometry.pages(400) for some in segments)
    assert np.mean([one.nodes_expanded for one in walked]) < 0.5 * pages


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("same", [False, True])
def test_pool_has_the_estimates_of_the_codes(make, make_cache, queries, level, bits, same):
    """``same``: the query is the centre and all sigmas are 0, but every neighbour is estimated."""
    segment = make(level, bits=bits)
    quantizer, encoder = segment.quantizer, segment.part.encoder
    query = encoder.mean[None] if same else queries[:1]
    group = _Group([segment.part], quantizer, query, PageWalk(k=K, width=COUNT, allowance=NO_END))
    group.run(make_cache(8).hold)
    size = group.ends[0, 0, page_pool.SIZE]
    assert size > COUNT // 2
    slots, found = group.pools[2][0, 0, :size], group.pools[0][0, 0, :size]
    planes = encoder.prepare(quantizer.rotate_queries(query))
    codes, fac, refine = segment.codes
    e, sigma = np.empty((2, 1), np.float32)
    for slot, estimate in zip(slots.tolist(), found.tolist(), strict=True):
        code, (add, mul) = codes[slot // 8, :, slot % 8], fac[slot // 8, :, slot % 8]
        if level == "entries" or bits == 1:
            differing = np.bitwise_count(code[:, None] ^ planes.planes4[:, :, 0]).sum(0)
            product = planes.delta4[0] * np.float32(
                7.5 * quantizer.padded - (differing * 2 ** np.arange(4)).sum()
            )
            assert estimate == (add + mul * product) + planes.constant[0]
            continue
        refine_candidates(
            *(codes, fac, refine, bits, quantizer.padded, np.array([slot]), e, planes.planes8[0]),
            *(planes.delta8[0], planes.constant[0], planes.length[0], KAPPA, 0.0, 1, e, sigma),
        )
        assert estimate == e[0]


# ----------------------------------------------------------------------------- how they end


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("metric", METRICS)
def test_walk_ends_when_too_much_is_too_far(make, walk, queries, level, metric):
    segment = make(level, metric=metric)
    endless = walk([segment], queries)
    read = []
    for allowance in (0, 20):
        walked = walk([segment], queries, allowance=allowance)
        assert {one.stopped_by for one in walked} == {"margin"}
        for one, whole in zip(walked, endless, strict=True):
            size = len(one.places)
            assert one.places.tolist() == whole.places[:size].tolist()  # the same, cut short
        read.append(sum(one.nodes_expanded for one in walked))
    assert read[0] < read[1] < sum(one.nodes_expanded for one in endless)


class Passing(Deadline):
    """Passes when it has been looked at so often."""

    looks = 0

    def check(self, doing):
        Passing.looks += 1
        if Passing.looks > 4:
            raise DeadlineExceeded("the deadline passed", hint="Raise timeout")


def test_no_page_is_read_after_the_deadline(make, make_cache, queries):
    segment, cache = make(), make_cache(8)
    batches = []

    def hold(wanted):
        batches.append(wanted)
        return cache.hold(wanted)

    Passing.looks = 0
    options = {"k": K, "width": COUNT, "allowance": NO_END, "deadline": Passing()}
    with pytest.raises(DeadlineExceeded):
        walk_pages([segment.part], segment.quantizer, queries, PageWalk(**options), hold)
    assert len(batches) == 3  # one look before all rounds, then one before each


def test_damaged_page_ends_the_walk(make, walk, queries):
    segment = make()
    before = as_lists(walk([segment], queries, cached=0))
    flip_bit(segment.part.pages.file.path, 5 * 4096 + 1_000, 3)
    with pytest.raises(DataCorruption, match="page 5 has a wrong checksum"):
        walk([segment], queries, cached=0)
    flip_bit(segment.part.pages.file.path, 5 * 4096 + 1_000, 3)
    assert as_lists(walk([segment], queries, cached=0)) == before


def test_linked_pages_without_codes_in_memory_are_refused(make, walk, queries):
    segment = make()
    bare = replace(segment.part, codes=None, factors=None, refine=None)
    with pytest.raises(AssertionError, match="have to bring them"):
        walk([replace(segment, part=bare)], queries)


# ------------------------------------------------------------------------ what does not decide


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_answer_is_the_same_alone_cached_and_on_many_threads(make, walk, pool, level):
    queries = draw(np.random.default_rng(9), 75)
    segments = [make(level, share=0.7), make(level, count=413, first=1_200)]
    options = {"width": 40, "allowance": 8}
    together = as_lists(walk(segments, queries, **options))
    assert len({one[4] for one in together}) > 5  # they are not all alike
    for cached in (0, 3, 1_000):
        for _ in range(2):
            assert as_lists(walk(segments, queries, cached=cached, **options)) == together
    assert as_lists(walk(segments, queries, pool=pool, threads=4, **options)) == together
    for query in (0, 40, 74):
        alone = walk(segments, queries[query : query + 1], **options)
        assert as_lists(alone) == together[query : query + 1]


def test_vast_segments_are_walked_by_few_queries_at_once(make, walk, queries, monkeypatch):
    segment = make()
    expected = as_lists(walk([segment], queries, width=50))
    monkeypatch.setattr("vecdb.index.page_walk._SCRATCH_BYTES", 1)
    assert as_lists(walk([segment], queries, width=50)) == expected
