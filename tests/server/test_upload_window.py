"""The chunks of an upload that wait for their commit: bounded, in order, ended cleanly."""

from __future__ import annotations

import threading

import pytest

from vecdb.errors import Unavailable
from vecdb_server.upload import Chunk, Window

SECONDS = 30.0


def start(work):
    """Run ``work`` in a thread; the result is read by ``join``."""
    done = threading.Event()
    found = []

    def run():
        found.append(work())
        done.set()

    threading.Thread(target=run, daemon=True).start()

    def join():
        assert done.wait(SECONDS)
        return found[0]

    join.done = done
    return join


def test_chunks_come_out_in_order():
    window = Window(3)
    for number in range(3):
        assert window.reserve()
        window.put(Chunk(number))
    window.finish()
    assert [window.take().number for _ in range(3)] == [0, 1, 2]


def test_full_window_waits_for_a_release():
    window = Window(1)
    assert window.reserve()
    window.put(Chunk(0))
    second = start(window.reserve)
    assert window.take().number == 0
    assert not second.done.is_set()  # taken is not yet acknowledged
    window.release()
    assert second() is True


def test_finished_window_gives_no_place():
    window = Window(1)
    window.finish()
    assert window.reserve() is False
    assert window.take() is None


def test_waiting_reader_is_woken_by_the_end():
    window = Window(1)
    window.reserve()
    waiting = start(window.reserve)
    window.finish()
    assert waiting() is False


def test_chunk_with_a_place_is_answered_although_the_window_is_finished():
    window = Window(2)
    assert window.reserve()
    taker = start(window.take)
    window.finish(Unavailable("draining"))
    window.put(Chunk(7))
    assert taker().number == 7
    window.release()
    assert window.take() is None
    with pytest.raises(Unavailable, match="draining"):
        window.check()


def test_first_end_counts():
    window = Window(1)
    window.finish()
    window.finish(Unavailable("later"))
    window.check()
