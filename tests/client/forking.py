"""A program that forks children of a process which has a client, or an engine, open.

    python tests/client/forking.py NAME ADDRESS|DIRECTORY

``NAME`` is that of a function here; each child runs what it returns. A child that hangs ends by
SIGALRM. The exit status is the number of children that failed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable

import numpy as np

CHILDREN = 8
HANG_SECONDS = 60
VECTORS = np.ones((50, 3), np.float32)


def open_channel(address: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The parent has called already: its channel is open."""
    from vecdb_client import Client

    client = Client(address)
    docs = client.collection("docs")
    assert docs.count() == 0

    def child(number: int) -> None:
        assert docs.count() >= 0
        assert docs.upsert([number], VECTORS[:1]).count == 1
        assert len(docs.search(VECTORS[0])) == 1
        client.close()

    def parent() -> None:
        assert docs.count() == CHILDREN
        client.close()

    return child, parent


def no_channel(address: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The parent has a client that it never used."""
    from vecdb_client import Client

    client = Client(address)

    def child(number: int) -> None:
        assert client.collection("docs").upsert([number], VECTORS[:1]).count == 1
        client.close()

    return child, client.close


def upload(address: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Each child uploads over a stream of its own."""
    from vecdb_client import Client

    client = Client(address)
    docs = client.collection("docs")
    assert docs.upload(VECTORS, np.arange(50), progress=False).ok == 50

    def child(number: int) -> None:
        ids = np.arange(50) + 50 * (number + 1)
        assert docs.upload(VECTORS, ids, progress=False).ok == 50
        client.close()

    def parent() -> None:
        assert docs.count() == 50 * (CHILDREN + 1)
        client.close()

    return child, parent


def asyncio_channel(address: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The parent has a channel of asyncio open: a child is refused it, and may use the other."""
    from vecdb_client import AsyncClient, Client

    client = AsyncClient(address)

    async def count() -> int:
        return await client.collection("docs").count()

    assert asyncio.run(count()) == 0

    def child(number: int) -> None:
        require_forked(lambda: asyncio.run(count()))
        asyncio.run(client.close())
        with Client(address) as own:
            assert own.collection("docs").upsert([number], VECTORS[:1]).count == 1

    def parent() -> None:
        assert asyncio.run(count()) == CHILDREN
        asyncio.run(client.close())

    return child, parent


def asyncio_closed(address: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The parent has closed its client of asyncio before it forks."""
    from vecdb_client import AsyncClient

    async def write(number: int) -> None:
        async with AsyncClient(address) as client:
            assert (await client.collection("docs").upsert([number], VECTORS[:1])).count == 1

    asyncio.run(write(CHILDREN))
    return lambda number: asyncio.run(write(number)), lambda: None


def require_forked(call: Callable[[], object]) -> None:
    """The call tells that it is made on something of the parent's."""
    try:
        call()
    except Exception as error:
        if getattr(error, "reason", "") == "FORKED":
            return
        raise
    raise AssertionError("a call on what the parent had open went through")


def engine(directory: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """The parent has a database open: a child is refused it, and leaves it whole."""
    import vecdb

    db = vecdb.open(directory)
    docs = db.create_collection("docs", dim=3)
    docs.upsert([1], VECTORS[:1])
    assert len(docs.search(VECTORS[0])) == 1
    calls: list[Callable[[], object]] = [
        lambda: docs.count(),
        lambda: docs.get([1]),
        lambda: docs.search(VECTORS[0]),
        lambda: docs.upsert([2], VECTORS[:1]),
        lambda: docs.upload(VECTORS, progress=False),
        lambda: docs.delete([1]),
        lambda: db.collections(),
        lambda: db.create_collection("other", dim=3),
        lambda: db.delete_collection("docs"),
        lambda: db.stats(),
    ]

    def child(number: int) -> None:
        for call in calls:
            require_forked(call)
        db.close()

    def parent() -> None:
        assert docs.upsert([2], VECTORS[:1]).sequence == 2
        assert docs.count() == 2
        db.close()

    return child, parent


def main() -> int:
    child, parent = globals()[sys.argv[1]](sys.argv[2])
    pids = []
    for number in range(CHILDREN):
        pid = os.fork()
        if pid == 0:
            signal.alarm(HANG_SECONDS)
            status = 1
            try:
                child(number)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        pids.append(pid)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    parent()
    print(statuses)
    return sum(status != 0 for status in statuses)


if __name__ == "__main__":
    sys.exit(main())
