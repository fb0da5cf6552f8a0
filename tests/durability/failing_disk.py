"""A writer on a disk that fails once: run by ``faults.run_with_failures``, prints what it saw.

Arguments: a directory, the point that fails, the errno, and which call after the third commit. Six
commits more are tried then, and a read. Each commit sets all of ``KEYS`` values to its number.
Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from vecdb.errors import VecDBError
from vecdb.storage.catalogue import get_counters, put_counters
from vecdb.storage.environment import Environment
from vecdb.storage.transaction import Transaction
from vecdb.storage.writer import Writer
from vecdb.testing.faults import failing_call

KEYS = 60
BEFORE, AFTER = 3, 6


class Group:
    """Counts the commits in the database's sequence."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.sequence = get_counters(transaction)[0]

    def write(self, number: int) -> None:
        self.sequence = number
        values = [(b"%03d" % key, b"%d" % number * 100) for key in range(KEYS)]
        self.transaction.put_many("records", values)

    def finish(self) -> None:
        put_counters(self.transaction, self.sequence, 1)

    def publish(self) -> None:
        pass


def stored(environment: Environment) -> list[int]:
    """The commits whose values are stored: one number, unless a commit was torn."""
    with environment.read() as transaction:
        values = [value for _, value in transaction.scan("records")]
        assert len(values) == KEYS
        return sorted({int(value[: len(value) // 100]) for value in values})


def attempt(what: str, call: Any) -> dict[str, Any]:
    try:
        return {what: call()}
    except VecDBError as error:
        return {
            what: type(error).__name__,
            "reason": error.reason,
            "maybe_applied": error.maybe_applied,
        }


def main(directory: Path, point: str, error: int, nth: int) -> dict[str, Any]:
    environment = Environment(directory, read_only=False)
    writer = Writer(environment, Group, lambda: None)

    def commit(number: int) -> bool:
        writer.submit(lambda group: group.write(number), 1).result()
        return True

    seen: dict[str, Any] = {}
    outcomes = [attempt("done", lambda n=n: commit(n)) for n in range(1, BEFORE + 1)]
    with failing_call(point, error, nth) as calls:
        for number in range(BEFORE + 1, BEFORE + AFTER + 1):
            outcomes.append(attempt("done", lambda n=number: commit(n)))
        seen["read"] = attempt("stored", lambda: stored(environment))
        seen["calls"] = len(calls)
    seen["failed"] = environment.failed
    writer.close()
    environment.close()
    return {"commits": outcomes, **seen}


if __name__ == "__main__":
    directory, point, error, nth = sys.argv[1:]
    print(json.dumps(main(Path(directory), point, int(error), int(nth))))
