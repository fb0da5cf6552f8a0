"""The walk of a graph in arrays against a twin in numpy, and what it must not depend on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from vecdb.deadline import Deadline
from vecdb.errors import DeadlineExceeded
from vecdb.index.entries import SAMPLE_STEP, Entries, sample_slots
from vecdb.index.graph import GraphRun, Walk, walk_graph
from vecdb.kernels.codes import scan_estimates
from vecdb.quantize.bounds import KAPPA
from vecdb.quantize.center import mean_of
from vecdb.quantize.planes import Encoder, Quantizer

COUNT, DIM, DEGREE, NONE = 1_203, 40, 8, 0xFFFFFFFF


def make_run(seed=0, *, count=COUNT, metric="l2", bits=4, first=0, quantizer=None):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, DIM), dtype=np.float32)
    quantizer = quantizer or Quantizer(dim=DIM, metric=metric, seed=3, bits=bits)
    encoder = Encoder(quantizer, mean_of([rows]))
    codes, factors, refine = quantizer.empty_codes(count)
    encoder.encode(rows, 0, codes, factors, refine)
    gaps = np.sum(rows**2, 1)[:, None] - 2 * rows @ rows.T + np.sum(rows**2, 1)
    np.fill_diagonal(gaps, np.inf)
    links = np.argsort(gaps, axis=1, kind="stable")[:, :DEGREE].astype(np.uint32)
    links[::3, -2:] = NONE
    run = GraphRun(
        first=first,
        count=count,
        codes=codes,
        factors=factors,
        mask=np.packbits(np.ones(count, np.uint8), bitorder="little"),
        encoder=encoder,
        kappa=KAPPA,
        mul_max=float(factors[:, 1].max()),
        refine=refine,
        links=links,
        entries=Entries.of(codes, factors, count),
    )
    return run, rows


def estimates_of(run, query):
    """The scan plane's estimate of every slot for one query, as its kernel makes it."""
    quantizer = run.encoder.quantizer
    planes = run.encoder.prepare(quantizer.rotate_queries(query[None]))
    values = np.empty((1, run.count), np.float32)
    slots, sizes = np.zeros((1, run.count), np.int64), np.zeros(1, np.int64)
    every = np.packbits(np.ones(run.count, np.uint8), bitorder="little")
    scan_estimates(
        *(run.codes, run.factors, every, 0, len(every)),
        *(planes.planes4, planes.delta4, planes.constant, quantizer.padded),
        *(values, slots, sizes),
    )
    found = np.empty(run.count, np.float32)
    found[slots[0]] = values[0]
    return found


def twin(run, query, width):
    """Slots in the pool at the end, and how many were expanded: by the rules, slowly."""
    e = estimates_of(run, query)
    pool, expanded, seen = [], set(), set()

    def offer(blocks):
        for block in blocks:
            if block in seen:
                continue
            seen.add(block)
            slots = range(8 * block, min(8 * block + 8, run.count))
            pool.extend((-float(e[slot]), slot) for slot in slots)
        pool.sort()
        del pool[width:]

    sample = sample_slots(run.count)
    best = sorted((-float(e[slot]), slot) for slot in sample.tolist())[:8]
    offer([slot // 8 for _, slot in best])
    while left := [slot for _, slot in pool if slot not in expanded]:
        node = left[0]
        expanded.add(node)
        offer([slot // 8 for slot in run.links[node].tolist() if slot != NONE])
    return [slot for _, slot in pool], len(expanded), len(seen)


def queries_of(rows, count=20):
    rng = np.random.default_rng(9)
    return rows[:count] + 0.2 * rng.standard_normal((count, DIM)).astype(np.float32)


def places(walked):
    return [sorted(one.tolist()) for one in walked.found]


def test_sample_is_one_of_64_and_its_codes_are_theirs():
    run, _ = make_run()
    entries = run.entries
    assert entries.slots.tolist() == list(range(0, COUNT, SAMPLE_STEP))
    for lane, slot in enumerate(entries.slots.tolist()):
        ours = entries.codes[lane // 8, :, lane % 8], entries.factors[lane // 8, :, lane % 8]
        theirs = run.codes[slot // 8, :, slot % 8], run.factors[slot // 8, :, slot % 8]
        assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("width", [10, 24, 100])
@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_walk_goes_where_the_rules_say(width, metric):
    run, rows = make_run(metric=metric, bits=1)
    queries = queries_of(rows)
    walk = Walk(k=10, width=width, sigmas=1e9)  # nothing is dropped from the pool
    found = walk_graph([run], run.encoder.quantizer, queries, walk)
    for number, (query, left) in enumerate(zip(queries, places(found), strict=True)):
        pool, expanded, blocks = twin(run, query, width)
        assert left == sorted(pool)
        assert found.nodes_expanded[number] == expanded
        assert found.blocks_scanned[number] == blocks
        assert found.codes_scanned[number] == 8 * blocks


@pytest.mark.parametrize("metric", ["l2", "cosine", "dot"])
def test_wide_walk_leaves_the_nearest_to_be_scored(metric):
    run, rows = make_run(metric=metric)
    queries = queries_of(rows)
    walk = Walk(k=10, width=COUNT, sigmas=4.0)
    walked = walk_graph([run], run.encoder.quantizer, queries, walk)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True) if metric == "cosine" else rows
    for query, left in zip(queries, walked.found, strict=True):
        near = unit @ query if metric != "l2" else -np.sum((rows - query) ** 2, axis=1)
        assert set(np.argsort(-near)[:10].tolist()) <= set(left.tolist())
        assert len(left) < COUNT // 4


def test_answer_depends_neither_on_threads_nor_on_the_batch():
    run, rows = make_run()
    queries = queries_of(rows, 50)
    quantizer, walk = run.encoder.quantizer, Walk(k=10, width=40)
    together = places(walk_graph([run], quantizer, queries, walk))
    alone = [places(walk_graph([run], quantizer, queries[i : i + 1], walk))[0] for i in range(50)]
    assert alone == together
    with ThreadPoolExecutor(3) as pool:
        shared = walk_graph([run], quantizer, queries, replace(walk, pool=pool, threads=4))
    assert places(shared) == together


def test_slots_that_may_not_match_steer_and_are_never_left():
    run, rows = make_run()
    queries = queries_of(rows)
    alive = np.random.default_rng(2).random(COUNT) < 0.3
    masked = replace(run, mask=np.packbits(alive, bitorder="little"))
    quantizer, walk = run.encoder.quantizer, Walk(k=10, width=60)
    whole = walk_graph([run], quantizer, queries, walk)
    some = walk_graph([masked], quantizer, queries, walk)
    assert np.array_equal(some.nodes_expanded, whole.nodes_expanded)
    assert all(alive[left].all() and len(left) >= 10 for left in some.found)
    nothing = replace(run, mask=np.zeros_like(run.mask))
    assert places(walk_graph([nothing], quantizer, queries, walk)) == [[]] * len(queries)


def test_runs_share_one_pool_and_keep_their_places():
    first, rows = make_run()
    quantizer = first.encoder.quantizer
    second, more = make_run(1, count=700, first=5_000, quantizer=quantizer)
    queries = np.concatenate((queries_of(rows, 10), queries_of(more, 10)))
    walk = Walk(k=10, width=300, sigmas=4.0)
    both = walk_graph([second, first], quantizer, queries, walk)
    assert places(both) == places(walk_graph([first, second], quantizer, queries, walk))
    everything = np.concatenate((rows, more))
    place_of = np.concatenate((np.arange(COUNT), 5_000 + np.arange(700)))
    for query, left in zip(queries, both.found, strict=True):
        near = place_of[np.argsort(np.sum((everything - query) ** 2, axis=1))[:5]]
        assert np.isin(near, left).all()


def test_walk_past_its_deadline_ends():
    run, rows = make_run()
    late = Deadline.after(1e-9)
    with pytest.raises(DeadlineExceeded):
        walk_graph([run], run.encoder.quantizer, rows[:5], Walk(k=1, width=8, deadline=late))


def test_nothing_to_walk_on_gives_nothing():
    run, rows = make_run()
    assert places(walk_graph([], run.encoder.quantizer, rows[:2], Walk(k=1, width=8))) == [[], []]
    assert walk_graph(
        [run], run.encoder.quantizer, rows[:0], Walk(k=1, width=8)
    ).found.edges.tolist() == [0]
