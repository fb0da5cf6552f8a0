"""``vecdb status``: is it there, and what does it hold?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from .failures import FAILED
from .options import Command
from .output import Console, with_console
from .tables import Column
from .targets import Target, with_target

COLUMNS = (
    Column("name", "collection"),
    Column("records", kind="count"),
    Column("dim", kind="count"),
    Column("metric"),
    Column("dtype"),
    Column("vector_bytes", "vectors", "bytes"),
    Column("dead_rows", "dead rows", "count"),
)
KINDS = {"data_bytes": "bytes", "sequence": "count", "queue_depth": "count", "in_flight": "count"}


@click.command(cls=Command)
@with_target
@with_console
@click.pass_context
def status(ctx: click.Context, target: Target, console: Console) -> None:
    """Tell whether the database is ready, and what it holds.

    Exit status 3 if it cannot be reached, 1 if it takes no more writes.
    """
    with target.reading() as database:
        stats = database.stats()
        facts = facts_of(target, stats, None if target.directory else database.info())
        collections = [
            collection_of(info, stats["collections"].get(info.name, {}))
            for info in database.collections()
        ]
    if console.format == "json":
        console.facts({**facts, "collections": collections})
    elif console.format == "table":
        console.facts({name: value for name, value in facts.items() if value is not None}, KINDS)
        click.echo()
        console.rows(collections, COLUMNS, empty="no collection yet")
    else:
        console.rows(collections, COLUMNS)
    if not facts["ready"]:
        console.warn("the store failed and takes no more writes; its log tells why: restart it")
        ctx.exit(FAILED)


def facts_of(target: Target, stats: Mapping[str, Any], server: Any) -> dict[str, Any]:
    """The database without its collections; ``server``: who answered, None for a directory."""
    where = {"address": target.address} if server is not None else {}
    calls = stats.get("server", {})
    return {
        "ready": not stats["store_failed"],
        **where,
        "version": _engine_version() if server is None else server.server_version,
        "directory": stats["directory"],
        "database_id": stats["database_id"],
        "format_version": stats["format_version"],
        "data_bytes": stats["data_bytes"],
        "sequence": stats["sequence"],
        # A directory that is only read here has its queue in the process that writes it.
        "queue_depth": stats["queue_depth"] if server is not None else None,
        "in_flight": calls.get("in_flight"),
    }


def collection_of(info: Any, stats: Mapping[str, Any]) -> dict[str, Any]:
    """A collection with its sizes."""
    return {
        "name": info.name,
        "records": info.count,
        "dim": info.dim,
        "metric": info.metric,
        "dtype": info.dtype,
        "vector_bytes": stats.get("vector_bytes"),
        "dead_rows": stats.get("dead_rows"),
    }


def _engine_version() -> str:
    from importlib import metadata

    return metadata.version("vecdb-engine")
