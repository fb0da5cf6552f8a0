"""``vecdb record``: single records, and sets of them by a filter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import limits
from ..errors import NotFound
from . import options
from .options import Command, Group
from .output import Console, with_console
from .pages import scroll_pages
from .tables import Column
from .targets import Target, with_target
from .text import plural

COLUMNS = (Column("id"), Column("payload", kind="json"))
VECTOR_COLUMNS = (Column("id"), Column("payload", kind="json"), Column("vector", kind="json"))
FACET_COLUMNS = (Column("value", kind="json"), Column("count", kind="count"))
PAGE = 1_000
IDS_SHOWN = 10


@click.group(cls=Group)
def record() -> None:
    """Get, count, scroll, change and delete records."""


@record.command(cls=Command)
@click.argument("collection")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@options.tenant_option
@options.vector_option
@with_target
@with_console
def get(
    collection: str,
    ids: tuple[str, ...],
    tenant: str | None,
    with_vector: bool,
    target: Target,
    console: Console,
) -> None:
    """Show the records with these IDs, in this order. Exit status 5 if one is not stored."""
    with target.reading() as database:
        records = database.collection(collection)
        wanted = options.record_ids(ids, records.describe().id_kind)
        found = records.get(wanted, tenant=tenant, with_vector=with_vector)
    console.rows(rows_of(found), columns(with_vector))
    missing = [str(id) for id in found.missing]
    if missing:
        shown = ", ".join(missing[:IDS_SHOWN]) + (", ..." if len(missing) > IDS_SHOWN else "")
        raise NotFound(f"not stored: {shown} ({len(missing):,} of {len(wanted):,} asked for)")


@record.command(cls=Command)
@click.argument("collection")
@options.filter_option
@options.tenant_option
@with_target
@with_console
def count(
    collection: str,
    condition: dict[str, Any] | None,
    tenant: str | None,
    target: Target,
    console: Console,
) -> None:
    """Print how many records there are, or match a filter; exact."""
    with target.reading() as database:
        found = database.collection(collection).count(condition, tenant=tenant)
    console.value("count", found)


@record.command(cls=Command)
@click.argument("collection")
@click.argument("field")
@options.filter_option
@options.tenant_option
@click.option(
    "--limit",
    type=click.IntRange(1, limits.FACETS),
    default=10,
    show_default=True,
    help="Values to show at most.",
)
@with_target
@with_console
def facets(
    collection: str,
    field: str,
    condition: dict[str, Any] | None,
    limit: int,
    tenant: str | None,
    target: Target,
    console: Console,
) -> None:
    """Count records by the values of a declared FIELD.

    Exact, most frequent first.
    """
    with target.reading() as database:
        found = database.collection(collection).facets(field, condition, limit, tenant=tenant)
    rows = [{"value": one.value, "count": one.count} for one in found]
    console.rows(rows, FACET_COLUMNS, empty="no record has a value of it")
    if found.others:
        console.note(f"there are {plural(found.others, 'other value')}: --limit shows more")


@record.command(cls=Command)
@click.argument("collection")
@options.filter_option
@click.option(
    "--after", metavar="ID", help="Begin behind this id; with --order-by, what it told to continue."
)
@click.option("--order-by", metavar="FIELD", help="By the values of a declared field, then by id.")
@click.option("--descending", is_flag=True, help="With --order-by, the largest values first.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Records to show at most.",
)
@options.tenant_option
@options.vector_option
@with_target
@with_console
def scroll(
    collection: str,
    condition: dict[str, Any] | None,
    after: str | None,
    order_by: str | None,
    descending: bool,
    limit: int,
    tenant: str | None,
    with_vector: bool,
    target: Target,
    console: Console,
) -> None:
    """Show records in the order of their ids, or of a field.

    Those that lack the field come last.
    """
    if descending and order_by is None:
        raise click.UsageError("--descending is of a field: name it, --order-by FIELD")
    order = None if order_by is None else {"field": order_by, "descending": descending}
    with target.reading() as database:
        records = database.collection(collection)
        start: int | str | None = after
        if after is not None and order is None:
            (start,) = options.record_ids((after,), records.describe().id_kind)
        last = None

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal last
            for last in scroll_pages(
                records,
                condition,
                rows=PAGE,
                tenant=tenant,
                with_vector=with_vector,
                after=start,
                limit=limit,
                order_by=order,
            ):
                yield from rows_of(last)

        console.rows(rows(), columns(with_vector), empty="no record")
    if last is not None and last.next is not None:
        console.note(f"there are more: --after {last.next}")


@record.command(cls=Command)
@click.argument("collection")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@options.filter_option
@options.tenant_option
@click.option("--dry-run", is_flag=True, help="Only print how many would be deleted.")
@options.yes_option
@with_target
@with_console
def delete(
    collection: str,
    ids: tuple[str, ...],
    condition: dict[str, Any] | None,
    tenant: str | None,
    dry_run: bool,
    yes: bool,
    target: Target,
    console: Console,
) -> None:
    """Delete records by id, or all that match a filter.

    --dry-run tells how many there are; else --yes, or the name of the collection typed, confirms.
    As a tenant, of those that it owns.
    """
    if bool(ids) == (condition is not None):
        raise click.UsageError("name records by ID or by --filter, one of the two")
    with target.reading() if dry_run else target.writing() as database:
        records = database.collection(collection)
        wanted = options.record_ids(ids, records.describe().id_kind) if ids else None
        matching = _deletable(records, wanted, condition, tenant)
        if dry_run:
            console.value("would_delete", matching)
            return
        if matching:
            options.confirm(
                collection,
                f"This deletes {plural(matching, 'record')} of {collection} at {target.label}.",
                yes=yes,
            )
            matching = records.delete(wanted, tenant=tenant, filter=condition).count
    console.done(f"deleted {plural(matching, 'record')}", {"deleted": matching})


@record.command("set-payload", cls=Command)
@click.argument("collection")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--payload",
    metavar="JSON|@FILE",
    required=True,
    help='A JSON object, such as \'{"lang": "en"}\'; @- reads it from stdin.',
)
@options.tenant_option
@click.option("--replace", is_flag=True, help="Replace payloads; else keys are merged into them.")
@with_target
@with_console
def set_payload(
    collection: str,
    ids: tuple[str, ...],
    payload: str,
    tenant: str | None,
    replace: bool,
    target: Target,
    console: Console,
) -> None:
    """Merge a payload into those of records.

    All of them are changed, or none: that is so where one of the IDs is not stored.
    """
    values = options.PAYLOAD.convert(_read(payload), None, click.get_current_context())
    with target.writing() as database:
        records = database.collection(collection)
        wanted = options.record_ids(ids, records.describe().id_kind)
        changed = records.set_payload(wanted, values, tenant=tenant, replace=replace).count
    console.done(f"changed {plural(changed, 'record')}", {"changed": changed})


def columns(with_vector: bool) -> tuple[Column, ...]:
    return VECTOR_COLUMNS if with_vector else COLUMNS


def rows_of(records: Any) -> Iterator[dict[str, Any]]:
    """``Records`` of the engine or the client, as JSON has them."""
    for found in records:
        row: dict[str, Any] = {"id": found.id, "payload": found.payload}
        if found.vector is not None:
            row["vector"] = found.vector.tolist()
        yield row


def _deletable(
    records: Any,
    ids: list[int] | list[str] | None,
    condition: dict[str, Any] | None,
    tenant: str | None,
) -> int:
    """How many records a delete would take."""
    return int(records.delete(ids, tenant=tenant, filter=condition, dry_run=True).count)


def _read(given: str) -> str:
    if given == "@-":
        return sys.stdin.read()
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is not UTF-8"
            raise click.BadParameter(
                f"cannot read {given[1:]}: {said}", param_hint="--payload"
            ) from None
    return given
