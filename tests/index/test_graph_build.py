"""The graph leads to the nearest, reaches every slot, and depends on its input alone."""

from __future__ import annotations

import heapq
import threading
import tracemalloc

import numpy as np
import pytest

from vecdb.index import graph_build
from vecdb.index.graph_build import (
    NONE,
    build_graph,
    graph_build_bytes,
    graph_faults,
    merge_links,
)
from vecdb.index.tree_build import build_tree


def draw_clusters(rng, count, dim, clusters=60):
    """Points of few latent dimensions about random centres."""
    centres = rng.standard_normal((clusters, dim))
    spans = 0.3 * rng.standard_normal((clusters, 4, dim))
    of = rng.integers(0, clusters, count)
    moves = np.einsum("ni,nid->nd", rng.standard_normal((count, 4)), spans[of])
    return (centres[of] + moves + 0.02 * rng.standard_normal((count, dim))).astype(np.float32)


def in_slot_order(vectors, leaf=128):
    tree, order = build_tree(
        vectors, leaf=leaf, page_rows=8, seed=3, tie_order=np.arange(len(vectors))
    )
    leaves = np.append(tree.lo[tree.leaves()], len(vectors)).astype(np.int64)
    return np.ascontiguousarray(vectors[order]), leaves


def build(vectors, leaves, *, metric="l2", degree=32, threads=1, pool=None, **rest):
    """A graph without faults."""
    roots = np.arange(0, len(vectors), 64)
    calls = {"progress": lambda done, total: None, "check": lambda: None} | rest
    links = build_graph(
        vectors, leaves, roots, metric=metric, degree=degree, threads=threads, pool=pool, **calls
    )
    assert graph_faults(links, len(vectors), roots, degree) == []
    return links


def walk(links, score, roots, width):
    """The ``width`` best slots of a best-first walk, and how many it scored."""
    best = sorted(((score(slot), slot) for slot in roots), reverse=True)[:4]
    seen = {slot for _, slot in best}
    found = sorted(best)  # the worst first
    open_ = [(-value, slot) for value, slot in best]
    heapq.heapify(open_)
    while open_:
        value, slot = heapq.heappop(open_)
        if len(found) == width and -value < found[0][0]:
            break
        for other in links[slot][links[slot] != NONE].tolist():
            if other not in seen:
                seen.add(other)
                reached = score(other)
                heapq.heappush(open_, (-reached, other))
                heapq.heappush(found, (reached, other))
                if len(found) > width:
                    heapq.heappop(found)
    return [slot for _, slot in sorted(found, reverse=True)], len(seen)


def recall_of(links, scores, width=40, k=10):
    """Of rows of scores; and the share of slots that was scored."""
    roots = range(0, len(links), 64)
    hits, seen = 0, 0
    for row in scores:
        found, looked = walk(links, row.__getitem__, roots, width)
        hits += len(set(found[:k]) & set(np.argsort(-row, kind="stable")[:k].tolist()))
        seen += looked
    return hits / (k * len(scores)), seen / (len(links) * len(scores))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_walk_finds_the_nearest(rng, metric):
    """Under dot the lengths differ, so that the best are not the nearest."""
    vectors = draw_clusters(rng, 4_060, 16)
    vectors, queries = vectors[60:], vectors[:60]
    if metric == "dot":
        vectors *= np.exp(0.5 * rng.standard_normal((4_000, 1))).astype(np.float32)
    vectors, leaves = in_slot_order(vectors)
    scores = queries @ vectors.T
    if metric == "l2":
        scores = 2 * scores - (vectors**2).sum(axis=1)
    recall, share = recall_of(build(vectors, leaves, metric=metric), scores)
    assert recall > 0.97
    assert share < 0.15


def test_a_slot_is_linked_to_its_nearest_and_back(rng):
    vectors, leaves = in_slot_order(draw_clusters(rng, 1_500, 8))
    links = build(vectors, leaves)
    gaps = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert np.mean(links[:, 0] == gaps.argmin(axis=1)) > 0.99
    own = [set(row[row != NONE].tolist()) for row in links]
    back = [u in own[v] for u in range(1_500) for v in own[u]]
    assert np.mean(back) > 0.6
    lengths = np.array([len(one) for one in own])
    assert 8 < lengths.mean() < 31


def test_threads_change_nothing(rng, pool, monkeypatch):
    vectors, leaves = in_slot_order(draw_clusters(rng, 1_500, 12))
    expected = build(vectors, leaves).tobytes()
    assert build(vectors, leaves, threads=2, pool=pool).tobytes() == expected
    monkeypatch.setattr(graph_build, "_STEP_PRODUCTS", 1)
    monkeypatch.setattr(graph_build, "_STEP_LINKS", 100)
    assert build(vectors, leaves, threads=8, pool=pool).tobytes() == expected


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("count", [1, 2, 3, 33, 200])
def test_few_slots(rng, count, metric):
    vectors = rng.standard_normal((count, 5)).astype(np.float32)
    links = build(*in_slot_order(vectors), metric=metric)
    assert ((links != NONE).sum(axis=1) >= min(1, count - 1)).all()


def test_walks_find_what_lies_beyond_the_leaves_around(rng, monkeypatch):
    monkeypatch.setattr(graph_build, "NEAR_LEAVES", 2)
    vectors, leaves = in_slot_order(draw_clusters(rng, 1_500, 8))
    gaps = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gaps, np.inf)
    fast, refined = (
        np.mean(build(vectors, leaves, refine=refine)[:, 0] == gaps.argmin(axis=1))
        for refine in (False, True)
    )
    assert fast < 0.95 < refined


@pytest.mark.parametrize("degree", [1, 2, 8])
def test_short_lists_reach_every_slot(rng, degree):
    vectors, leaves = in_slot_order(draw_clusters(rng, 900, 6))
    build(vectors, leaves, degree=degree)


def test_a_run_that_links_only_to_itself_is_reached():
    """Two leaves far apart, and the root lies in one."""
    vectors = np.zeros((256, 2), np.float32)
    vectors[:, 0] = np.arange(256)
    vectors[128:, 1] = 1e6
    leaves = np.array([0, 128, 256])
    calls = {"progress": lambda done, total: None, "check": lambda: None}
    links = build_graph(
        vectors, leaves, np.array([5]), metric="l2", degree=4, threads=1, pool=None, **calls
    )
    assert graph_faults(links, 256, np.array([5]), 4) == []


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_copies_lead_to_each_other_and_to_the_rest(rng, share):
    vectors = draw_clusters(rng, 1_000, 6)
    vectors[rng.permutation(1_000)[: int(share * 1_000)]] = vectors[0]
    vectors, leaves = in_slot_order(vectors)
    links = build(vectors, leaves)
    copies = (vectors[:, None] == vectors[None]).all(axis=2).sum(axis=1) > 100
    assert ((links != NONE).sum(axis=1) > 16)[copies].all()
    assert ((links != NONE).sum(axis=1) > 1).all()


def test_a_pair_of_copies_has_other_neighbours(rng):
    vectors, leaves = in_slot_order(np.repeat(draw_clusters(rng, 400, 6), 2, axis=0))
    links = build(vectors, leaves)
    assert (links[:, 0] == np.arange(800) ^ 1).all()
    assert ((links != NONE).sum(axis=1) > 1).all()


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e19, 3e38])
def test_numbers_too_small_or_too_large_to_square(rng, size, metric):
    vectors = (size * rng.uniform(-1, 1, (300, 5))).astype(np.float32)
    leaves = np.array([0, 100, 200, 300])
    build(vectors, leaves, metric=metric)


def test_progress_rises_to_all_work(rng, pool):
    vectors, leaves = in_slot_order(draw_clusters(rng, 1_000, 8))
    told = []
    build(
        vectors,
        leaves,
        threads=4,
        pool=pool,
        progress=lambda done, total: told.append((done, total)),
    )
    done = [one for one, _ in told]
    assert len({total for _, total in told}) == 1
    assert done == sorted(done)
    assert done[-1] == told[-1][1]
    assert len(done) > 10


def test_check_ends_the_work(rng, pool):
    vectors, leaves = in_slot_order(draw_clusters(rng, 1_000, 8))
    looks = []
    lock = threading.Lock()

    def check():
        with lock:
            looks.append(None)
            if len(looks) == 30:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(vectors, leaves, threads=2, pool=pool, check=check)
    assert len(looks) <= 32


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_memory_is_bounded(rng, metric):
    """Of what numpy takes; the room that kernels take for themselves is not traced."""
    count, dim, degree = 6_000, 8, 32
    vectors, leaves = in_slot_order(draw_clusters(rng, count, dim))
    build(vectors[:200], np.array([0, 100, 200]))  # compiled
    tracemalloc.start()
    try:
        links = build(vectors, leaves, metric=metric)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bound = graph_build_bytes(count, dim, degree, threads=1)
    of_threads = bound - (graph_build_bytes(count, dim, degree, threads=2) - bound)
    assert links.nbytes < of_threads
    assert peak <= bound
    assert of_threads < 1.3 * peak
    assert graph_build_bytes(2_000_000, 8) > 1.9 * graph_build_bytes(1_000_000, 8)


def test_merged_lists_are_one_a_page(rng):
    vectors, leaves = in_slot_order(draw_clusters(rng, 500, 8))
    links = build(vectors, leaves)
    merged = merge_links(links, 8, 60)
    assert merged.shape == (63, 60)
    assert (merged[:, 0] != NONE).all()
    assert not ((merged // 8) == np.arange(63)[:, None]).any()
    first = links[:8][(links[:8] >= 8) & (links[:8] != NONE)]
    assert set(merged[0][merged[0] != NONE]) <= set(first.tolist())


# ----------------------------------------------------------------------------------- graph_faults


@pytest.fixture
def ring():
    """Six slots, each linked to the next two; from slot 0 all are reached."""
    links = np.full((6, 3), NONE, np.uint32)
    links[:, 0] = (np.arange(6) + 1) % 6
    links[:, 1] = (np.arange(6) + 2) % 6
    return links


ROOTS = np.array([0])


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (2, 6, "slot 3: a link to a slot that there is not"),
        (2, 3, "slot 3: a link to itself"),
        (2, 4, "slot 3: the same link twice"),
        (0, NONE, "slot 3: a link behind the end of its list"),
    ],
)
def test_a_changed_link_is_a_fault(ring, place, value, fault):
    assert graph_faults(ring, 6, ROOTS, 3) == []
    ring[3, place] = value
    assert graph_faults(ring, 6, ROOTS, 3) == [fault]


def test_slots_out_of_reach_are_faults(ring):
    ring[:, 1] = NONE
    ring[3] = NONE
    ring.flags.writeable = False
    faults = graph_faults(ring, 6, ROOTS, 3)
    assert faults == [f"slot {slot}: no way to it from the entry points" for slot in (4, 5)]
    assert graph_faults(ring, 6, np.array([0, 4]), 3) == []


def test_links_of_another_shape_or_type_are_a_fault(ring):
    for links, count in ((ring, 7), (ring[:, :2], 6), (ring.astype(np.int64), 6)):
        assert graph_faults(links, count, ROOTS, 3) == [f"graph: links are not uint32[{count}, 3]"]
