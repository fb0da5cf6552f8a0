"""One piece of work, shared by a few threads of a pool."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def share(
    items: Iterable[Item],
    work: Callable[[deque[Item]], Result],
    pool: Executor | None,
    threads: int,
) -> list[Result]:
    """What each of up to ``threads`` calls of ``work`` returned, this thread's call included.

    ``work`` pops items from the left until none is there (``IndexError``). It must give the same
    answer however the items fall to the calls. A busy pool does no harm: this thread goes on alone
    and takes back what has not begun. An error in one call ends the others after their item.
    """
    queue = deque(items)

    def guarded() -> Result:
        try:
            return work(queue)
        except BaseException:
            queue.clear()
            raise

    if pool is None or threads < 2 or len(queue) < 2:
        return [work(queue)]
    helpers = [pool.submit(guarded) for _ in range(min(threads, len(queue)) - 1)]
    try:
        mine = guarded()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    return [mine, *(helper.result() for helper in begun)]
