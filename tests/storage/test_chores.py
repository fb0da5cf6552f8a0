"""Work for idle moments, and a writer that breaks: nobody is left waiting."""

from __future__ import annotations

import threading

import pytest

from vecdb.errors import InvalidArgument, Unavailable


class Chores:
    """Idle work: a list of functions; ``asked`` counts how often the writer has looked."""

    def __init__(self, *chores):
        self.chores = list(chores)
        self.asked = 0
        self.empty = threading.Event()

    def __call__(self):
        self.asked += 1
        if self.chores:
            return self.chores[0]
        self.empty.set()
        return None

    def do(self, key):
        def run(group):
            group.add(key)
            self.chores.pop(0)

        return run


def test_chores_run_one_by_one(start_writing):
    chores = Chores()
    chores.chores = [chores.do(b"1"), chores.do(b"2"), chores.do(b"3")]
    writing = start_writing(idle=chores)
    chores.empty.wait()
    writing.close()
    assert writing.groups == [[b"1"], [b"2"], [b"3"]]
    assert chores.asked == 4


def test_one_chore_is_done_between_groups_though_writes_wait(start_writing):
    """Under a steady load there is no idle moment: chores would never be done."""
    chores = Chores()
    writing = start_writing(idle=chores)
    writing.hold()
    chores.empty.clear()
    chores.chores = [chores.do(b"1"), chores.do(b"2")]
    futures = writing.add(b"a", b"b")
    writing.leave()
    chores.empty.wait()
    writing.close()
    assert all(future.done() for future in futures)
    assert writing.groups == [[], [b"1"], [b"a", b"b"], [b"2"]]


def test_writer_that_is_woken_looks_for_chores(start_writing):
    chores = Chores()
    writing = start_writing(idle=chores)
    chores.empty.wait()
    chores.empty.clear()
    chores.chores = [chores.do(b"1")]
    writing.writer.wake()
    chores.empty.wait()
    writing.close()
    assert writing.groups == [[b"1"]]


@pytest.mark.parametrize("error", [InvalidArgument("no"), KeyError("a bug")])
def test_chore_that_fails_waits_for_the_next_write_and_does_not_spin(start_writing, error):
    failed = threading.Semaphore(0)

    def fail(group):
        failed.release()
        group.add(b"half done")
        raise error

    chores = Chores(fail)
    writing = start_writing(idle=chores)
    failed.acquire()
    writing.writer.wake()
    writing.add(b"a")[0].result()
    failed.acquire()  # tried again, once
    writing.writer.wake()
    writing.close()
    assert chores.asked == 2
    assert writing.groups == [[b"a"]]
    assert not failed.acquire(blocking=False)


# ------------------------------------------------------------------------- a writer that breaks


def test_bug_after_the_commit_leaves_nobody_waiting(
    start_writing, environment, values_of, group_class, monkeypatch
):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda found: seen.append(found.exc_value))
    entered, leave = threading.Event(), threading.Event()

    class Broken(group_class):
        def publish(self):
            entered.set()
            leave.wait()
            raise AssertionError("cannot be")

    writing = start_writing(environment, group=Broken)
    (first,) = writing.add(b"a")
    entered.wait()
    (second,) = writing.add(b"b")
    leave.set()
    for future, maybe_applied in ((first, True), (second, False)):
        with pytest.raises(Unavailable, match="cannot be") as caught:
            future.result()
        assert (caught.value.reason, caught.value.maybe_applied) == ("WRITER_ENDED", maybe_applied)
    writing.close()
    with pytest.raises(Unavailable, match="cannot be"):
        writing.add(b"c")
    assert list(values_of(environment, "records")) == [b"a"]
    assert [str(error) for error in seen] == ["cannot be"]


def test_bug_in_looking_for_chores_leaves_nobody_waiting(start_writing, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda found: None)
    asked, leave = threading.Event(), threading.Event()

    def idle():
        asked.set()
        leave.wait()
        raise AssertionError("cannot be")

    writing = start_writing(idle=idle)
    asked.wait()
    (future,) = writing.add(b"a")
    leave.set()
    with pytest.raises(Unavailable) as caught:
        future.result()
    assert (caught.value.reason, caught.value.maybe_applied) == ("WRITER_ENDED", False)
