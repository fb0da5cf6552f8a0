"""Group commit: what waits together is synced together, and each write answers for itself."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from vecdb import limits
from vecdb.errors import InvalidArgument, LimitExceeded, PreconditionFailed, Unavailable
from vecdb.storage.witness import read_witness


def refuse(error, *, after=None):
    """A write that raises, before it changes anything or after."""

    def run(group):
        if after is not None:
            group.add(after)
        raise error

    return run


# ------------------------------------------------------------------------------- group commit


def test_write_is_stored_when_its_future_is_done(writing, environment, values_of):
    (future,) = writing.add(b"a")
    assert future.result() == 1
    assert values_of(environment, "records") == {b"a": b"v"}


def test_writes_that_wait_together_share_one_commit(writing, environment, values_of):
    writing.hold()
    futures = writing.add(*(b"%02d" % number for number in range(50)))
    assert writing.writer.depth == 50
    writing.leave()
    assert [future.result() for future in futures] == list(range(1, 51))
    assert writing.writer.commits == 2  # the one that held the thread, then all others
    assert len(values_of(environment, "records")) == 50
    with environment.read() as transaction:
        assert transaction.number == 2  # LMDB's own count: the tables, then the 50 writes


def test_writes_apart_have_commits_of_their_own(writing):
    for key in (b"a", b"b", b"c"):
        writing.add(key)[0].result()
    assert writing.writer.commits == 3
    assert writing.groups == [[b"a"], [b"b"], [b"c"]]


def test_group_ends_at_its_bytes_but_takes_at_least_one_write(writing):
    writing.hold()
    half = limits.GROUP_BYTES // 2
    sizes = [half, half, 1, 3 * half, half]
    futures = [writing.add(b"%d" % n, size_bytes=size)[0] for n, size in enumerate(sizes)]
    writing.leave()
    for future in futures:
        future.result()
    assert writing.groups == [[], [b"0", b"1"], [b"2"], [b"3"], [b"4"]]


def test_write_is_published_after_the_sync(start_writing, environment, group_class):
    seen = []

    class Reading(group_class):
        def publish(self):
            with environment.read() as transaction:
                seen.append(transaction.get("records", b"a"))

    start_writing(environment, group=Reading).add(b"a")[0].result()
    assert seen == [b"v"]


def test_witness_knows_the_commit_when_the_write_is_done(writing, directory, environment):
    for key in (b"a", b"b"):
        writing.add(key)[0].result()
        with environment.read() as transaction:
            assert read_witness(directory).transaction == transaction.number


def test_group_that_makes_the_map_grow_is_applied_once(open_environment, start_writing, values_of):
    environment = open_environment(map_bytes=65_536)
    writing = start_writing(environment)
    writing.hold()
    futures = [
        writing.writer.submit(lambda group, n=n: group.add(b"%d" % n, bytes(30_000)), 1)
        for n in range(9)
    ]
    writing.leave()
    assert [future.result() for future in futures] == list(range(1, 10))
    assert writing.groups == [[], [b"%d" % n for n in range(9)]]
    assert len(values_of(environment, "records")) == 9


# ------------------------------------------------------------------------------ failing writes


def test_write_that_fails_before_it_changes_anything_fails_alone(writing, environment, values_of):
    writing.hold()
    good = writing.add(b"a")
    bad = writing.writer.submit(refuse(PreconditionFailed("no")), 1)
    good += writing.add(b"b")
    writing.leave()
    assert [future.result() for future in good] == [1, 2]
    with pytest.raises(PreconditionFailed, match="no"):
        bad.result()
    assert writing.writer.commits == 2
    assert list(values_of(environment, "records")) == [b"a", b"b"]


@pytest.mark.parametrize("error", [InvalidArgument("too late"), KeyError("a bug")])
def test_write_that_fails_after_changes_is_undone_and_the_others_run_again(
    writing, environment, values_of, error
):
    writing.hold()
    good = writing.add(b"a")
    bad = writing.writer.submit(refuse(error, after=b"half done"), 1)
    good += writing.add(b"b")
    writing.leave()
    assert [future.result() for future in good] == [1, 1]  # each in a group of its own
    with pytest.raises(type(error)) as caught:
        bad.result()
    assert caught.value is error
    assert writing.writer.commits == 3
    assert writing.groups == [[], [b"a"], [b"b"]]
    assert list(values_of(environment, "records")) == [b"a", b"b"]
    assert environment.failed is None


def test_group_whose_end_fails_is_not_applied(start_writing, environment, values_of, group_class):
    class Failing(group_class):
        def finish(self):
            raise InvalidArgument("at the end")

    writing = start_writing(environment, group=Failing)
    (future,) = writing.add(b"a")
    with pytest.raises(InvalidArgument, match="at the end"):
        future.result()
    assert values_of(environment, "records") == {}
    assert writing.groups == []


def test_cancelled_write_is_not_run(writing, environment, values_of):
    writing.hold()
    first, second = writing.add(b"a", b"b")
    assert first.cancel()
    writing.leave()
    assert second.result() == 1
    assert not second.cancel()
    with pytest.raises(CancelledError):
        first.result()
    assert list(values_of(environment, "records")) == [b"b"]


# ------------------------------------------------------------------------------------ the queue


def test_full_queue_refuses_with_a_time_to_come_back(writing, monkeypatch):
    monkeypatch.setattr(limits, "WRITE_QUEUE", 3)
    writing.hold()
    futures = writing.add(b"a", b"b", b"c")
    with pytest.raises(LimitExceeded) as caught:
        writing.add(b"d")
    error = caught.value
    assert (error.reason, error.limit, error.actual) == ("QUEUE_FULL", 3, 3)
    assert error.retry_after > 0
    writing.leave()
    for future in futures:
        future.result()
    writing.add(b"d")[0].result()


def test_queue_is_full_by_bytes_too(writing):
    writing.hold()
    futures = writing.add(b"a", size_bytes=limits.WRITE_QUEUE_BYTES)
    with pytest.raises(LimitExceeded) as caught:
        writing.add(b"b", size_bytes=1)
    assert caught.value.limit == limits.WRITE_QUEUE_BYTES
    assert caught.value.actual == limits.WRITE_QUEUE_BYTES + 1
    writing.leave()
    futures[0].result()
    writing.add(b"b", size_bytes=2 * limits.WRITE_QUEUE_BYTES)[0].result()  # nothing waits


def test_closing_finishes_what_waits(writing, environment, values_of):
    writing.hold()
    futures = writing.add(b"a", b"b")
    closing = threading.Thread(target=writing.writer.close)
    closing.start()
    writing.leave()
    closing.join()
    assert all(future.done() for future in futures)
    assert list(values_of(environment, "records")) == [b"a", b"b"]
    writing.writer.close()


def test_closed_writer_takes_nothing(writing):
    writing.close()
    with pytest.raises(Unavailable) as caught:
        writing.add(b"a")
    assert caught.value.reason == "CLOSED"
