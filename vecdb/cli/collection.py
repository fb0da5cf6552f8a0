"""``vecdb collection``: what there is, and of what kind."""

from __future__ import annotations

from typing import Any

import click

from .. import limits
from . import options
from .options import Command, Group
from .output import Console, with_console
from .sections import show_sections
from .tables import Column
from .targets import Target, with_target
from .text import plural, size_text

LIST_COLUMNS = (
    Column("name"),
    Column("dim", kind="count"),
    Column("metric"),
    Column("dtype"),
    Column("records", kind="count"),
    Column("fields"),
    Column("aliases"),
)
KINDS = {
    "dim": "count",
    "records": "count",
    "page_bytes": "count",
    "memory_budget": "bytes",
    "tail": "count",
}
ALIAS_COLUMNS = (Column("alias"), Column("collection"))


@click.group(cls=Group)
def collection() -> None:
    """Create, list, describe, limit, seal and delete collections."""


@collection.command(cls=Command)
@click.argument("name")
@click.option("--dim", type=click.IntRange(1), required=True, help="Dimensions of its vectors.")
@click.option(
    "--metric",
    type=click.Choice(options.METRICS),
    default="cosine",
    show_default=True,
    help="How near two vectors are.",
)
@click.option(
    "--dtype",
    type=click.Choice(options.DTYPES),
    default="float32",
    show_default=True,
    help="How vectors are stored.",
)
@click.option(
    "--field",
    "fields",
    metavar="NAME=TYPE",
    type=options.FIELD,
    multiple=True,
    help=f"A payload field that filters may use: {', '.join(options.FIELD_TYPES)}. Repeatable.",
)
@click.option(
    "--code-bits",
    type=click.Choice([str(bits) for bits in limits.CODE_BITS]),
    default="4",
    show_default=True,
    help="Bits a dimension of the codes that scans read.",
)
@click.option(
    "--page-bytes",
    type=click.Choice([str(size) for size in limits.PAGE_BYTES]),
    help="Size of the pages of vectors; left out, what fits them.",
)
@click.option(
    "--memory-budget",
    metavar="SIZE",
    type=options.Size(),
    help="Memory that sealed records may take, such as 2GiB, at least 1MiB; left out, no bound.",
)
@with_target
@with_console
def create(
    name: str,
    dim: int,
    metric: str,
    dtype: str,
    fields: tuple[tuple[str, str], ...],
    code_bits: str,
    page_bytes: str | None,
    memory_budget: int | None,
    target: Target,
    console: Console,
) -> None:
    """Create the collection NAME, empty. A missing directory is made."""
    with target.writing(create=True) as database:
        made = database.create_collection(
            name,
            dim=dim,
            metric=metric,
            dtype=dtype,
            fields=dict(fields),
            code_bits=int(code_bits),
            page_bytes=None if page_bytes is None else int(page_bytes),
            memory_budget=memory_budget,
        )
        info = made.describe()
    console.done(f"created {name}: {dim:,} dimensions, {metric}, {dtype}", facts_of(info))


@collection.command("list", cls=Command)
@with_target
@with_console
def list_(target: Target, console: Console) -> None:
    """List all collections."""
    with target.reading() as database:
        rows = [facts_of(info) for info in database.collections()]
    console.rows(rows, LIST_COLUMNS, empty=f"no collection at {target.label}")


@collection.command(cls=Command)
@click.argument("name")
@with_target
@with_console
def describe(name: str, target: Target, console: Console) -> None:
    """Show the collection NAME (or an alias): its schema, its size.

    The level tells what its memory budget keeps in memory: all; graph+codes, but no vectors;
    codes; or only the entries into the graph. `vecdb collection stats` tells how many bytes.
    """
    with target.reading() as database:
        info = database.collection(name).describe()
    console.facts(facts_of(info), KINDS)


@collection.command(cls=Command)
@click.argument("name")
@with_target
@with_console
def stats(name: str, target: Target, console: Console) -> None:
    """Show counters and sizes of the collection NAME."""
    with target.reading() as database:
        found = database.collection(name).stats()
    if console.format != "table":
        console.facts(found)
        return
    parts = found.get("memory_bytes", {})
    show_sections({**found, "memory_bytes": {**parts, "in all": sum(parts.values())}})


@collection.command(cls=Command)
@click.argument("name")
@click.argument("size", metavar="SIZE|none", type=options.Size(none=True))
@with_target
@with_console
def budget(name: str, size: int, target: Target, console: Console) -> None:
    """Keep the collection NAME to SIZE of memory, such as 2GiB.

    That is its sealed records; at least 1MiB, and none lifts the bound. Segments whose pages are
    laid out for another size are rewritten: by a server in the background, in a directory before
    this returns, which seals the tail too.
    """
    with target.writing() as database:
        found = database.collection(name)
        info = found.set_memory_budget(None if size == options.NO_SIZE else size)
        if target.directory is not None:
            # What is done to segments is done in order, so this returns once they are rewritten.
            found.seal(timeout=target.timeout)
            info = found.describe()
    facts = facts_of(info)
    kept = {key: facts[key] for key in ("name", "memory_budget", "level", "level_reason")}
    console.done(budget_text(info), kept)


@collection.command("add-field", cls=Command)
@click.argument("name")
@click.argument("field", metavar="FIELD=TYPE", type=options.FIELD)
@with_target
@with_console
def add_field(name: str, field: tuple[str, str], target: Target, console: Console) -> None:
    """Declare a FIELD of payloads in the collection NAME.

    Filters may use it from then on. Records are checked against it first. TYPE is keyword, bool,
    int, float, datetime, uuid, geo or text. Columns of it are made by a server in the background,
    in a directory before this returns.
    """
    word, kind = field
    with target.writing() as database:
        found = database.collection(name)
        info = found.add_field(
            word, kind, wait=target.directory is not None, timeout=target.timeout
        )
    told = f"{info.name} has the field {word} ({kind})"
    console.done(told, {"name": info.name, "fields": dict(sorted(info.fields.items()))})


@collection.command("drop-field", cls=Command)
@click.argument("name")
@click.argument("field")
@with_target
@with_console
def drop_field(name: str, field: str, target: Target, console: Console) -> None:
    """Take back the declaration of FIELD in the collection NAME. Payloads keep its values."""
    with target.writing() as database:
        info = database.collection(name).drop_field(field, timeout=target.timeout)
    told = f"{info.name} has no field {field} any more"
    console.done(told, {"name": info.name, "fields": dict(sorted(info.fields.items()))})


@collection.command(cls=Command)
@click.argument("name")
@with_target
@with_console
def seal(name: str, target: Target, console: Console) -> None:
    """Seal all records of the collection NAME into segments.

    It is done by itself once there are many. Waits until it is done, or --timeout is over.
    """
    with target.writing() as database:
        done = database.collection(name).seal(timeout=target.timeout)
    console.done(
        (f"sealed {plural(done.records, 'record')}" if done.records else "nothing was left to seal")
        + f" of {name}, which has {plural(done.segments, 'segment')} now",
        {"name": name, "records": done.records, "segments": done.segments},
    )


@collection.command(cls=Command)
@click.argument("name")
@with_target
@with_console
def compact(name: str, target: Target, console: Console) -> None:
    """Write the segments of the collection NAME anew, without gaps.

    Waits until it is done, or --timeout is over.
    """
    with target.writing() as database:
        done = database.collection(name).compact(timeout=target.timeout)
    console.done(
        (f"compacted {plural(done.records, 'record')}" if done.records else "nothing to compact")
        + f" of {name}, which has {plural(done.segments, 'segment')} now",
        {"name": name, "records": done.records, "segments": done.segments},
    )


@collection.command(cls=Command)
@click.argument("name")
@options.yes_option
@with_target
@with_console
def delete(name: str, yes: bool, target: Target, console: Console) -> None:
    """Delete the collection NAME, its records and its aliases."""
    with target.writing() as database:
        count = database.collection(name).describe().count
        options.confirm(
            name,
            f"This deletes the collection {name} at {target.label} and its "
            f"{plural(count, 'record')}.",
            yes=yes,
        )
        database.delete_collection(name)
    console.done(
        f"deleted {name} and its {plural(count, 'record')}", {"deleted": name, "records": count}
    )


@collection.command(cls=Command)
@click.argument("alias", required=False)
@click.argument("name", required=False)
@click.option("--remove", is_flag=True, help="Remove ALIAS; the collection stays.")
@with_target
@with_console
def alias(
    alias: str | None, name: str | None, remove: bool, target: Target, console: Console
) -> None:
    """List aliases, or have ALIAS name a collection.

    With NAME, ALIAS means the collection NAME from now on; without either, aliases are listed.
    """
    if alias is None:
        if remove:
            raise click.UsageError("--remove needs the ALIAS to remove")
        with target.reading() as database:
            found = database.aliases()
        rows = [{"alias": name, "collection": meant} for name, meant in found.items()]
        console.rows(rows, ALIAS_COLUMNS, empty=f"no alias at {target.label}")
    elif remove:
        if name is not None:
            raise click.UsageError("--remove takes the ALIAS alone")
        with target.writing() as database:
            database.delete_alias(alias)
        console.done(f"removed the alias {alias}", {"removed": alias})
    else:
        if name is None:
            raise click.UsageError("name the collection that ALIAS is to mean, or --remove")
        with target.writing() as database:
            database.alias(alias, name)
        console.done(f"{alias} now means {name}", {"alias": alias, "collection": name})


def budget_text(info: Any) -> str:
    """What a memory budget has come to, in a sentence."""
    if info.memory_budget is None:
        kept = f"{info.name} has no memory budget"
    else:
        kept = f"{info.name} keeps to {size_text(info.memory_budget)}"
    if not info.level:
        return f"{kept}; a segment cannot be read (vecdb check tells more)"
    return f"{kept}, at level {info.level}: {info.level_reason}"


def facts_of(info: Any) -> dict[str, Any]:
    """A ``CollectionInfo`` of the engine or the client, as JSON has it."""
    return {
        "name": info.name,
        "dim": info.dim,
        "metric": info.metric,
        "dtype": info.dtype,
        "records": info.count,
        "fields": dict(sorted(info.fields.items())),
        "ids": info.id_kind,
        "aliases": list(info.aliases),
        "sequence": info.sequence,
        "code_bits": info.code_bits,
        "page_bytes": info.page_bytes,
        "memory_budget": info.memory_budget,
        "level": info.level,
        "level_reason": info.level_reason,
        "segments": info.segments,
        "tail": info.tail,
        "sealing": info.sealing,
    }
