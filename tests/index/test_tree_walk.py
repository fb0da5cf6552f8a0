"""The walk of trees against a twin in numpy, and what it must not depend on."""

from __future__ import annotations

import heapq
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb.index import tree_walk
from vecdb.index.tree_build import build_tree
from vecdb.index.tree_walk import LEAN_DOT, TreeRun, TreeWalk, patience_of, rank_mask, walk_trees
from vecdb.kernels.codes import scan_estimates
from vecdb.kernels.tree_walk import SMALL
from vecdb.quantize.bounds import KAPPA
from vecdb.quantize.center import mean_of
from vecdb.quantize.planes import Encoder, Quantizer

COUNT, DIM, K = 3_005, 24, 10


def clustered(seed, count):
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((40, DIM))
    return (centres[rng.integers(0, 40, count)] + rng.standard_normal((count, DIM))).astype("f4")


def pack(bits):
    return np.packbits(np.asarray(bits, np.uint8), bitorder="little")


def may_match(bits):
    """What a run says of the slots that may match."""
    bits = np.asarray(bits, bool)
    return {"ranked": rank_mask(pack(bits), len(bits)), "matching": int(bits.sum())}


def make_run(seed=0, *, count=COUNT, metric="l2", bits=4, first=0, chosen=None, quantizer=None):
    """A run and its rows in slot order; ``chosen``: bool[count], the slots that may match."""
    rows = clustered(seed, count)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    tree, order = build_tree(rows, leaf=64, page_rows=8, seed=3, tie_order=np.arange(count))
    rows = rows[order]
    quantizer = quantizer or Quantizer(dim=DIM, metric=metric, seed=3, bits=bits)
    encoder = Encoder(quantizer, mean_of([rows]))
    codes, factors, refine = quantizer.empty_codes(count)
    encoder.encode(rows, 0, codes, factors, refine)
    run = TreeRun(
        first=first,
        count=count,
        codes=codes,
        factors=factors,
        **may_match(np.ones(count, bool) if chosen is None else chosen),
        encoder=encoder,
        kappa=KAPPA,
        refine=refine,
        tree=tree,
    )
    return run, rows


def bits_of(run):
    words, _ = run.ranked
    return np.unpackbits(words.view(np.uint8), count=run.count, bitorder="little").astype(bool)


def estimates_of(run, query):
    """The scan plane's estimate of every slot for one query, as its kernel makes it."""
    quantizer = run.encoder.quantizer
    planes = run.encoder.prepare(quantizer.rotate_queries(query[None]))
    values = np.empty((1, run.count), np.float32)
    slots, sizes = np.zeros((1, run.count), np.int64), np.zeros(1, np.int64)
    scan_estimates(
        *(run.codes, run.factors, pack(np.ones(run.count)), 0, run.blocks),
        *(planes.planes4, planes.delta4, planes.constant, quantizer.padded),
        *(values, slots, sizes),
    )
    found = np.empty(run.count, np.float32)
    found[slots[0]] = values[0]
    return found


def twin(runs, query, walk, near_size=32):
    """Estimate and place of what is kept, best first; nodes visited; codes estimated."""
    metric = runs[0].encoder.quantizer.metric
    matching = sum(bits_of(run).sum() for run in runs)
    heap, base = [], 0
    for number, run in enumerate(runs):
        if bits_of(run).any():
            heap.append((-np.inf, base, number, 0))
        base += len(run.tree)
    heapq.heapify(heap)
    estimates = [estimates_of(run, query) for run in runs]
    if metric == "cosine":
        query = query / np.linalg.norm(query)
    near, found = [], []
    fruitless = visited = 0
    while heap:
        _, name, number, node = heapq.heappop(heap)
        run, tree = runs[number], runs[number].tree
        slots = np.arange(tree.lo[node], tree.hi[node])
        slots = slots[bits_of(run)[slots]]
        visited += 1
        if tree.n_child[node] and len(slots) > SMALL:
            first = int(tree.first_child[node])
            for child in range(first, first + int(tree.n_child[node])):
                if bits_of(run)[tree.lo[child] : tree.hi[child]].any():
                    centroid = tree.centroids[child].astype(np.float64)
                    key = np.sum((query - centroid) ** 2)
                    if metric == "dot":
                        lean = LEAN_DOT * np.linalg.norm(query)
                        key = -query @ centroid - lean * np.sqrt(float(tree.msd[child]))
                    heapq.heappush(heap, (key, name - node + child, number, child))
            continue
        improved = False
        for e in estimates[number][slots].tolist():
            if len(near) < near_size or e > near[0]:
                improved = True
                heapq.heappush(near, e)
                if len(near) > near_size:
                    heapq.heappop(near)
        found += [(-float(estimates[number][slot]), run.first + slot) for slot in slots.tolist()]
        fruitless = 0 if improved else fruitless + 1
        if fruitless >= walk.patience and len(found) >= min(walk.k, matching):
            break
    return sorted(found)[: walk.kept], visited, len(found)


def queries_of(rows, count=20):
    rng = np.random.default_rng(9)
    return rows[:count] + 0.2 * rng.standard_normal((count, DIM)).astype(np.float32)


def walked(runs, queries, walk):
    quantizer = runs[0].encoder.quantizer
    directions = queries
    if quantizer.metric == "cosine":
        directions = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return walk_trees(runs, quantizer, queries, directions, walk)


def same(ones, others):
    return all(
        sorted(one.places.tolist()) == sorted(other.places.tolist())
        and (one.nodes_visited, one.codes_scanned) == (other.nodes_visited, other.codes_scanned)
        for one, other in zip(ones, others, strict=True)
    )


def some_of(seed, share, count=COUNT):
    return np.random.default_rng(seed).random(count) < share


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
@pytest.mark.parametrize("share", [1.0, 0.4, 0.05])
@pytest.mark.parametrize("patience", [1, 6])
def test_walk_goes_where_the_rules_say(metric, share, patience):
    quantizer = Quantizer(dim=DIM, metric=metric, seed=3, bits=1)
    runs, base = [], 0
    for seed, count in ((0, COUNT), (1, 700), (2, 5)):
        chosen = some_of(seed, share, count)
        run, rows = make_run(
            seed, count=count, metric=metric, first=base, chosen=chosen, quantizer=quantizer
        )
        runs.append(run)
        base += count + 100  # places need not be dense
    queries = queries_of(rows := make_run(metric=metric)[1])
    assert len(rows) == COUNT
    walk = TreeWalk(k=K, kept=150, patience=patience, sigmas=1e9)  # nothing kept is dropped
    for query, one in zip(queries, walked(runs, queries, walk), strict=True):
        kept, visited, estimated = twin(runs, query, walk)
        assert (one.nodes_visited, one.codes_scanned) == (visited, estimated)
        assert sorted(one.places.tolist()) == sorted(place for _, place in kept)


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_endless_patience_leaves_the_nearest_to_be_scored(metric):
    chosen = some_of(5, 0.3)
    run, rows = make_run(metric=metric, chosen=chosen)
    queries = queries_of(rows)
    walk = TreeWalk(k=K, kept=COUNT, patience=1 << 40, sigmas=4.0)
    for query, one in zip(queries, walked([run], queries, walk), strict=True):
        near = rows @ query if metric != "l2" else -np.sum((rows - query) ** 2, axis=1)
        near[~chosen] = -np.inf
        assert one.codes_scanned == chosen.sum()
        assert set(np.argsort(-near)[:K].tolist()) <= set(one.places.tolist())
        assert chosen[one.places].all()


def test_walk_finds_as_many_as_are_wanted_whatever_may_match():
    rng = np.random.default_rng(3)
    whole, rows = make_run()
    other, _ = make_run(1, count=300, first=COUNT, quantizer=whole.encoder.quantizer)
    for _ in range(60):
        share = 10.0 ** rng.uniform(-3.5, 0)
        masks = [rng.random(run.count) < share for run in (whole, other)]
        if rng.random() < 0.3:  # where no query is near
            far = np.argsort(-np.sum((rows - rows[0]) ** 2, axis=1))[: rng.integers(1, 400)]
            masks[0] = np.isin(np.arange(COUNT), far)
        runs = [
            replace(run, **may_match(mask)) for run, mask in zip((whole, other), masks, strict=True)
        ]
        k = int(rng.integers(1, 400))
        walk = TreeWalk(k=k, kept=k, patience=1, sigmas=0.0)
        every = np.concatenate(masks)
        for one in walked(runs, queries_of(rows, 3), walk):
            assert len(np.unique(one.places)) == len(one.places) >= min(k, every.sum())
            assert every[one.places].all()


def test_answer_depends_neither_on_threads_nor_on_the_batch():
    run, rows = make_run(chosen=some_of(1, 0.5))
    queries = queries_of(rows, 50)
    walk = TreeWalk(k=K, kept=100, patience=3, sigmas=2.0)
    alone = [walked([run], query[None], walk)[0] for query in queries]
    assert same(walked([run], queries, walk), alone)
    with ThreadPoolExecutor(4) as pool:
        assert same(walked([run], queries, replace(walk, pool=pool, threads=4)), alone)


def test_walk_that_is_stopped_goes_on_where_it_was(monkeypatch):
    run, rows = make_run(chosen=some_of(1, 0.5))
    queries = queries_of(rows)
    walk = TreeWalk(k=K, kept=100, patience=5, sigmas=2.0)
    whole = walked([run], queries, walk)
    for steps in (1, 7):
        monkeypatch.setattr(tree_walk, "_STEPS", steps)
        assert same(walked([run], queries, walk), whole)


def test_deadline_is_looked_at():
    run, rows = make_run()
    walk = TreeWalk(k=K, kept=100, patience=5, sigmas=2.0, deadline=Deadline.after(1e-9))
    with pytest.raises(DeadlineExceeded):
        walked([run], queries_of(rows), walk)


def test_nothing_is_found_where_nothing_may_match():
    run, rows = make_run(chosen=np.zeros(COUNT))
    walk = TreeWalk(k=K, kept=100, patience=5, sigmas=2.0)
    found = walked([run], queries_of(rows, 3), walk)
    assert [(len(one.places), one.nodes_visited) for one in found] == [(0, 0)] * 3
    assert walk_trees([], run.encoder.quantizer, rows[:2], rows[:2], walk)[1].codes_scanned == 0


def test_copies_are_found_by_place():
    rows = np.repeat(clustered(0, 3), 100, axis=0)
    tree, order = build_tree(rows, leaf=64, page_rows=8, seed=3, tie_order=np.arange(300))
    run, _ = make_run(count=300)
    encoder = Encoder(run.encoder.quantizer, mean_of([rows]))
    codes, factors, refine = run.encoder.quantizer.empty_codes(300)
    encoder.encode(rows[order], 0, codes, factors, refine)
    run = replace(run, codes=codes, factors=factors, refine=refine, tree=tree, encoder=encoder)
    walk = TreeWalk(k=K, kept=50, patience=1, sigmas=2.0)
    ones, others = (walked([run], rows[:1], walk) for _ in range(2))
    assert same(ones, others)
    assert len(ones[0].places) == 50


def test_patience_grows_with_effort_and_with_the_number_of_trees():
    assert patience_of("l2", 1, 1.0) == tree_walk.PATIENCE
    assert patience_of("l2", 3, 1.0) == 2 * tree_walk.PATIENCE
    assert patience_of("dot", 1, 2.0) == 2 * tree_walk.PATIENCE_DOT
    assert patience_of("l2", 0, 1e-9) == 1
