"""Threads that share a queue of work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vecdb.index.share import share


def take_all(queue):
    taken = []
    while True:
        try:
            taken.append(queue.popleft())
        except IndexError:
            return taken


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_every_item_is_taken_once(pool, threads):
    parts = share(range(1_000), take_all, pool, threads)
    assert sorted(item for part in parts for item in part) == list(range(1_000))


def test_without_a_pool_this_thread_does_it_all():
    assert share("abc", take_all, None, 8) == [["a", "b", "c"]]


def test_threads_work_at_the_same_time(pool):
    together = threading.Barrier(3, timeout=30)

    def work(queue):
        together.wait()
        return take_all(queue)

    assert len(share(range(3), work, pool, 3)) == 3


def test_busy_pool_is_not_waited_for():
    release = threading.Event()
    with ThreadPoolExecutor(1) as busy:
        blocked = busy.submit(release.wait, 30)
        assert share(range(5), take_all, busy, 2) == [[0, 1, 2, 3, 4]]
        release.set()
        assert blocked.result()


def test_search_from_within_the_pool_does_not_lock_up():
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(share, range(50), take_all, pool, 2) for _ in range(6)]
        for call in calls:
            parts = call.result(timeout=30)
            assert sorted(item for part in parts for item in part) == list(range(50))


@pytest.mark.parametrize("guilty", ["caller", "helper"])
def test_error_of_one_thread_ends_all_and_is_raised(pool, guilty):
    caller = threading.get_ident()
    together = threading.Barrier(2, timeout=30)
    taken = []

    def work(queue):
        together.wait()
        mine = threading.get_ident() == caller
        if mine == (guilty == "caller"):
            raise ValueError("broken")
        while queue:
            taken.append(queue.popleft())
            failed.wait(0.001)

    failed = threading.Event()
    with pytest.raises(ValueError, match="broken"):
        share(range(100_000), work, pool, 2)
    assert len(taken) < 100_000
