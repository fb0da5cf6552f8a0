"""Files into a collection, a block at a time; after each block it is written down how far it got.

An upload has chunks in flight and sends refused ones again, so that in the middle of it the number
of settled records is not a row to go on from. At the end of an upload it is. Hence a block: what
one upload takes, large enough that the pause between two does not matter. A block that is sent
again, after an interrupt, has the same upload id, so that nothing of it is written twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgument, UploadFailed
from .import_state import Progress
from .progress import Meter

if TYPE_CHECKING:
    from ..datasets import Batch, Dataset

BLOCK_BYTES = 64 * 1024 * 1024
BLOCK_RECORDS = 65_536
HOPELESS = 1_000
"""A block of so many records, all of them refused, ends the import: the fault is elsewhere."""
POSITION = re.compile(r"(ids|vectors|payloads)\[\d+\]")


@dataclass(slots=True, kw_only=True)
class Job:
    """One run of an import; ``progress`` goes on from what an earlier run left.

    - ``save``: called with the progress after each block
    - ``on_error``: "raise" ends at the first refused record, "collect" writes them to files
    - ``has_ids``: ids come from a column that was named
    - ``rejected``: file -> where its refused records are written down
    - ``sharing``: ``tenant`` or ``tenants`` of the uploads
    """

    collection: Any
    datasets: Sequence[Dataset]
    progress: Progress
    save: Callable[[Progress], object]
    on_error: str
    has_ids: bool
    rejected: Callable[[Path], Path]
    sharing: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    bytes: int = 0
    retries: int = 0

    def run(self, meter: Meter) -> None:
        """Import all that is left."""
        for number in range(self.progress.file, len(self.datasets)):
            if number > self.progress.file:
                next_base = self.progress.base + self.progress.row
                self.progress = replace(self.progress, file=number, row=0, base=next_base)
            self._run_file(self.datasets[number], meter)

    def _run_file(self, dataset: Dataset, meter: Meter) -> None:
        batches = dataset.batches(start=self.progress.row)
        while (first := next(batches, None)) is not None:
            block = Block(chain([first], batches), self._shift(dataset, first))
            report = self._upload(block, meter)
            if report.failed:
                self._refuse(dataset.path, report)
            self.bytes += report.bytes
            self.retries += report.retries
            self.progress = replace(
                self.progress,
                row=self.progress.row + block.records,
                stored=self.progress.stored + report.ok,
                refused=self.progress.refused + len(report.failed),
            )
            self.save(self.progress)

    def _shift(self, dataset: Dataset, first: Batch) -> int:
        """What to add to the ids: 0, but for row numbers of a file that is not the first."""
        base = self.progress.base
        if base == 0 or self.has_ids:
            return 0
        if is_numbered(first.ids, self.progress.row):
            return base
        if self.progress.file == 0:
            raise InvalidArgument(
                f"{dataset.path} has ids of its own, so its rows are not numbered",
                field="first_id",
                hint="Leave --first-id out, or ignore its ids by --map id=",
            )
        return 0

    def _upload(self, block: Block, meter: Meter) -> Any:
        settled = self.progress.settled
        before = self.bytes
        settings = {} if self.timeout is None else {"timeout": self.timeout}
        return self.collection.upload(
            block,
            progress=lambda records, size: meter.show(settled + records, before + size),
            on_error="collect",
            resume=self.progress.upload_id,
            **self.sharing,
            **settings,
        )

    def _refuse(self, path: Path, report: Any) -> None:
        """Write refused records down, or end because of them."""
        first = report.failed[0]
        if self.on_error == "raise" or (not report.ok and len(report.failed) >= HOPELESS):
            hint = f"--on-error collect writes refused records to {self.rejected(path)} instead"
            some = report.ok > 0 and self.on_error == "raise"
            raise UploadFailed(
                f"{path}: {len(report.failed):,} of {report.ok + len(report.failed):,} records "
                f"were refused; the first, id {first.id!r}: {about(first.message)}",
                report=report,
                hint=hint if some else "Is it the right collection?",
            )
        target = self.rejected(path)
        with target.open("a", encoding="utf-8") as file:
            for failure in report.failed:
                line = {"id": failure.id, "code": failure.code, "message": about(failure.message)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Block:
    """Batches of one upload: read as they are sent, and counted. To be iterated once.

    ``base`` is added to the ids: the rows of all files before.
    """

    def __init__(self, batches: Iterator[Batch], base: int) -> None:
        self.records = 0
        self._batches = batches
        self._base = base

    def __iter__(self) -> Iterator[Batch]:
        size = 0
        # The end depends on the data alone: the same block again has the same chunks.
        while size < BLOCK_BYTES and self.records < BLOCK_RECORDS:
            batch = next(self._batches, None)
            if batch is None:
                return
            size += batch.vectors.nbytes
            self.records += len(batch)
            if self._base and not isinstance(batch.ids, list):
                batch = replace(batch, ids=batch.ids + self._base)
            yield batch


def is_numbered(ids: Any, row: int) -> bool:
    """Whether these are the numbers of the rows from ``row`` on, as readers make ids up."""
    if isinstance(ids, list):
        return False
    return bool((ids == range(row, row + len(ids))).all())


def about(message: str) -> str:
    """A refusal told of the record itself, not of its place in a chunk that nobody sees."""
    first = POSITION.sub(lambda found: f"its {found[1].removesuffix('s')}", message, count=1)
    return POSITION.sub(lambda found: f"another {found[1].removesuffix('s')}", first)
