"""Declares fields and takes one back, and kills itself: DIRECTORY POINT STRIKE.

POINT is a key of ``POINTS``; STRIKE, from 1: at which passing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import vecdb
from vecdb.collection import adding_columns, declaring
from vecdb.collection.adding_columns import Added
from vecdb.collection.store import Store
from vecdb.storage import added_columns

POINTS: dict[str, tuple[Any, str, bool]] = {
    "schema not written": (declaring, "replace_schema", False),
    "schema written": (declaring, "replace_schema", True),
    "schema committed": (Store, "add_columns", False),
    "column not written": (added_columns, "write_arrays", False),
    "column written": (added_columns, "write_arrays", True),
    "names not written": (added_columns, "NewFile", False),
    "all written": (adding_columns, "add_column", True),
    "manifest written": (adding_columns, "put_segment", True),
    "manifest committed": (Added, "change", False),
    "nothing due": (adding_columns, "delete_columns_due", True),
}
"""Where a function lies, its name, and whether the kill comes after it or before."""


def arm(point: str, strike: int) -> None:
    owner, name, after = POINTS[point]
    real = getattr(owner, name)
    left = [strike]

    def dying(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if not after and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if after and not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def main() -> None:
    directory, point, strike = sys.argv[1:]
    arm(point, int(strike))
    with vecdb.open(directory) as db:
        docs = db.collection("docs")
        docs.add_field("year", "int", wait=True)
        docs.add_field("body", "text", wait=True)
        docs.drop_field("lang")
        docs.search([1.0, 2.0, 3.0, 4.0], 1)  # the segments are loaded from here on
        docs.add_field("lang", "keyword", wait=True)
        docs.add_field("key", "uuid", wait=True)


if __name__ == "__main__":
    main()
