"""A large write into an embedded database: cut into atomic batches, a few of them in flight.

The whole is not atomic. Each batch carries a key, upload id + number, so that an upload that is
run again with ``resume`` and the same data does not write a batch twice within a day.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import limits
from ..errors import InvalidArgument, LimitExceeded, UploadFailed, VecDBError
from ..results import UploadFailure, UploadReport, WriteResult

Submit = Callable[..., "Future[WriteResult]"]
ProgressLike = bool | Callable[[int, int], object]

_KEY_BYTES = 16
_POSITION = re.compile(r"(?:ids|vectors|payloads)\[(\d+)\]")
_ROUNDS = 1 << 32  # a batch that is sent again without some records has number + _ROUNDS
_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Some rows of an upload; ``payloads``: one a row, or None."""

    number: int
    ids: Any
    vectors: Any
    payloads: Sequence[Any] | None

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, place: int) -> Columns:
        keep = [i for i in range(len(self)) if i != place]
        return replace(
            self,
            number=self.number + _ROUNDS,
            ids=[self.ids[i] for i in keep],
            vectors=[self.vectors[i] for i in keep],
            payloads=None if self.payloads is None else [self.payloads[i] for i in keep],
        )


class Upload:
    """One upload through ``submit``, which is ``Collection.submit_upsert``."""

    def __init__(
        self,
        submit: Submit,
        row_bytes: int,
        *,
        on_error: str,
        resume: str | None,
        timeout: float | None,
    ) -> None:
        if on_error not in ("raise", "collect"):
            raise InvalidArgument("on_error must be 'raise' or 'collect'", field="on_error")
        self._submit = submit
        self._rows = max(1, min(10_000, limits.UPLOAD_CHUNK_BYTES // max(1, row_bytes)))
        self._row_bytes = row_bytes
        self._on_error = on_error
        self._id = _upload_id(resume)
        self._timeout = timeout
        self._began = time.monotonic()
        self._window: deque[tuple[Columns, Future[WriteResult]]] = deque()
        self._ok = 0
        self._bytes = 0
        self._chunks = 0
        self._retries = 0
        self._failed: list[UploadFailure] = []

    def run(
        self, source: Iterable[Any], ids: Any, payloads: Any, show: Callable[[int, int], object]
    ) -> UploadReport:
        """Write everything; returns the report or raises ``UploadFailed``."""
        try:
            for columns in cut(source, ids, payloads, self._rows):
                self._send(columns)
                while len(self._window) >= limits.UPLOAD_WINDOW:
                    self._settle_oldest(show)
            while self._window:
                self._settle_oldest(show)
        except VecDBError as error:
            if not isinstance(error, UploadFailed) and self._chunks:
                error.add_note(
                    f"{self._ok} records of the upload are stored; "
                    f"resume={self._id.hex()!r} with the same data skips them"
                )
            raise
        return self._finish()

    def _send(self, columns: Columns) -> None:
        """Submit a batch; a record that is refused at the door fails alone."""
        while len(columns):
            try:
                future = self._submit(
                    columns.ids,
                    columns.vectors,
                    columns.payloads,
                    idempotency_key=self._id + columns.number.to_bytes(8, "big"),
                    timeout=self._timeout,
                )
            except LimitExceeded as error:
                if error.retry_after is not None and self._window:
                    self._settle_oldest(_ignore)
                    continue
                columns = self._leave_out(columns, error)
            except InvalidArgument as error:
                columns = self._leave_out(columns, error)
            else:
                self._window.append((columns, future))
                return

    def _settle_oldest(self, show: Callable[[int, int], object]) -> None:
        columns, future = self._window.popleft()
        try:
            future.result()
        except LimitExceeded as error:
            if error.retry_after is None or self._late(error):
                self._fail(columns, error)
            else:
                self._retries += 1
                time.sleep(min(error.retry_after, _RETRY_SECONDS))
                self._send(columns)
                return
        except InvalidArgument as error:
            self._fail(columns, error)
        else:
            self._ok += len(columns)
            self._bytes += len(columns) * self._row_bytes
            self._chunks += 1
        show(self._ok + len(self._failed), self._bytes)

    def _late(self, error: LimitExceeded) -> bool:
        return time.monotonic() - self._began > (self._timeout or limits.UPLOAD_ACK_SECONDS)

    def _leave_out(self, columns: Columns, error: VecDBError) -> Columns:
        match = _POSITION.match(error.field)
        place = int(match[1]) if match else len(columns)
        if place >= len(columns):
            raise error
        self._failed.append(_failure(columns.ids[place], error))
        return columns.without(place)

    def _fail(self, columns: Columns, error: VecDBError) -> None:
        self._failed += [_failure(id, error) for id in columns.ids]

    def _finish(self) -> UploadReport:
        report = UploadReport(
            ok=self._ok,
            failed=tuple(self._failed),
            bytes=self._bytes,
            seconds=time.monotonic() - self._began,
            retries=self._retries,
            upload_id=self._id.hex(),
            chunks=self._chunks,
        )
        if report.failed and self._on_error == "raise":
            first = report.failed[0]
            raise UploadFailed(
                f"{len(report.failed)} of {report.ok + len(report.failed)} records were not "
                f"stored; the first: {first.code}: {first.message}",
                report=report,
                hint="error.report.failed names them all; on_error='collect' returns the report",
            )
        return report


def cut(source: Any, ids: Any, payloads: Any, rows: int) -> Iterator[Columns]:
    """Batches of at most ``rows`` rows.

    ``source``: an array [n, dim], or an iterable of arrays or of batches (``ids``, ``vectors``,
    ``payloads``, as attributes or a tuple).
    """
    if isinstance(source, str | bytes | Mapping) or not isinstance(source, Iterable):
        raise InvalidArgument(
            "vectors must be an array, or an iterable of arrays or of batches; "
            f"got {type(source).__name__}",
            field="vectors",
        )
    number, first = 0, 0
    for own_ids, vectors, own_payloads in _blocks(source, ids, payloads):
        count = len(vectors)
        for name, column in (("ids", own_ids), ("payloads", own_payloads)):
            if column is not None and len(column) != count:
                raise InvalidArgument(
                    f"expected {count} {name}, one a record; got {len(column)}", field=name
                )
        for start in range(0, count, rows):
            part = slice(start, min(start + rows, count))
            yield Columns(
                number=number,
                ids=np.arange(first + part.start, first + part.stop)
                if own_ids is None
                else own_ids[part],
                vectors=vectors[part],
                payloads=None if own_payloads is None else own_payloads[part],
            )
            number += 1
        first += count


def _blocks(source: Any, ids: Any, payloads: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(ids, vectors, payloads) of each piece that the source gives."""
    if len(getattr(source, "shape", ())) == 2:
        yield ids, source, payloads
        return
    items = list(source) if isinstance(source, Sequence) else source
    first = 0
    for item in items:
        if all(hasattr(item, name) for name in ("ids", "vectors", "payloads")):
            yield item.ids, item.vectors, item.payloads
        elif isinstance(item, tuple) and len(item) == 3 and np.ndim(item[1]) == 2:
            yield item
        elif np.ndim(item) == 1 and isinstance(items, list):
            yield ids, np.stack([np.asarray(one) for one in items]), payloads
            return
        else:
            part = slice(first, first + len(item))
            yield (
                None if ids is None else ids[part],
                item,
                None if payloads is None else payloads[part],
            )
            first += len(item)


def open_progress(progress: ProgressLike, total: int | None) -> tuple[Any, Callable[..., object]]:
    """(what to close, what to call with records and bytes done)."""
    if callable(progress):
        return None, progress
    if not isinstance(progress, bool):
        raise InvalidArgument(
            f"progress must be True, False or a function; got {type(progress).__name__}",
            field="progress",
        )
    if not progress or not sys.stderr.isatty():
        return None, _ignore
    from tqdm import tqdm

    bar = tqdm(total=total, unit="rec", unit_scale=True, file=sys.stderr)
    return bar, lambda records, size: bar.update(records - bar.n)


def _ignore(records: int, size: int) -> None:
    """Nobody looks."""


def _failure(id: Any, error: VecDBError) -> UploadFailure:
    shown = id if isinstance(id, str) else int(id)
    return UploadFailure(id=shown, code=type(error).__name__, message=str(error))


def _upload_id(resume: str | None) -> bytes:
    if resume is None:
        return os.urandom(_KEY_BYTES)
    try:
        found = bytes.fromhex(resume)
    except (TypeError, ValueError):
        found = b""
    if len(found) != _KEY_BYTES:
        raise InvalidArgument(
            f"resume must be the upload_id of a report, {2 * _KEY_BYTES} hexadecimal digits",
            field="resume",
        )
    return found
