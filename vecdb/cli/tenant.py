"""``vecdb tenant``: who sees which records of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from ..errors import NotFound
from . import options
from .failures import kind_of
from .options import Command, Group
from .output import Console, with_console
from .tables import Column
from .targets import Target, with_target
from .text import plural

COLUMNS = (
    Column("name"),
    Column("visible", kind="count"),
    Column("records", kind="count"),
    Column("bytes", kind="bytes"),
    Column("max_records", "max records", kind="count"),
    Column("max_bytes", "max bytes", kind="bytes"),
    Column("rate"),
)
KINDS = {column.key: column.kind for column in COLUMNS}
PAGE = 1_000


@click.group(cls=Group)
def tenant() -> None:
    """Grant records to tenants, limit and delete tenants.

    A tenant sees the records that were granted to it, owns those that it wrote, and is made by its
    first grant or write. `vecdb key create --tenant T` makes a key that sees nothing else.
    """


@tenant.command("list", cls=Command)
@click.argument("collection")
@with_target
@with_console
def list_(collection: str, target: Target, console: Console) -> None:
    """List the tenants of COLLECTION, and how much each sees and owns."""
    with target.reading() as database:
        rows = _all(database.collection(collection))
        console.rows(rows, COLUMNS, empty=f"no tenant in {collection}")


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("name")
@with_target
@with_console
def describe(collection: str, name: str, target: Target, console: Console) -> None:
    """Show what the tenant NAME sees and owns, and its quotas."""
    with target.reading() as database:
        info = database.collection(collection).tenant(name)
    console.facts(facts_of(info), KINDS)


@tenant.command("who-sees", cls=Command)
@click.argument("collection")
@click.argument("id_", metavar="ID")
@with_target
@with_console
def who_sees(collection: str, id_: str, target: Target, console: Console) -> None:
    """Show the owner of the record ID, and the tenants that see it."""
    with target.reading() as database:
        records = database.collection(collection)
        (wanted,) = options.record_ids((id_,), records.describe().id_kind)
        access = records.who_sees(wanted)
    console.facts({"id": wanted, "owner": access.owner, "tenants": list(access.tenants)})


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("names", metavar="NAME,...")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_target
@with_console
def grant(
    collection: str, names: str, ids: tuple[str, ...], target: Target, console: Console
) -> None:
    """Let tenants see the records with these IDs.

    Ids that are not stored are passed over. A name that is new makes a tenant.
    """
    with target.writing() as database:
        records = database.collection(collection)
        wanted = options.record_ids(ids, records.describe().id_kind)
        changed = records.grant(wanted, options.names(names)).count
    console.done(f"granted {plural(changed, 'record')} to {names}", {"granted": changed})


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("names", metavar="NAME,...")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@with_target
@with_console
def revoke(
    collection: str, names: str, ids: tuple[str, ...], target: Target, console: Console
) -> None:
    """Let tenants see the records with these IDs no more.

    Ids that are not stored are passed over. Who owned such a record owns it no more.
    """
    with target.writing() as database:
        records = database.collection(collection)
        wanted = options.record_ids(ids, records.describe().id_kind)
        changed = records.revoke(wanted, options.names(names)).count
    console.done(f"revoked {plural(changed, 'record')} from {names}", {"revoked": changed})


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("source")
@click.argument("new")
@with_target
@with_console
def copy(collection: str, source: str, new: str, target: Target, console: Console) -> None:
    """Make the tenant NEW, which sees what SOURCE does now.

    From then on they are apart. NEW owns nothing.
    """
    with target.writing() as database:
        seen = database.collection(collection).copy_tenant(source, new).count
    console.done(
        f"made {new}, which sees {plural(seen, 'record')} of {source}",
        {"name": new, "visible": seen},
    )


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("name")
@options.yes_option
@with_target
@with_console
def delete(collection: str, name: str, yes: bool, target: Target, console: Console) -> None:
    """Delete the tenant NAME, and what only it has.

    Those are the records that it owns and nobody else sees. Its keys are revoked, unless
    another collection has a tenant of the name.
    """
    with target.writing() as database:
        records = database.collection(collection)
        owned = records.tenant(name).records
        options.confirm(
            name,
            f"This deletes the tenant {name} of {collection} at {target.label}, and those of its "
            f"{plural(owned, 'record')} that nobody else sees.",
            yes=yes,
        )
        owned = records.delete_tenant(name).count
    console.done(
        f"deleted {name}, which owned {plural(owned, 'record')}",
        {"deleted": name, "records": owned},
    )


@tenant.command(cls=Command)
@click.argument("collection")
@click.argument("name")
@click.option(
    "--max-records",
    metavar="N|none",
    type=options.Bound(whole=True),
    help="Records that it may own.",
)
@click.option(
    "--max-bytes",
    metavar="SIZE|none",
    type=options.Size(none=True),
    help="Bytes of their vectors and payloads, such as 2GiB.",
)
@click.option(
    "--rate",
    metavar="N|none",
    type=options.Bound(),
    help="Calls a second at a server, of all its keys together.",
)
@with_target
@with_console
def quota(
    collection: str,
    name: str,
    max_records: float | None,
    max_bytes: int | None,
    rate: float | None,
    target: Target,
    console: Console,
) -> None:
    """Bound what the tenant NAME may own, and the calls of its keys.

    What is left out stays as it is; none lifts a bound. A name that is new makes a tenant.
    """
    given = {"max_records": max_records, "max_bytes": max_bytes, "rate": rate}
    changed = {bound: value for bound, value in given.items() if value is not None}
    if not changed:
        raise click.UsageError("name a bound: --max-records, --max-bytes or --rate")
    with target.writing() as database:
        records = database.collection(collection)
        bounds = _bounds(records, name)
        lifted = {bound: None for bound, value in changed.items() if value == options.NO_SIZE}
        info = records.set_quota(name, **{**bounds, **changed, **lifted})
    facts = facts_of(info)
    kept = {bound: facts[bound] for bound in ("name", *given)}
    told = [f"{bound.replace('_', ' ')} {facts[bound]}" for bound in given if facts[bound]]
    console.done(f"{name} is bound to {', '.join(told) or 'nothing'}", kept)


def facts_of(info: Any) -> dict[str, Any]:
    """A ``TenantInfo`` of the engine or the client, as JSON has it."""
    created = datetime.fromtimestamp(info.created, UTC)
    return {
        "name": info.name,
        "visible": info.visible,
        "records": info.records,
        "bytes": info.bytes,
        "max_records": info.max_records,
        "max_bytes": info.max_bytes,
        "rate": info.rate,
        "created": created.isoformat(timespec="seconds"),
    }


def _all(records: Any) -> Iterator[dict[str, Any]]:
    after = None
    while page := records.tenants(after, PAGE):
        yield from map(facts_of, page)
        after = page[-1].name


def _bounds(records: Any, name: str) -> dict[str, Any]:
    """Its quotas as they are; of a tenant that is not there yet, none."""
    try:
        info = records.tenant(name)
    except Exception as error:
        if kind_of(error) != NotFound.__name__ or getattr(error, "reason", "") != "NO_TENANT":
            raise
        return {}
    return {"max_records": info.max_records, "max_bytes": info.max_bytes, "rate": info.rate}
