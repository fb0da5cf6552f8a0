"""``vecdb export``: a collection into a file."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from .. import limits
from ..errors import PreconditionFailed
from . import options
from .export_files import ids_path, open_writer
from .options import Command
from .output import Console, with_console
from .pages import scroll_pages
from .progress import open_meter
from .targets import Target, with_target
from .text import plural, seconds_text, size_text

FORMATS = ("jsonl", "npy", "parquet")
STDOUT = Path("-")
PAGE_BYTES = 4 * 1024 * 1024
PAYLOAD_BYTES = 1024
"""What a payload is taken to have."""


@click.command(cls=Command)
@click.argument("collection")
@click.option(
    "-O",
    "--to",
    "path",
    metavar="OUT",
    type=click.Path(allow_dash=True, path_type=Path),
    required=True,
    help="The file to write; - is stdout (jsonl only).",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="Of the file; else by the suffix of OUT. npy has no payloads, and ids in OUT.ids.jsonl.",
)
@options.filter_option
@options.tenant_option
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@with_target
@with_console
def export(
    collection: str,
    path: Path,
    file_format: str | None,
    condition: dict[str, Any] | None,
    tenant: str | None,
    force: bool,
    target: Target,
    console: Console,
) -> None:
    """Write the records of a collection to a file.

    They are in the order of their ids; what is written meanwhile may be among them or not. The
    file appears when it is complete.
    """
    chosen = _choose_format(file_format, path)
    paths = [path, ids_path(path)] if chosen == "npy" else [path]
    if path != STDOUT:
        _check_outputs(paths, force=force)
    began = time.monotonic()
    with target.reading() as database:
        records = database.collection(collection)
        info = records.describe()
        total = records.count(condition, tenant=tenant)
        with _outputs(paths) as streams, open_meter(console, "export", total) as meter:
            writer = open_writer(chosen, streams[0], info, streams[-1])
            written = size = 0
            found = scroll_pages(
                records, condition, rows=page_rows(info), tenant=tenant, with_vector=True
            )
            for page in found:
                writer.write(page)
                written += len(page)
                size += page.vectors.nbytes + sum(map(len, page.payload_bytes))
                meter.show(written, size)
            writer.finish()
    seconds = time.monotonic() - began
    if path == STDOUT:
        return
    console.done(
        f"exported {plural(written, 'record')} ({size_text(size)}) of {info.name} to {path} in "
        f"{seconds_text(seconds)}{again(chosen, path, info)}",
        {
            "collection": info.name,
            "file": str(path),
            "format": chosen,
            "records": written,
            "seconds": round(seconds, 3),
        },
    )


def page_rows(info: Any) -> int:
    """Records of one page."""
    row_bytes = PAYLOAD_BYTES + 4 * int(info.dim)
    return max(1, min(limits.GET_RECORDS, PAGE_BYTES // row_bytes))


def again(format: str, path: Path, info: Any) -> str:
    """How to import the file, if that makes the same collection."""
    if format != "jsonl":
        return ""
    words = ["vecdb", "import", str(path), "--collection", info.name, "--metric", info.metric]
    words += ["--dtype", info.dtype]
    for name, kind in sorted(info.fields.items()):
        words += ["--field", f"{name}={kind}"]
    return f"\nback: {shlex.join(words)}"


def _choose_format(given: str | None, path: Path) -> str:
    if path == STDOUT:
        if given not in (None, "jsonl"):
            raise click.UsageError("only jsonl goes to stdout: name a file by -O")
        return "jsonl"
    chosen = given or path.suffix.removeprefix(".")
    if chosen not in FORMATS:
        raise click.UsageError(
            f"{path.name} does not tell the format: --format {'|'.join(FORMATS)}"
        )
    return chosen


def _check_outputs(paths: list[Path], *, force: bool) -> None:
    folder = paths[0].parent
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {folder}", param_hint="-O")
    for path in paths:
        if path.exists() and not force:
            raise PreconditionFailed(
                f"{path} is there already", reason="EXISTS", hint="--force replaces it"
            )


@contextmanager
def _outputs(paths: list[Path]) -> Iterator[list[BinaryIO]]:
    """Streams to temporary files that get their names once all is well and synced."""
    if paths == [STDOUT]:
        sys.stdout.flush()
        yield [sys.stdout.buffer]
        return
    drafts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    try:
        with ExitStack() as stack:
            streams = [stack.enter_context(draft.open("xb")) for draft in drafts]
            yield list(streams)
            for stream in streams:
                stream.flush()
                os.fsync(stream.fileno())
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
