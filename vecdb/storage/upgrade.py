"""Opening for writing brings a database of an older version to ours, in one commit."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from ..errors import UnsupportedFormat
from . import format
from .format import NUMBER
from .manifest import SegmentRow, scan_segments
from .patches import put_patches
from .records import unpack_record
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
        for name in ("database", "segments", "records"):
            if name not in later:
                tables[name] = environment.open_db(name.encode(), txn=raw, create=False)
        transaction = Transaction(raw, tables)
        if "patches" in later:
            _note_changed_payloads(transaction)
        transaction.put("database", format.FORMAT_KEY, raised.tobytes())


def _note_changed_payloads(transaction: Transaction) -> None:
    """Versions before 3 did not note them: sealed records written to after their segment.

    A seal reads payloads no earlier than the segment's sequence, so none is missed.
    """
    segments: dict[bytes, list[SegmentRow]] = defaultdict(list)
    for head in {key[: NUMBER.size] for key, _ in transaction.scan("segments")}:
        segments[head] = scan_segments(transaction, *NUMBER.unpack(head))
    for head, rows in sorted(segments.items()):
        (number,) = NUMBER.unpack(head)
        for key, value in transaction.scan("records", head):
            slot, sequence = unpack_record(key, value)
            holders = [row for row in rows if row.first_origin <= slot <= row.last_origin]
            if any(row.sequence < sequence for row in holders):
                put_patches(transaction, number, np.array([slot], np.uint64), sequence)
