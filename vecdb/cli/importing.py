"""``vecdb import``: files into a collection."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidArgument, PreconditionFailed
from . import options
from .failures import Interrupted, failure_of, kind_of
from .import_state import SUFFIX, Progress, StateFile, begin, check_same, plan_of
from .invocation import Invocation
from .options import Command
from .output import Console, seconds_text, size_text, with_console
from .progress import open_meter
from .targets import Target, with_target

if TYPE_CHECKING:
    from ..datasets import Dataset
    from .import_job import Job

METRIC = "cosine"
"""Where neither the command line nor the file tells."""


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
    datasets = [_load(path, settings) for path in files]
    _check_dims(datasets)
    keeper = Keeper(files, settings, console)
    with target.writing(create=True) as database:
        plan = plan_of(files, target.identity(database), collection, _plan_options(settings))
        progress = keeper.begin(plan, settings["first_id"], resume=settings["resume"])
        created = _prepare(database, collection, datasets, settings, progress, console)
        job = _job(database.collection(collection), datasets, progress, keeper, settings)
        job.timeout = target.timeout
        counts = [dataset.count for dataset in datasets]
        total = None if None in counts else sum(filter(None, counts))
        try:
            with open_meter(console, "import", total, progress.settled) as meter:
                job.run(meter)
        except KeyboardInterrupt:
            stored = f"interrupted after {job.progress.stored:,} records"
            raise Interrupted(stored, keeper.how_to_go_on()) from None
        except Exception as error:
            keeper.failed(error, job.progress)
            raise
    keeper.remove()
    seconds = time.monotonic() - began
    report(console, collection, files, job, created, job.progress.stored - progress.stored, seconds)


class Keeper:
    """What is written beside the files: how far the import is, and what was refused."""

    def __init__(self, files: Sequence[Path], settings: dict[str, Any], console: Console) -> None:
        first = files[0]
        self.state = StateFile(settings["state"] or first.with_name(first.name + SUFFIX))
        self._folder: Path | None = settings["rejected"]
        self._files = files
        self._named = settings["state"] is not None
        self._console = console
        self._works = True
        if settings["on_error"] == "collect":
            for folder in {self.rejected(path).parent for path in files}:
                if not os.access(folder, os.W_OK):
                    raise InvalidArgument(
                        f"refused records cannot be written to {folder}",
                        field="rejected",
                        hint="Name another folder: --rejected DIR",
                    )

    def rejected(self, path: Path) -> Path:
        """Where refused records of a file go."""
        folder = path.parent if self._folder is None else self._folder
        return folder / f"{path.name}.rejected.jsonl"

    def begin(self, plan: dict[str, Any], first_id: int, *, resume: bool) -> Progress:
        """The progress to go on from; of a new import, from the first row."""
        found = self._load(resume=resume)
        if found is not None and resume:
            same = check_same(found, plan)
            self._console.note(f"going on after {same.settled:,} records")
            return same
        if resume:
            self._console.note(f"nothing to resume: no {self.state.path}; starting at row 0")
        elif found is not None and found.settled:
            self._console.note(
                f"starting over, although an import into {found.plan.get('collection')} stopped "
                f"after {found.settled:,} records: --resume would have gone on from there"
            )
        for path in self._files:
            self.rejected(path).unlink(missing_ok=True)
        return begin(plan, first_id)

    def save(self, progress: Progress) -> None:
        """Write the progress down; where that is not possible, say so once and go on without."""
        if not self._works:
            return
        try:
            self.state.save(progress)
        except OSError as error:
            if self._named:
                raise
            self._works = False
            self._console.warn(
                f"cannot write {self.state.path} ({error.strerror}), so this import cannot be "
                "resumed; --state FILE keeps it elsewhere"
            )

    def remove(self) -> None:
        if self._works:
            self.state.remove()

    def how_to_go_on(self) -> str:
        """What to type."""
        if not self._works:
            return ""
        invocation = click.get_current_context().find_object(Invocation) or Invocation(())
        return f"To go on: {invocation.again_with('--resume')}"

    def failed(self, error: Exception, progress: Progress) -> None:
        """Have the error tell how to go on, if there is anything to go on from."""
        told = failure_of(error)
        if not progress.settled:
            self.remove()
        elif told is not None and not isinstance(error, InvalidArgument):
            hint = "" if "resume=" in told.hint else told.hint  # that of a program
            parts = (hint, self.how_to_go_on())
            error.hint = ". ".join(filter(None, parts))  # type: ignore[attr-defined]

    def _load(self, *, resume: bool) -> Progress | None:
        try:
            return self.state.load()
        except PreconditionFailed:
            if resume:
                raise
            return None


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
        f"imported {stored:,} records ({size_text(job.bytes)}) from {what} into "
        f"{collection} in {seconds_text(seconds)}: {rate}",
        result,
    )
    if progress.refused:
        where = [str(job.rejected(path)) for path in files if job.rejected(path).exists()]
        console.warn(f"{progress.refused:,} records were refused, see {', '.join(where)}")
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
    """What decides which records there are, and their ids."""
    names = ("file_format", "mapping", "payload_columns", "limit", "first_id")
    return {name: settings[name] for name in names}


def _prepare(
    database: Any,
    name: str,
    datasets: Sequence[Dataset],
    settings: dict[str, Any],
    progress: Progress,
    console: Console,
) -> bool:
    """Make the collection, or see that these records fit it; True if it was made."""
    for dataset in datasets:
        for note in dataset.notes:
            console.note(f"{dataset.name}: {note}")
    info = None
    try:
        info = database.collection(name).describe()
    except Exception as error:
        if kind_of(error) != "NotFound" or settings["create"] is False:
            raise
    begun = progress.file > 0 or progress.row > 0
    if begun and (info is None or info.count == 0):
        raise PreconditionFailed(
            f"the interrupted import cannot go on: {name} has lost its {progress.stored:,} records",
            reason="CHANGED",
            hint="Without --resume it starts over",
        )
    if info is None:
        _create(database, name, datasets[0], settings, console)
        return True
    if settings["create"] and not begun:
        raise PreconditionFailed(
            f"there is a collection {name} already", reason="EXISTS", hint="Leave --create out"
        )
    _check_fits(info, datasets[0], settings)
    return False


def _create(
    database: Any, name: str, dataset: Dataset, settings: dict[str, Any], console: Console
) -> None:
    metric = settings["metric"] or dataset.metric or METRIC
    dtype = settings["dtype"] or dataset.dtype
    assumed = settings["metric"] is None and dataset.metric is None
    database.create_collection(
        name, dim=dataset.dim, metric=metric, dtype=dtype, fields=dict(settings["fields"])
    )
    why = " (the file does not tell: --metric)" if assumed else ""
    console.note(f"created {name}: {dataset.dim:,} dimensions, {metric}{why}, {dtype}")


def _check_fits(info: Any, dataset: Dataset, settings: dict[str, Any]) -> None:
    if info.dim != dataset.dim:
        raise InvalidArgument(
            f"{dataset.path} has {dataset.dim} dimensions, the collection {info.name} {info.dim}",
            field=str(dataset.path),
            reason="WRONG_DIMENSION",
            hint="Import it into another collection",
        )
    wanted = {"metric": settings["metric"], "dtype": settings["dtype"]}
    wanted |= {f"field {field}": kind for field, kind in settings["fields"]}
    there = {"metric": info.metric, "dtype": info.dtype}
    there |= {f"field {field}": kind for field, kind in info.fields.items()}
    for what, value in wanted.items():
        if value is not None and there.get(what) != value:
            raise PreconditionFailed(
                f"the collection {info.name} is there already, and its {what} is "
                f"{there.get(what, 'not declared')}, not {value}",
                reason="OTHER_SCHEMA",
                hint="Import into another collection, or leave the option out",
            )


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
    )
