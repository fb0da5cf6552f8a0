"""A new database: under another name until it is whole, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import lmdb

from . import format
from .checksum import pack
from .files import DATA_FILE, sync_directory
from .lmdb_errors import translated
from .transaction import Transaction

_MAP_BYTES = 1024 * 1024  # much more than empty tables need


def create_database(directory: Path) -> None:
    """Make ``data.mdb`` with its tables, the format and the counters; there must be none."""
    scratch = directory / f"{DATA_FILE}.new"
    scratch.unlink(missing_ok=True)
    try:
        with translated(directory):
            _make_tables(scratch, int(os.stat(directory).st_mtime * 1e6))
        os.rename(scratch, directory / DATA_FILE)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    sync_directory(directory)


def _make_tables(path: Path, created_us: int) -> None:
    header = pack(
        format.FORMAT,
        magic=format.MAGIC,
        version=format.VERSION,
        database_id=uuid.uuid4().bytes,
        created_us=created_us,
    )
    environment = lmdb.open(
        str(path),
        subdir=False,
        lock=False,  # nobody else knows of it
        map_size=_MAP_BYTES,
        max_dbs=len(format.TABLES),
        mode=0o600,
    )
    try:
        with environment.begin(write=True) as raw:
            tables = {name: environment.open_db(name.encode(), txn=raw) for name in format.TABLES}
            transaction = Transaction(raw, tables)
            transaction.put("database", format.FORMAT_KEY, header)
            counters = pack(format.COUNTERS, next_collection=1)
            transaction.put("database", format.COUNTERS_KEY, counters)
    finally:
        environment.close()
