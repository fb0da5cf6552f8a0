"""Opening for writing brings a database of an older version to ours, in one commit."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedFormat
from . import format
from .transaction import Transaction


def upgrade_database(environment: Any, header: Any, *, read_only: bool) -> None:
    """Make the tables that its version lacks; ``header`` is the stored ``format.FORMAT``.

    Only what ``header`` says was never there is made: a table that is missing otherwise is lost.
    """
    found = int(header["version"])
    if read_only:
        raise UnsupportedFormat(
            f"the database has format version {found}; version {format.VERSION} can be read "
            "without writing",
            found=found,
            supported=format.VERSION,
            hint="Open it for writing once: that brings it to the new version",
        )
    raised = header.copy()
    raised["version"] = format.VERSION
    with environment.begin(write=True) as raw:
        later = set(format.TABLES) - set(format.TABLES_OF[found])
        tables = {name: environment.open_db(name.encode(), txn=raw) for name in sorted(later)}
        tables["database"] = environment.open_db(b"database", txn=raw, create=False)
        Transaction(raw, tables).put("database", format.FORMAT_KEY, raised.tobytes())
