"""Each kernel of the graph's build beside a few lines of numpy; small whole numbers, so exactly."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.graph_build import (
    OFFERS_MAX,
    accept_offers,
    count_offers,
    find_near_leaves,
    join_lists,
    link_run,
    place_offers,
)
from vecdb.kernels.graph_prune import NONE, make_scratch, prune, sort_by_distance
from vecdb.kernels.graph_reach import UNREACHED, attach_next, merge_pages, spread
from vecdb.kernels.graph_refine import refine_links


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def draw_points(rng, count, dim=3, most=9):
    vectors = rng.integers(-most, most + 1, (count, dim)).astype(np.float32)
    scales = 2.0 ** rng.integers(0, 2, count).astype(np.float32)
    return vectors, scales.astype(np.float32)


def gaps_of(vectors, scales):
    points = vectors.astype(np.float64) * scales[:, None]
    return ((points[:, None] - points[None]) ** 2).sum(axis=2)


def in_order(gaps, slot, candidates):
    """Nearest first, equally near ones from the slot on."""
    count = len(gaps)
    return sorted(candidates, key=lambda other: (gaps[slot, other], (other - slot) % count))


def prune_in_numpy(gaps, slot, candidates, alpha2, degree):
    kept = []
    for v in in_order(gaps, slot, candidates):
        if len(kept) < degree and all(alpha2 * gaps[u, v] >= gaps[slot, v] for u in kept):
            kept.append(v)
    return kept


def to_links(lists, degree):
    links = np.full((len(lists), degree), NONE, np.uint32)
    for slot, some in enumerate(lists):
        links[slot, : len(some)] = some
    return links


def to_lists(links):
    return [row[row != NONE].tolist() for row in links]


def test_candidates_are_sorted_by_distance_then_from_the_slot_on(rng):
    for slot in (0, 4, 11):
        slots = np.array([other for other in rng.permutation(12) if other != slot])
        gaps = rng.integers(0, 3, 12).astype(np.float32)
        found = gaps[slots]
        expected = sorted(slots.tolist(), key=lambda other: (gaps[other], (other - slot) % 12))
        sort_by_distance(slots, found, slot, 12)
        assert slots.tolist() == expected
        np.testing.assert_array_equal(found, gaps[expected])


@pytest.mark.parametrize("alpha2", [1.0, 1.5])
@pytest.mark.parametrize("degree", [1, 4, 30])
def test_pruning_keeps_what_no_kept_one_is_nearer_to(rng, alpha2, degree):
    vectors, scales = draw_points(rng, 40)
    gaps = gaps_of(vectors, scales)
    for slot in range(0, 40, 7):
        candidates = [int(other) for other in rng.permutation(40)[:25] if other != slot]
        ordered = in_order(gaps, slot, candidates)
        scratch = make_scratch(40, 3)
        scratch[0][: len(ordered)] = ordered
        scratch[1][: len(ordered)] = gaps[slot, ordered]
        out = np.zeros((1, degree), np.uint32)
        prune((vectors, scales), slot, len(ordered), np.float32(alpha2), scratch, out[0])
        assert to_lists(out) == [prune_in_numpy(gaps, slot, candidates, alpha2, degree)]


def test_near_leaves_are_by_centroid_and_begin_with_the_leaf(rng):
    centroids = rng.integers(-9, 10, (11, 3)).astype(np.float32)
    centroids[5] = centroids[2]
    gaps = gaps_of(centroids, np.ones(11))
    near = np.full((11, 6), -1, np.int32)
    half = (0.5 * (centroids**2).sum(axis=1)).astype(np.float32)
    find_near_leaves(centroids, half, 0, 6, near)
    find_near_leaves(centroids, half, 6, 11, near)
    for leaf in range(11):
        assert near[leaf, 0] == leaf
        np.testing.assert_array_equal(np.sort(gaps[leaf])[:6], gaps[leaf, near[leaf]])
        assert len(set(near[leaf])) == 6


@pytest.mark.parametrize("outer", [0, 4])
@pytest.mark.parametrize("m", [3, 10, 60])
def test_slots_link_to_the_nearest_of_the_leaves_around(rng, m, outer):
    vectors, scales = draw_points(rng, 50, most=300)
    gaps = gaps_of(vectors, scales)
    leaves = np.array([0, 9, 10, 30, 41, 50])
    half = (0.5 * ((scales[:, None] * vectors) ** 2).sum(axis=1)).astype(np.float32)
    links, far = np.zeros((50, 5), np.uint32), np.zeros((50, outer), np.uint32)
    near = np.array([2, 0, 4], np.int32)
    link_run(vectors, scales, half, leaves, near, 12, 19, m, 1.0, links, far)
    around = [*range(10, 30), *range(9), *range(41, 50)]
    for slot in range(12, 19):
        others = [other for other in around if other != slot]
        nearest = in_order(gaps, slot, others)[:m]
        assert to_lists(links)[slot] == prune_in_numpy(gaps, slot, nearest, 1.0, 5)
        by_product = sorted(others, key=lambda other: -(vectors[slot] @ vectors[other]))
        assert sorted(to_lists(far)[slot]) == sorted(by_product[:outer])
    for out in (links, far):
        assert not out[:12].any()
        assert not out[19:].any()


def test_fewer_slots_than_wanted_fill_the_end():
    vectors = np.array([[1], [2], [4]], np.float32)
    links, far = np.zeros((3, 5), np.uint32), np.zeros((3, 4), np.uint32)
    ground = (vectors, np.ones(3, np.float32), 0.5 * vectors[:, 0] ** 2, np.array([0, 3]))
    link_run(*ground, np.array([0], np.int32), 0, 3, 9, 100.0, links, far)
    assert to_lists(links) == [[1, 2], [0, 2], [1, 0]]
    assert [sorted(own) for own in to_lists(far)] == [[1, 2], [0, 2], [0, 1]]


def test_joined_lists_name_each_slot_once():
    links = to_links([[3, 1], [0], []], 2)
    outer = to_links([[1, 2, 3], [2, 0, 3], [1]], 3)
    out = np.zeros((3, 5), np.uint32)
    join_lists(links, outer, out)
    assert to_lists(out) == [[3, 1, 2], [0, 2, 3], [1]]


def offers_of(links):
    ends = np.zeros(len(links), np.int64)
    half = len(links) // 2
    count_offers(links, 0, half, ends)
    count_offers(links, half, len(links), ends)
    offers = np.empty(ends.sum(), np.uint32)
    ends = np.append(0, np.cumsum(ends[:-1]))
    place_offers(links, 0, half, ends, offers)
    place_offers(links, half, len(links), ends, offers)
    return ends, offers


def draw_links(rng, count, degree, most):
    lists = []
    for slot in range(count):
        others = [int(other) for other in rng.permutation(count) if other != slot]
        lists.append(others[: rng.integers(0, most + 1)])
    return to_links(lists, degree)


def test_offers_are_by_target_then_by_slot(rng):
    links = draw_links(rng, 20, 6, 6)
    ends, offers = offers_of(links)
    for slot in range(20):
        start = ends[slot - 1] if slot else 0
        expected = [u for u, own in enumerate(to_lists(links)) if slot in own]
        assert offers[start : ends[slot]].tolist() == expected


def test_offers_join_the_list_and_what_does_not_fit_is_pruned(rng):
    vectors, scales = draw_points(rng, 40)
    gaps = gaps_of(vectors, scales)
    links = draw_links(rng, 40, 6, 5)
    before = to_lists(links)
    ends, offers = offers_of(links)
    accept_offers(vectors, scales, ends, offers, 0, 17, 1.5, links)
    accept_offers(vectors, scales, ends, offers, 17, 40, 1.5, links)
    fitted = 0
    for slot, found in enumerate(to_lists(links)):
        given = {u for u, own in enumerate(before) if slot in own}
        union = {*before[slot], *given}
        if len(union) > 6:
            assert found == prune_in_numpy(gaps, slot, union, 1.5, 6)
        else:
            assert sorted(found) == sorted(union)
            fitted += given > set(before[slot])
    assert fitted


def test_of_very_many_offers_the_nearest_are_considered():
    count = 3 * OFFERS_MAX
    vectors = np.zeros((count, 2), np.float32)
    vectors[1:, 0] = np.arange(count - 1, 0, -1)  # the last slots are the nearest to slot 0
    links = to_links([[], *([0] for _ in range(count - 1))], 2)
    ends, offers = offers_of(links)
    accept_offers(vectors, np.ones(count, np.float32), ends, offers, 0, 1, 0.0, links)
    assert to_lists(links)[0] == [count - 1]
    links[0] = NONE
    accept_offers(vectors, np.ones(count, np.float32), ends, offers, 0, 1, 1e9, links)
    assert to_lists(links)[0] == [count - 1, count - 2]


def test_a_walk_that_sees_everything_chooses_among_the_nearest(rng):
    vectors, scales = draw_points(rng, 40, most=300)
    gaps = gaps_of(vectors, scales)
    ring = to_links([[(slot + 1) % 40, (slot + 7) % 40] for slot in range(40)], 2)
    out = np.zeros((40, 8), np.uint32)
    refine_links(vectors, scales, ring, 3, 30, 39, 1.5, out)
    for slot in range(3, 30):
        others = [other for other in range(40) if other != slot]
        assert to_lists(out)[slot] == prune_in_numpy(gaps, slot, others, 1.5, 8)
    assert not out[:3].any()
    assert not out[30:].any()


def test_a_narrow_walk_goes_down_to_the_nearest():
    """Slots along a line, linked to those around and to no others."""
    count = 60
    vectors = np.arange(count, dtype=np.float32).reshape(-1, 1)
    lists = [[other for other in (s - 2, s - 1, s + 1) if 0 <= other < count] for s in range(count)]
    lists[50] = [3]  # far from all that it links to
    out = np.zeros((count, 4), np.uint32)
    refine_links(vectors, np.ones(count, np.float32), to_links(lists, 3), 50, 51, 4, 1.0, out)
    assert to_lists(out)[50] == [49]  # the way to 51 leads over slot 50 itself


def reach(links, roots):
    count = len(links)
    parents = np.full(count, UNREACHED, np.int32)
    queue = np.empty(count, np.int64)
    parents[roots] = -1
    queue[: len(roots)] = roots
    return parents, queue, spread(links, 0, len(roots), len(roots), parents, queue)


def test_links_are_followed_so_many_slots_at_a_time():
    links = to_links([[1, 2], [3], [], [0], [3]], 2)
    parents, queue, tail = reach(links, [0])
    assert queue[:tail].tolist() == [0, 1, 2]
    tail = spread(links, 1, tail, 1, parents, queue)
    assert queue[:tail].tolist() == [0, 1, 2, 3]
    assert parents.tolist() == [-1, 0, 0, 1, UNREACHED]


@pytest.mark.parametrize(
    ("lists", "roots", "after"),
    [
        # It links to a slot with room; else that gives its longest link by which none is reached.
        ([[1], [0], [1]], [0], [[1], [0, 2], [1]]),
        ([[1, 3], [0, 3], [1], [0]], [0], [[1, 3], [0, 2], [1], [0]]),
        # Slot 1 was reached over 0, and both links of 0 are needed: slot 3 gives one.
        ([[1, 3], [0, 3], [0], [0, 1]], [0], [[1, 3], [0, 2], [0], [0, 1]]),
        # It links to nothing: the nearest in order.
        ([[1], [0], [], []], [0], [[1], [0, 2], [3], []]),
    ],
)
def test_a_slot_that_is_not_reached_gets_a_link(lists, roots, after):
    links = to_links(lists, 2)
    parents, queue, tail = reach(links, roots)
    start = 0
    while tail < len(links):
        start = attach_next(links, parents, start)
        queue[tail] = start
        tail = spread(links, tail, tail + 1, 1, parents, queue)
    assert to_lists(links) == after


@pytest.mark.parametrize("degree", [1, 3, 40])
@pytest.mark.parametrize("per_page", [1, 4, 7])
def test_pages_merge_lists_by_rank(rng, per_page, degree):
    links = draw_links(rng, 26, 6, 6)
    pages = -(-26 // per_page)
    merged = np.zeros((pages, degree), np.uint32)
    merge_pages(links, per_page, 0, 2, merged)
    merge_pages(links, per_page, 2, pages, merged)
    for page in range(pages):
        members = range(page * per_page, min(26, (page + 1) * per_page))
        expected = []
        for rank in range(6):
            for slot in members:
                v = int(links[slot, rank])
                if v != NONE and v not in members and v not in expected:
                    expected.append(v)
        assert to_lists(merged)[page] == expected[:degree]
