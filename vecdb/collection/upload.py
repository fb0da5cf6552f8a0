"""A large write into an embedded database: cut into atomic chunks, a few of them in flight.

The whole is not atomic. Each chunk carries a key, upload id + number, so that an upload that is
run again with ``resume`` and the same data does not write a chunk twice within a day. A chunk that
is refused because of some records goes in without them, under the number ``n + round * 2**32``:
numbers depend on the data alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .. import limits
from ..deadline import Deadline
from ..errors import (
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    Unavailable,
    UploadFailed,
    VecDBError,
)
from ..results import UploadFailure, UploadReport, WriteResult
from .chunks import Columns, pack
from .faults import explain, rows_at_fault
from .payload import encode_payload
from .positions import position_of
from .progress import Progress
from .sources import Source

Submit = Callable[..., "Future[WriteResult]"]

KEY_BYTES: Final = 16
ROUND: Final = 1 << 32
PAUSE_SECONDS: Final = 0.05


@dataclass(slots=True, kw_only=True)
class Chunk:
    """``deadline``: until then it is tried again where the moment is bad."""

    number: int
    columns: Columns
    deadline: Deadline
    written: Future[WriteResult] | None = None


class Upload:
    """One upload through ``submit``, which is ``Collection.submit_upsert``.

    ``fields``: the declared ones of the collection.
    """

    def __init__(
        self,
        submit: Submit,
        source: Source,
        fields: dict[str, str],
        *,
        on_error: str,
        resume: str | None,
        timeout: float | None,
    ) -> None:
        if on_error not in ("raise", "collect"):
            raise InvalidArgument("on_error must be 'raise' or 'collect'", field="on_error")
        Deadline.after(timeout)
        self._submit = submit
        self._chunks: Iterator[tuple[int, Columns]] = enumerate(pack(source, self._refuse))
        self._fields = fields
        self._on_error = on_error
        self._id = _upload_id(resume)
        self._timeout = timeout
        self._began = time.monotonic()
        self._window: deque[Chunk] = deque()  # submitted, not settled, in this order
        self._ok = 0
        self._bytes = 0
        self._acknowledged = 0
        self._retries = 0
        self._failed: list[UploadFailure] = []

    def run(self, progress: Progress) -> UploadReport:
        """Write everything; returns the report or raises ``UploadFailed``."""
        try:
            for number, columns in self._chunks:
                self._send(self._make_chunk(number, columns))
                while len(self._window) >= limits.UPLOAD_WINDOW:
                    self._settle_oldest()
                    progress.show(self._ok + len(self._failed), self._bytes)
            while self._window:
                self._settle_oldest()
                progress.show(self._ok + len(self._failed), self._bytes)
        except Exception as error:
            if not isinstance(error, UploadFailed) and self._acknowledged:
                error.add_note(
                    f"{self._ok} records of the upload are stored; "
                    f"resume={self._id.hex()!r} with the same data skips them"
                )
            raise
        return self._finish()

    def _make_chunk(self, number: int, columns: Columns) -> Chunk:
        seconds = limits.UPLOAD_ACK_SECONDS if self._timeout is None else self._timeout
        return Chunk(number=number, columns=columns, deadline=Deadline.after(seconds))

    def _send(self, chunk: Chunk) -> None:
        """Submit a chunk, without the records that are refused at the door."""
        while len(chunk.columns):
            columns = chunk.columns
            try:
                chunk.written = self._submit(
                    columns.ids,
                    columns.vectors,
                    columns.payloads if any(columns.payloads) else None,
                    idempotency_key=self._id + chunk.number.to_bytes(8, "big"),
                    timeout=self._timeout,
                )
            except LimitExceeded as error:
                if error.retry_after is None:
                    self._leave_out(chunk, error)
                elif self._window:
                    self._settle_oldest()
                else:
                    self._pause(chunk, error)
            except InvalidArgument as error:
                self._leave_out(chunk, error)
            except Unavailable as error:
                raise self._broken_off(error, chunk) from error
            else:
                self._window.append(chunk)
                return

    def _settle_oldest(self) -> None:
        chunk = self._window.popleft()
        if chunk.written is None:
            raise AssertionError("a chunk in the window was submitted")
        try:
            chunk.written.result()
        except LimitExceeded as error:
            if error.retry_after is None:
                self._fail(chunk.columns, type(error).__name__, str(error))
                return
            self._pause(chunk, error)
            self._send(chunk)
        except InvalidArgument as error:
            self._fail(chunk.columns, type(error).__name__, str(error))
        except (DeadlineExceeded, Unavailable) as error:
            raise self._broken_off(error, chunk) from error
        else:
            self._ok += len(chunk.columns)
            self._bytes += int(chunk.columns.sizes().sum())
            self._acknowledged += 1

    def _pause(self, chunk: Chunk, error: LimitExceeded) -> None:
        """Wait before a chunk is submitted again; raise once its time is over."""
        left = chunk.deadline.remaining or 0.0
        if left == 0.0:
            raise self._broken_off(error, chunk) from error
        self._retries += 1
        time.sleep(min(error.retry_after or PAUSE_SECONDS, PAUSE_SECONDS, left))

    def _leave_out(self, chunk: Chunk, error: VecDBError) -> None:
        """Fail the records at fault, and keep the others."""
        columns, named = chunk.columns, position_of(error)
        if named is None or named >= len(columns):
            raise error
        out = rows_at_fault(columns, error, named)
        if error.field.startswith("payloads"):
            out = self._unfit_payloads(columns, named)
        else:
            for index in map(int, out):
                message = explain(columns, error, named, index)
                self._refuse(columns.id_at(index), error, message)
        chunk.columns = columns.take(np.setdiff1d(np.arange(len(columns)), out))
        chunk.number += ROUND

    def _unfit_payloads(self, columns: Columns, named: int) -> Any:
        """Fail every record whose payload does not fit, the first of them ``named``."""
        out = []
        for index in range(named, len(columns)):
            try:
                encode_payload(columns.payloads[index], self._fields, f"payloads[{index}]")
            except (InvalidArgument, LimitExceeded) as error:
                out.append(index)
                message = explain(columns, error, index, index)
                self._refuse(columns.id_at(index), error, message)
        if not out:
            raise AssertionError("the payload that was refused fits")
        return np.array(out)

    def _refuse(self, id: int | str, error: VecDBError, message: str | None = None) -> None:
        text = error.message if message is None else message
        self._failed.append(UploadFailure(id=id, code=type(error).__name__, message=text))

    def _fail(self, columns: Columns, code: str, message: str) -> None:
        self._failed += [
            UploadFailure(id=columns.id_at(index), code=code, message=message)
            for index in range(len(columns))
        ]

    def _broken_off(self, error: VecDBError, chunk: Chunk) -> UploadFailed:
        for lost in (chunk, *self._window):
            self._fail(lost.columns, type(error).__name__, "submitted, but not acknowledged")
        self._window.clear()
        return UploadFailed(
            f"the upload broke off after {self._ok} records: {error.message}",
            report=self._report(),
            reason=error.reason,
            hint=f"Continue with the same data and resume={self._id.hex()!r}",
            retry_after=error.retry_after,
            maybe_applied=True,
        )

    def _finish(self) -> UploadReport:
        report = self._report()
        if report.failed and self._on_error == "raise":
            first = report.failed[0]
            raise UploadFailed(
                f"{len(report.failed)} of {report.ok + len(report.failed)} records were not "
                f"stored; the first: {first.code}: {first.message}",
                report=report,
                hint="error.report.failed names them all; on_error='collect' returns the report",
            )
        return report

    def _report(self) -> UploadReport:
        return UploadReport(
            ok=self._ok,
            failed=tuple(self._failed),
            bytes=self._bytes,
            seconds=time.monotonic() - self._began,
            retries=self._retries,
            upload_id=self._id.hex(),
            chunks=self._acknowledged,
        )


def _upload_id(resume: str | None) -> bytes:
    if resume is None:
        return os.urandom(KEY_BYTES)
    try:
        found = bytes.fromhex(resume)
    except (TypeError, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise InvalidArgument(
            f"resume must be the upload_id of a report, {2 * KEY_BYTES} hexadecimal digits",
            field="resume",
        )
    return found
