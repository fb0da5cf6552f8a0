"""The tree holds every slot once, puts near rows side by side, and depends on its input alone."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb.index import tree_build, tree_split
from vecdb.index.tree import Tree, tree_faults
from vecdb.index.tree_build import build_tree
from vecdb.index.tree_split import chain_centroids, draw_rows


def draw_clusters(rng, count, dim, clusters=60):
    """Points of few latent dimensions about random centres."""
    centres = rng.standard_normal((clusters, dim))
    spans = 0.3 * rng.standard_normal((clusters, 4, dim))
    of = rng.integers(0, clusters, count)
    moves = np.einsum("ni,nid->nd", rng.standard_normal((count, 4)), spans[of])
    return (centres[of] + moves + 0.02 * rng.standard_normal((count, dim))).astype(np.float32)


def build(vectors, *, leaf=128, page_rows=8, seed=3, tie_order=None, **rest):
    """A tree without faults over an order that holds every row once."""
    tie_order = np.arange(len(vectors)) if tie_order is None else tie_order
    tree, order = build_tree(
        vectors, leaf=leaf, page_rows=page_rows, seed=seed, tie_order=tie_order, **rest
    )
    assert tree_faults(tree, len(vectors), vectors[order], leaf=leaf) == []
    np.testing.assert_array_equal(np.sort(order), np.arange(len(vectors)))
    return tree, order


def content(tree, order):
    return [order.tobytes(), *(values.tobytes() for values in tree.arrays().values())]


def pages_of_neighbours(vectors, order, page_rows, k=10, queries=100):
    """Mean number of pages that hold the k nearest rows of each of the first rows."""
    page_of = np.empty(len(order), np.int64)
    page_of[order] = np.arange(len(order)) // page_rows
    gaps = ((vectors[:queries, None] - vectors[None]) ** 2).sum(axis=2)
    nearest = np.argsort(gaps, axis=1)[:, :k]
    return np.mean([len(np.unique(pages)) for pages in page_of[nearest]])


@pytest.mark.parametrize("count", [1, 2, 128, 129, 200, 3_000])
@pytest.mark.parametrize("dim", [1, 3, 40])
def test_tree_holds_every_row_once(rng, count, dim):
    tree, _ = build(draw_clusters(rng, count, dim))
    assert len(tree) == 1 or count > 128
    assert Tree(**tree.arrays()).arrays().keys() == tree.arrays().keys()


def test_leaves_are_neither_too_large_nor_far_too_many(rng):
    tree, _ = build(draw_clusters(rng, 8_000, 16))
    leaves = tree.leaves()
    sizes = (tree.hi - tree.lo)[leaves]
    assert 40 < sizes.mean() < 110
    assert (np.diff(tree.lo[leaves].astype(np.int64)) > 0).all()
    assert tree.n_child.max() <= 32


@settings(max_examples=60)
@given(st.data())
def test_any_small_data_gives_a_sound_tree(data):
    """Few values a coordinate: many equal rows, many ties."""
    count, dim = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    vectors = rng.integers(0, data.draw(st.integers(1, 4)), (count, dim)).astype(np.float32)
    tie_order = rng.permutation(count)
    _, order = build(
        vectors,
        leaf=data.draw(st.integers(1, 12)),
        branching=data.draw(st.integers(2, 6)),
        page_rows=data.draw(st.integers(1, 9)),
        tie_order=tie_order,
    )
    assert_equal_rows_in_order(vectors, order, tie_order)


def assert_equal_rows_in_order(vectors, order, tie_order):
    _, kind = np.unique(vectors, axis=0, return_inverse=True)
    for one in np.unique(kind):
        ranks = tie_order[order[kind.ravel()[order] == one]]
        assert (np.diff(ranks) > 0).all()


@pytest.mark.parametrize("share", [0.3, 0.95, 1.0])
def test_equal_vectors_lie_in_slots_by_id(rng, share):
    """Copies fill many leaves, alone or among others."""
    vectors = draw_clusters(rng, 3_000, 8)
    vectors[rng.permutation(3_000)[: int(share * 3_000)]] = vectors[0]
    tie_order = rng.permutation(3_000)
    _, order = build(vectors, tie_order=tie_order)
    assert_equal_rows_in_order(vectors, order, tie_order)


@pytest.mark.parametrize("large_bytes", [64 * 1024 * 1024, 20_000])
def test_threads_and_the_order_of_rows_change_nothing(rng, monkeypatch, large_bytes):
    vectors = draw_clusters(rng, 4_000, 12)
    vectors[100:400] = vectors[:300]
    tie_order = rng.permutation(4_000)
    expected = content(*build(vectors, tie_order=tie_order))
    monkeypatch.setattr(tree_build, "_LARGE_BYTES", large_bytes)
    monkeypatch.setattr(tree_split, "_PIECE_ROWS", 1_001)
    for threads in (1, 2, 8):
        assert content(*build(vectors, tie_order=tie_order, threads=threads)) == expected
    moved = rng.permutation(4_000)
    tree, order = build(vectors[moved], tie_order=tie_order[moved])
    assert content(tree, moved[order]) == expected


def test_seed_changes_the_tree(rng):
    vectors = draw_clusters(rng, 4_000, 12)
    assert content(*build(vectors, seed=1)) != content(*build(vectors, seed=2))
    build(vectors, seed=2**64 - 1)


def test_near_rows_share_pages(rng):
    vectors = draw_clusters(rng, 4_000, 16)
    tree, order = build(vectors, page_rows=8)
    assert pages_of_neighbours(vectors, order, 8) < 6.0
    # What each stage adds: rows as they came in each leaf, and rows at random.
    inside = [rng.permutation(np.arange(tree.lo[leaf], tree.hi[leaf])) for leaf in tree.leaves()]
    assert pages_of_neighbours(vectors, order[np.concatenate(inside)], 8) > 7.0
    assert pages_of_neighbours(vectors, rng.permutation(4_000), 8) > 9.5


def test_neighbouring_leaves_are_near_each_other(rng):
    tree, _ = build(draw_clusters(rng, 8_000, 16))
    points = tree.centroids[tree.leaves()]
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1).mean()
    points = rng.permutation(points)
    assert steps < 0.7 * np.linalg.norm(np.diff(points, axis=0), axis=1).mean()


def test_chain_goes_to_the_nearest_point_left():
    points = np.array([[0], [5], [1], [9], [2]], np.float32)
    assert chain_centroids(points, [0, 1, 2, 3, 4]) == [0, 2, 4, 1, 3]
    assert chain_centroids(points, [1, 2, 3]) == [1, 2, 3]  # the first of two equally near
    assert chain_centroids(points, [1, 3, 2]) == [1, 3, 2]


def test_a_few_outliers_do_not_scatter_the_others(rng):
    """k-means puts nearly all rows into one child: they are cut into runs, and split further."""
    vectors = draw_clusters(rng, 2_000, 8)
    vectors[:20] *= 1e4
    _, order = build(vectors)
    assert pages_of_neighbours(vectors[20:], order[order >= 20] - 20, 8) < 6.0


def test_training_sees_rows_from_everywhere(rng, monkeypatch):
    """Ids follow the clusters, and a node trains on a tenth of its rows."""
    monkeypatch.setattr(tree_split, "_TRAINED_BYTES", 4 * 6 * 800)
    centres = 10 * rng.standard_normal((20, 6))
    vectors = np.repeat(centres, 400, axis=0) + rng.standard_normal((8_000, 6))
    tree, _ = build(vectors.astype(np.float32))
    sizes = (tree.hi - tree.lo)[1 : 1 + tree.n_child[0]]
    assert sizes.max() <= 800


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e38])
def test_numbers_too_small_or_too_large_to_square(rng, size):
    vectors = (size * rng.uniform(-1, 1, (700, 5))).astype(np.float32)
    build(vectors)


@pytest.mark.parametrize(("count", "wanted"), [(10, 10), (1_000, 7), (8_193, 8_192)])
def test_sample_has_one_row_of_each_part(count, wanted):
    rows = draw_rows(count, wanted, seed=2**64 - 1)
    edges = np.arange(wanted + 1) * count / wanted
    assert (rows >= np.floor(edges[:-1])).all()
    assert (rows < np.ceil(edges[1:])).all()
    np.testing.assert_array_equal(rows, draw_rows(count, wanted, seed=2**64 - 1))
    assert (draw_rows(10_000, 50, 1) != draw_rows(10_000, 50, 2)).any()


def test_progress_rises_to_all_rows(rng, monkeypatch):
    monkeypatch.setattr(tree_build, "_TASK_ROWS", 50)
    told = []
    build(
        draw_clusters(rng, 5_000, 8),
        leaf=16,
        branching=4,
        progress=lambda done, total: told.append((done, total)),
    )
    done = [one for one, _ in told]
    assert {total for _, total in told} == {5_000}
    assert done == sorted(done)
    assert done[0] < 2_600
    assert done.index(5_000) == len(done) - 1 > 10


def test_check_is_asked_inside_a_large_node(rng, monkeypatch):
    monkeypatch.setattr(tree_build, "_LARGE_BYTES", 0)
    looks, told = [], []
    build(
        draw_clusters(rng, 1_000, 8),
        check=lambda: looks.append(None),
        progress=lambda done, total: told.append(len(looks)),
    )
    assert told[0] > 10


def test_check_ends_the_work(rng):
    vectors = draw_clusters(rng, 5_000, 8)
    looks = []

    def check():
        looks.append(None)
        if len(looks) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(vectors, check=check)
    assert len(looks) == 3
    assert not [one for one in threading.enumerate() if one.name.startswith("vecdb-tree")]


def test_faiss_of_the_caller_keeps_its_threads(rng):
    import faiss

    faiss.omp_set_num_threads(3)
    build(draw_clusters(rng, 1_000, 8))
    assert faiss.omp_get_max_threads() == 3


# ------------------------------------------------------------------------------------ tree_faults


@pytest.fixture
def built(rng):
    vectors = draw_clusters(rng, 2_000, 6)
    tree, order = build(vectors, branching=4)
    return tree, vectors[order]


def changed(tree, name, node, value):
    values = getattr(tree, name).copy()
    values[node] = value
    return replace(tree, **{name: values})


@pytest.mark.parametrize(
    ("name", "node", "by", "words"),
    [
        ("lo", 0, 1, "node 0: its slots are"),
        ("hi", 0, -1, "node 0: its slots are"),
        ("parent", 0, 1, "node 0: parent 0 and level 0"),
        ("level", 0, 1, "node 0: parent -1 and level 1"),
        ("parent", 3, 1, "node 0: its children name another parent"),
        ("level", 3, 1, "node 0: its children are not one level below it"),
        ("lo", 2, 1, "node 0: its children do not follow each other"),
        ("hi", 4, -1, "node 0: its children do not follow each other"),
        ("n_child", 0, 1, "child of 2 nodes"),
        ("n_child", 0, -1, "child of 0 nodes"),
        ("n_child", 0, -4, "node 0: no children"),
        ("n_child", -1, 2, "a leaf with 2 children"),
        ("first_child", 0, -1, "node 0: no children"),
        ("first_child", 0, 10_000, "node 0: no children"),
        ("first_child", -1, -1, "a leaf with 0 children"),
        ("rmax", 7, -0.01, "node 7: a vector at distance"),
        ("rmax", 7, np.nan, "node 7: a vector at distance"),
        ("msd", 7, 0.01, "node 7: mean square"),
        ("msd", 7, np.nan, "node 7: mean square"),
    ],
)
def test_a_changed_number_is_a_fault(built, name, node, by, words):
    tree, vectors = built
    faulty = changed(tree, name, node, getattr(tree, name)[node].item() + by)
    assert any(words in fault for fault in tree_faults(faulty, 2_000, vectors))


def test_a_changed_centroid_is_a_fault(built):
    tree, vectors = built
    faulty = changed(tree, "centroids", 5, tree.centroids[5] + 1.0)
    faults = tree_faults(faulty, 2_000, vectors)
    assert faults
    assert all(fault.startswith("node 5: ") for fault in faults)
    assert tree_faults(faulty, 2_000) == []


def test_an_empty_node_is_a_fault(built):
    tree, _ = built
    faulty = changed(changed(tree, "hi", 2, tree.lo[2]), "lo", 3, tree.lo[2])
    assert "node 2: no slots" in tree_faults(faulty, 2_000)


def test_rows_in_another_order_are_a_fault(built):
    tree, vectors = built
    assert tree_faults(tree, 2_000, vectors[::-1])


def test_columns_of_another_shape_are_faults(built):
    tree, vectors = built
    for name, values in tree.arrays().items():
        for other in (values[:-1], values.astype(np.float64)):
            (fault,) = tree_faults(replace(tree, **{name: other}), 2_000, vectors)[:1]
            assert name in fault or "is not" in fault
    empty = Tree(**{name: values[:0] for name, values in tree.arrays().items()})
    assert tree_faults(empty, 0) == ["tree: it has no node"]


def test_other_counts_and_smaller_leaves_are_faults(built):
    tree, _ = built
    assert tree_faults(tree, 2_001)
    assert any("more than 20" in fault for fault in tree_faults(tree, 2_000, leaf=20))


def test_vectors_are_read_a_slice_at_a_time(built, monkeypatch):
    tree, vectors = built
    monkeypatch.setattr(sys.modules["vecdb.index.tree"], "_CHECKED_BYTES", 4 * 6 * 77)
    assert tree_faults(tree, 2_000, vectors) == []
    assert tree_faults(changed(tree, "rmax", 0, tree.rmax[0] * 0.999), 2_000, vectors)
