"""``vecdb import``: files into a collection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidArgument
from . import options
from .failures import Interrupted
from .import_keeper import Keeper
from .import_schema import METRIC, prepare
from .import_state import SUFFIX, Progress, plan_of
from .options import Command
from .output import Console, with_console
from .progress import open_meter
from .targets import Target, with_target
from .text import plural, seconds_text, size_text

if TYPE_CHECKING:
    from ..datasets import Dataset
    from .import_job import Job


@click.command("import", cls=Command)
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("-c", "--collection", metavar="NAME", required=True, help="Where records go.")
@click.option(
    "--create/--no-create",
    default=None,
    help="It must be new / must be there; else it is created if missing.",
)
@click.option(
    "--metric",
    type=click.Choice(options.METRICS),
    help=f"Of a new collection; the file's if it tells, else {METRIC}.",
)
@click.option(
    "--dtype",
    metavar="TYPE",
    type=click.Choice(options.DTYPES),
    help=f"{', '.join(options.DTYPES)}, of a new collection; else the file's.",
)
@click.option(
    "--field",
    "fields",
    metavar="NAME=TYPE",
    type=options.FIELD,
    multiple=True,
    help="A payload field of a new collection that filters may use. Repeatable.",
)
@click.option(
    "--format",
    "file_format",
    metavar="FORMAT",
    default="auto",
    help="Of the files; else their content tells.",
)
@click.option(
    "--map",
    "mapping",
    metavar="vector=COL,id=COL",
    help="Columns of vectors and ids; id= takes row numbers. Else by their names.",
)
@click.option(
    "--payload-columns", metavar="COL,...", help="Columns of the payload; else all that are left."
)
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), help="Only the first rows of each file."
)
@click.option(
    "--first-id",
    type=int,
    default=0,
    metavar="N",
    help="Where rows are numbered because a file has no ids: the first number.",
)
@click.option("--tenant", metavar="T", help="Write as this tenant: new records are its own.")
@click.option(
    "--tenants",
    metavar="A,B",
    help='Tenants that are to see the records, the owner first; "" for nobody.',
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "collect"]),
    default="raise",
    show_default=True,
    help="collect: write refused records to FILE.rejected.jsonl and go on.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted import of these stopped.")
@click.option(
    "--state",
    metavar="FILE",
    type=options.FILE,
    help=f"Keeps how far it is, to resume; else FILE{SUFFIX}.",
)
@click.option(
    "--rejected",
    metavar="DIR",
    type=options.DIRECTORY,
    help="Folder of the .rejected.jsonl files; else that of each FILE.",
)
@with_target
@with_console
def import_(
    files: tuple[Path, ...],
    collection: str,
    target: Target,
    console: Console,
    **settings: Any,
) -> None:
    """Import files of vectors into a collection.

    FILEs are npy, npz, fvecs, bvecs, fbin, hdf5, idx, parquet, jsonl, or folders of such. Records
    whose ids are known are replaced. Interrupted, the same command with --resume goes on.
    """
    began = time.monotonic()
    settings["sharing"] = _sharing(settings)
    files = tuple(path if path.name else path.absolute() for path in files)  # "." has no name
    datasets = [_load(path, settings) for path in files]
    _check_dims(datasets)
    keeper = Keeper(files, settings, console)
    with target.writing(create=True) as database:
        plan = plan_of(files, target.identity(database), collection, _plan_options(settings))
        progress = keeper.begin(plan, settings["first_id"], resume=settings["resume"])
        created = prepare(database, collection, datasets, settings, progress, console)
        job = _job(database.collection(collection), datasets, progress, keeper, settings)
        job.timeout = target.timeout
        counts = [dataset.count for dataset in datasets]
        total = None if None in counts else sum(filter(None, counts))
        try:
            with open_meter(console, "import", total, progress.settled) as meter:
                job.run(meter)
        except KeyboardInterrupt:
            stored = f"interrupted after {plural(job.progress.stored, 'record')}"
            raise Interrupted(stored, keeper.how_to_go_on()) from None
        except Exception as error:
            keeper.failed(error, job.progress)
            raise
    keeper.remove()
    seconds = time.monotonic() - began
    report(console, collection, files, job, created, job.progress.stored - progress.stored, seconds)


def report(
    console: Console,
    collection: str,
    files: Sequence[Path],
    job: Job,
    created: bool,
    stored: int,
    seconds: float,
) -> None:
    """What the import did, and where refused records are; ``stored``: by this run."""
    progress = job.progress
    result = {
        "collection": collection,
        "created": created,
        "records": progress.stored,
        "refused": progress.refused,
        "bytes": job.bytes,
        "seconds": round(seconds, 3),
        "retries": job.retries,
    }
    rate = f"{stored / max(seconds, 1e-3):,.0f} records/s"
    what = files[0].name if len(files) == 1 else f"{len(files)} files"
    console.done(
        f"imported {plural(stored, 'record')} ({size_text(job.bytes)}) from {what} into "
        f"{collection} in {seconds_text(seconds)}: {rate}",
        result,
    )
    if progress.refused:
        where = [str(job.rejected(path)) for path in files if job.rejected(path).exists()]
        console.warn(f"refused {plural(progress.refused, 'record')}: see {', '.join(where)}")
        if not progress.stored:
            raise click.ClickException("no record was accepted")


def _load(path: Path, settings: dict[str, Any]) -> Dataset:
    from ..datasets import load_dataset

    columns = settings["payload_columns"]
    names = _mapping(settings["mapping"])
    return load_dataset(
        path,
        format=settings["file_format"],
        max_n=settings["limit"],
        vector_column=names.get("vector"),
        id_column=names.get("id"),
        payload_columns=None if columns is None else [name for name in columns.split(",") if name],
    )


def _mapping(text: str | None) -> dict[str, str]:
    pair = options.Pair("vector=COL,id=COL", keys=("vector", "id"))
    parts = [] if text is None else text.split(",")
    return dict(pair.convert(part, None, click.get_current_context()) for part in parts)


def _check_dims(datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for dataset in datasets:
        if dataset.dim == 0:
            next(dataset.batches())  # tells what is missing
        if dataset.dim != first.dim:
            raise InvalidArgument(
                f"{dataset.path} has {dataset.dim} dimensions, {first.path} has {first.dim}",
                field=str(dataset.path),
                reason="WRONG_DIMENSION",
            )


def _plan_options(settings: dict[str, Any]) -> dict[str, Any]:
    """What decides which records there are, their ids, and whose they are."""
    names = ("file_format", "mapping", "payload_columns", "limit", "first_id")
    more = {name: settings[name] for name in ("tenant", "tenants") if settings[name] is not None}
    return {name: settings[name] for name in names} | more


def _job(
    collection: Any,
    datasets: Sequence[Dataset],
    progress: Progress,
    keeper: Keeper,
    settings: dict[str, Any],
) -> Job:
    from .import_job import Job

    keeper.save(progress)
    return Job(
        collection=collection,
        datasets=datasets,
        progress=progress,
        save=keeper.save,
        on_error=settings["on_error"],
        has_ids=bool(_mapping(settings["mapping"]).get("id")),
        rejected=keeper.rejected,
        sharing=settings["sharing"],
    )


def _sharing(settings: dict[str, Any]) -> dict[str, Any]:
    """Whose the records are to be, as an upload takes it; refused before anything is made."""
    from ..collection.sharing import check_caller, check_tenants

    tenant, tenants = settings["tenant"], settings["tenants"]
    if tenant is not None and tenants is not None:
        raise click.UsageError("--tenant and --tenants are two ways to say whose: give one of them")
    if tenants is None:
        return {"tenant": check_caller(tenant)}
    return {"tenants": check_tenants(options.names(tenants) if tenants.strip() else [])}
