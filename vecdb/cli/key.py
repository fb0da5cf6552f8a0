"""``vecdb key``: who may do what at a server of the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from . import options
from .options import Command, Group
from .output import Console, with_console
from .tables import Column
from .targets import Target, with_target

ROLES = ("read", "write", "admin", "cache:get", "cache:put", "cache:admin")
"""As in ``vecdb.keys``; a test compares them."""
LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("role"),
    Column("collections"),
    Column("tenant"),
    Column("state"),
    Column("expires"),
)


@click.group(cls=Group)
def key() -> None:
    """Create, list, rotate and revoke the API keys of a database.

    A server takes the keys of its database at once, without a restart. From the first key on it
    refuses calls without one.
    """


@key.command(cls=Command)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="What it may do: write includes read, admin both.",
)
@click.option(
    "--collections",
    metavar="A,B",
    help="Names it may use, of collections or aliases; left out, all.",
)
@click.option("--tenant", metavar="T", help="It sees and writes as this tenant.")
@click.option("--all", "all_tenants", is_flag=True, help="It may act for any tenant, and see all.")
@click.option(
    "--expires",
    metavar="TIME",
    type=options.Duration(),
    help="From then on it is refused: 30d, 12h, 90m or 60s from now; left out, never.",
)
@click.option(
    "--rate", metavar="N", type=click.FloatRange(0, min_open=True), help="Calls a second, at most."
)
@click.option("--concurrency", metavar="N", type=click.IntRange(1), help="Calls at once, at most.")
@with_target
@with_console
def create(
    name: str,
    role: str,
    collections: str | None,
    tenant: str | None,
    all_tenants: bool,
    expires: float | None,
    rate: float | None,
    concurrency: int | None,
    target: Target,
    console: Console,
) -> None:
    """Create a key called NAME and print its secret, once.

    Nothing keeps the secret, so nobody can show it again. Either --tenant or --all is needed. A
    missing directory is made.
    """
    names = None if collections is None else options.names(collections)
    end = None if expires is None else datetime.now(UTC) + timedelta(seconds=expires)
    with target.writing(create=True) as database:
        info, secret = database.create_key(
            name,
            role,
            collections=names,
            tenant=tenant,
            all_tenants=all_tenants,
            expires=end,
            rate=rate,
            concurrency=concurrency,
        )
    _show_secret(console, secret, facts_of(info), f"created the key {info.id} ({name}, {role})")


@key.command("list", cls=Command)
@with_target
@with_console
def list_(target: Target, console: Console) -> None:
    """List all keys, also those that expired or were revoked. Their secrets are nowhere."""
    with target.reading() as database:
        found = database.keys()
    rows = [facts_of(info) for info in found]
    if console.format == "table":
        rows = [row | {"tenant": row["tenant"] or "(all)"} for row in rows]
        rows = [row | {"collections": row["collections"] or "(all)"} for row in rows]
    console.rows(rows, LIST_COLUMNS, empty=f"no API key at {target.label}")


@key.command(cls=Command)
@click.argument("id_", metavar="ID")
@with_target
@with_console
def revoke(id_: str, target: Target, console: Console) -> None:
    """Have the key ID refused from now on, with every secret of it."""
    with target.writing() as database:
        database.revoke_key(id_)
    console.done(f"revoked the key {id_}", {"revoked": id_})


@key.command(cls=Command)
@click.argument("id_", metavar="ID")
@click.option(
    "--overlap",
    metavar="TIME",
    type=options.Duration(zero=True),
    default="24h",
    show_default=True,
    help="How long the old secret stays valid, such as 7d or 30m; 0s: no longer.",
)
@with_target
@with_console
def rotate(id_: str, overlap: float, target: Target, console: Console) -> None:
    """Make a new secret for the key ID and print it, once."""
    with target.writing() as database:
        secret = database.rotate_key(id_, overlap)
    _show_secret(console, secret, {"id": id_}, f"rotated the key {id_}")


def facts_of(info: Any) -> dict[str, Any]:
    """A ``KeyInfo`` of the engine or the client, as JSON has it."""
    return {
        "id": info.id,
        "name": info.name,
        "role": info.role,
        "collections": None if info.collections is None else list(info.collections),
        "tenant": info.tenant,
        "all_tenants": info.all_tenants,
        "state": info.state(datetime.now(UTC)),
        "created": _time_text(info.created),
        "expires": _time_text(info.expires),
        "revoked": _time_text(info.revoked),
        "overlap": _time_text(info.overlap),
        "rate": info.rate,
        "concurrency": info.concurrency,
    }


def _time_text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _show_secret(console: Console, secret: str, facts: Mapping[str, Any], note: str) -> None:
    """The secret alone on stdout, so that a script may take it as it is."""
    if console.format == "table":
        click.echo(secret)
        console.note(f"{note}; its secret is shown this once")
    else:
        console.facts({**facts, "secret": secret})
