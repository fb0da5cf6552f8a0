"""The collection that an import goes into: made from what the files tell, or checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgument, PreconditionFailed
from .failures import kind_of
from .import_state import Progress
from .output import Console
from .text import plural

if TYPE_CHECKING:
    from ..datasets import Dataset

METRIC = "cosine"
"""Where neither the command line nor the file tells."""


def prepare(
    database: Any,
    name: str,
    datasets: Sequence[Dataset],
    settings: Mapping[str, Any],
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
            f"the interrupted import cannot go on: {name} has lost its "
            f"{plural(progress.stored, 'record')}",
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
    database: Any, name: str, dataset: Dataset, settings: Mapping[str, Any], console: Console
) -> None:
    metric = settings["metric"] or dataset.metric or METRIC
    dtype = settings["dtype"] or dataset.dtype
    assumed = settings["metric"] is None and dataset.metric is None
    database.create_collection(
        name, dim=dataset.dim, metric=metric, dtype=dtype, fields=dict(settings["fields"])
    )
    why = " (the file does not tell: --metric)" if assumed else ""
    console.note(f"created {name}: {dataset.dim:,} dimensions, {metric}{why}, {dtype}")


def _check_fits(info: Any, dataset: Dataset, settings: Mapping[str, Any]) -> None:
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
