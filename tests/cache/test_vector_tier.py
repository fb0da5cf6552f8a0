"""The vector tier at every size: products, codes, a graph; while entries come, die and move."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vecdb.cache.graph import make_graph
from vecdb.cache.index import Index
from vecdb.cache.search import find_nearest
from vecdb.storage.cache_entries import Entry

from .conftest import DIM, SCOPE, Questions

NOW = 1_700_000_000_000_000


def entry(number, digest=None):
    return Entry(
        sequence=number + 1,
        created_us=NOW,
        expires_us=NOW + 10**9,
        until_us=NOW + 10**9,
        digest=digest or number.to_bytes(16, "little"),
        fingerprint=b"f" * 16,
        guard=bytes(32),
        scope=b"",
        category="faq",
        size=100,
    )


def make_index(count, dim=DIM, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(4, count // 20), dim))
    rows = centres[rng.integers(len(centres), size=count)] + 0.3 * rng.standard_normal((count, dim))
    rows = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    index = Index(dim, 1, NOW)
    for number, row in enumerate(rows):
        index.add(number + 1, entry(number + 1), row)
    return index, rows


def best(index, query, floor=-1.0):
    (partition,) = index.partitions.values()
    view = partition.view
    found = find_nearest(view, index.encoder, query, floor)
    return [(int(view.entries[slot]), score) for slot, score in found]


@pytest.mark.parametrize("count", [1, 5, 256, 257, 300, 2_000])
def test_nearest_entries_are_found_at_every_size(count):
    index, rows = make_index(count)
    rng = np.random.default_rng(1)
    agreed = 0
    for _ in range(50):
        query = rows[rng.integers(count)] + 0.05 * rng.standard_normal(DIM)
        query = (query / np.linalg.norm(query)).astype(np.float32)
        scores = rows @ query
        found = best(index, query)
        assert found[0][1] == pytest.approx(scores.max(), abs=1e-5)
        wanted = np.sort(scores)[::-1][: len(found)]
        agreed += np.allclose([score for _, score in found], wanted, atol=1e-5)
        assert len(found) == min(4, count)
    assert agreed >= 45


def test_floor_spares_vectors_and_loses_nothing_above_it():
    index, rows = make_index(1_500)
    for row in range(0, 1_500, 30):
        found = best(index, rows[row], 0.9)
        assert found[0] == (row + 1, pytest.approx(1.0, abs=1e-5))


@pytest.mark.parametrize("count", [40, 600])
def test_dead_entries_are_never_found_and_their_room_is_used_again(count):
    index, rows = make_index(count)
    rng = np.random.default_rng(4)
    alive = set(range(1, count + 1))
    for number in rng.permutation(count)[: count * 3 // 4] + 1:
        assert index.kill(int(number))
        assert not index.kill(int(number))
        alive.discard(int(number))
    for row in range(count):
        for number, _ in best(index, rows[row]):
            assert number in alive
        if row + 1 in alive:
            assert best(index, rows[row])[0][0] == row + 1
    (partition,) = index.partitions.values()
    assert partition.view.size <= max(64, 2 * len(alive))
    assert len(index) == len(alive)
    for number in range(1, count + 1):
        index.free(number)
    assert (len(index), len(index.partitions), len(index.rows)) == (0, 0, 0)
    index.add(9_999, entry(9_999), rows[0])
    assert best(index, rows[0])[0][0] == 9_999


def test_graph_proposes_and_exact_scores_decide():
    rows = make_index(3_000)[1]
    graph = make_graph(DIM, rows)
    for start in range(0, 3_000, 500):
        graph.add(rows[start : start + 500])
    right = sum(graph.search(rows[row])[0] == row for row in range(0, 3_000, 10))
    assert right >= 285
    assert graph.nbytes > 0


def test_partition_is_searched_by_a_graph_above_its_size(make_cache, questions):
    cache = make_cache(top={"hnsw_above": 300})
    vectors = [questions.new() for _ in range(420)]
    ask = {"category": "faq", "scope": SCOPE}
    for place, vector in enumerate(vectors[:400]):
        cache.put(vector, str(place), prompt=f"{place}?", wait=place == 399, **ask)
    till = time.monotonic() + 60
    while not cache.stats()["graphs"]:
        cache.maintain()
        assert time.monotonic() < till
        time.sleep(0.02)
    assert cache.stats()["graphs"] in (["faiss"], ["hnswlib"])
    for place, vector in enumerate(vectors[400:], 400):  # young: not in the graph yet
        cache.put(vector, str(place), prompt=f"{place}?", wait=True, **ask)
    found = [cache.get(questions.near(v, 0.95), **ask) for v in vectors]
    right = [hit is not None and hit.value == str(n) for n, hit in enumerate(found)]
    assert sum(right) >= 410
    cache.invalidate(category="faq")
    assert all(cache.get(vector, **ask) is None for vector in vectors)


@pytest.mark.slow
def test_lookups_of_many_threads_are_right_while_entries_come_and_go(make_cache):
    cache = make_cache()
    stop = threading.Event()
    faults: list[str] = []
    source = Questions(7)
    base = [source.new() for _ in range(600)]
    ask = {"category": "faq", "scope": SCOPE}

    def look(seed):
        mine = Questions(seed)
        while not stop.is_set():
            place = int(mine._rng.integers(600))
            hit = cache.get(mine.near(base[place], 0.97), **ask)
            if hit is not None and hit.value.split()[0] != str(place):
                faults.append(f"{place}: {hit.value}")

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    rng = np.random.default_rng(0)
    try:
        for turn in range(12):
            for place in rng.permutation(600)[:200].tolist():
                cache.put(
                    base[place],
                    f"{place} {turn}",
                    prompt=f"{place}?",
                    tags=[str(place % 7)],
                    **ask,
                )
            cache.put(base[0], f"0 {turn}", prompt="0?", wait=True, **ask)
            cache.invalidate(tags=[str(turn % 7)])
            cache.maintain()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    stats = cache.stats()
    assert stats["entries"] == stats["stored_entries"]
