"""The state of one upload, without any I/O: what to send, what is acknowledged, what failed.

Each chunk is atomic and carries a key, upload id + number, so that sending it again does no harm.
A chunk that is refused because of one record goes out again without it, under the number
``n + round * 2**32``: numbers depend on the data alone, never on timing, and an upload that is
resumed with the same data sends the same chunks under the same keys.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from . import limits, status, write_requests
from .arguments import KEY_BYTES
from .chunks import Columns, pack
from .errors import (
    DeadlineExceeded,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    UploadFailed,
    VecDBError,
)
from .faults import explain, rows_at_fault
from .positions import position_of
from .requests import Request
from .results import UploadFailure, UploadReport
from .retry import may_repeat
from .sharing import SILENT, Sharing
from .sources import Source
from .wire import vecdb_pb2 as pb

ROUNDS: Final = 16
"""How often a chunk is sent again without the records that were refused."""
ROUND: Final = 1 << 32
FATAL: Final = (NotFound, PermissionDenied, Unauthenticated)
FATAL_REASONS: Final = ("STORE_FAILED",)  # the server takes no write until it is started again
"""What one chunk meets so, all do: the upload ends."""


@dataclass(slots=True, kw_only=True)
class Chunk:
    """``data`` is the message; ``fresh``: it was not sent yet."""

    number: int
    columns: Columns
    data: bytes
    fresh: bool = True


class Upload:
    """One upload. ``total``: its records, if known; ``settled``: stored or failed so far.

    ``sharing``: who is to see the records, one list for all.
    """

    def __init__(
        self,
        collection: str,
        source: Source,
        *,
        on_error: str = "raise",
        resume: str | None = None,
        sharing: Sharing = SILENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if on_error not in ("raise", "collect"):
            raise InvalidArgument("on_error must be 'raise' or 'collect'", field="on_error")
        self.total = source.total
        self.retries = 0
        self.bytes = 0
        self._collection = collection
        self._on_error = on_error
        self._sharing = sharing
        self._id = _upload_id(resume)
        self._clock = clock
        self._began = clock()
        self._ok = 0
        self._acknowledged = 0
        self._failed: list[UploadFailure] = []
        self._source: Iterator[tuple[int, Columns]] = enumerate(pack(source, self._refuse))
        self._exhausted = False
        self._window: deque[Chunk] = deque()  # sent, not acknowledged, in this order
        self._again: deque[Chunk] = deque()  # to be sent before the source is asked

    @property
    def upload_id(self) -> str:
        """Pass it as ``resume``."""
        return self._id.hex()

    @property
    def settled(self) -> int:
        return self._ok + len(self._failed)

    @property
    def done(self) -> bool:
        """All chunks are settled."""
        return self._exhausted and not self._window and not self._again

    @property
    def has_room(self) -> bool:
        """Another chunk may be sent before one is acknowledged."""
        if self._again:
            return len(self._window) < limits.UPLOAD_WINDOW
        return not self._exhausted and len(self._window) < limits.UPLOAD_WINDOW

    def next_chunk(self) -> Chunk | None:
        """The chunk to send now; None: there is no more."""
        if self._again:
            chunk = self._again.popleft()
            chunk.fresh = False
        else:
            following = next(self._source, None)
            if following is None:
                self._exhausted = True
                return None
            chunk = self._make_chunk(*following)
        self._window.append(chunk)
        return chunk

    def acknowledge(self, message: pb.UploadResponse) -> VecDBError | None:
        """Settle the oldest chunk sent. Returns an error after which to pause: it goes again."""
        chunk = self._window.popleft()
        if message.chunk != chunk.number:
            raise VecDBError(
                f"the server acknowledged chunk {message.chunk}, but the oldest sent is "
                f"{chunk.number}: it does not keep the order",
                reason="PROTOCOL",
            )
        if message.HasField("result"):
            self._ok += len(chunk.columns)
            self._acknowledged += 1
            self.bytes += len(chunk.data)
            return None
        error = status.error_of(message.status, message.error)
        if isinstance(error, DeadlineExceeded):
            error = Unavailable(error.message)  # with its key, a chunk may be sent once more
        if may_repeat(error, repeatable=True):
            self._again.append(chunk)
            return error
        if isinstance(error, FATAL) or error.reason in FATAL_REASONS:
            self._window.appendleft(chunk)
            raise self.broken_off(error)
        position = position_of(error)
        if (
            isinstance(error, InvalidArgument | LimitExceeded)
            and position is not None
            and position < len(chunk.columns)
        ):
            self._leave_out(chunk, error, position)
        else:
            self._fail(chunk.columns, type(error).__name__, str(error))
        return None

    def restart(self) -> None:
        """The stream broke: what is not acknowledged is sent again on the next."""
        self._again.extendleft(reversed(self._window))
        self._window.clear()

    def stopped(self, seconds: float) -> Unavailable:
        """The server did not acknowledge, or ended the stream."""
        waiting = len(self._window) + len(self._again)
        return Unavailable(
            f"Records.Upload: {waiting} chunks are not acknowledged (waited at most {seconds:g} s)"
        )

    def broken_off(self, error: VecDBError) -> VecDBError:
        """What to raise when the upload ends early because of ``error``."""
        if not isinstance(error, Unavailable | LimitExceeded):
            return error
        for chunk in (*self._window, *self._again):
            self._fail(chunk.columns, type(error).__name__, "sent, but not acknowledged")
        self._window.clear()
        self._again.clear()
        failed = UploadFailed(
            f"the upload broke off after {self._ok} records: {error.message}",
            report=self._report(),
            reason=error.reason,
            hint=f"Continue with the same data and resume={self.upload_id!r}",
            retry_after=error.retry_after,
            maybe_applied=True,
        )
        failed.__cause__ = error
        return failed

    def annotate(self, error: BaseException) -> None:
        """Tell how to go on, whatever ended the upload."""
        if not isinstance(error, UploadFailed) and self._acknowledged:
            error.add_note(
                f"{self._ok} records of the upload are stored; "
                f"resume={self.upload_id!r} with the same data skips them"
            )

    def finish(self) -> UploadReport:
        """The report; raises ``UploadFailed`` if a record failed, unless told to collect."""
        report = self._report()
        if report.failed and self._on_error == "raise":
            first = report.failed[0]
            raise UploadFailed(
                f"{len(report.failed)} of {self.settled} records were not stored; the first: "
                f"{first.code}: {first.message}",
                report=report,
                hint="error.report.failed names them all; on_error='collect' returns the report",
            )
        return report

    def as_request(self) -> Request:
        """The stream as a call, to name it in errors."""
        sent = b"".join(chunk.data for chunk in list(self._window)[:1])
        return Request(
            service="Records",
            method="Upload",
            data=sent,
            parse=pb.UploadResponse.FromString,
            write=True,
        )

    def _report(self) -> UploadReport:
        return UploadReport(
            ok=self._ok,
            failed=tuple(self._failed),
            bytes=self.bytes,
            seconds=self._clock() - self._began,
            retries=self.retries,
            upload_id=self.upload_id,
            chunks=self._acknowledged,
        )

    def _make_chunk(self, number: int, columns: Columns) -> Chunk:
        payloads = columns.payloads if any(columns.payloads) else []
        key = self._id + number.to_bytes(8, "big")
        batch = write_requests.upsert_message(
            self._collection, columns.ids, columns.vectors, payloads, key, self._sharing
        )
        data = pb.UploadRequest(batch=batch, chunk=number).SerializeToString()
        return Chunk(number=number, columns=columns, data=data)

    def _leave_out(self, chunk: Chunk, error: VecDBError, named: int) -> None:
        """Fail the records at fault and send the others again."""
        columns = chunk.columns
        out = rows_at_fault(columns, error, named)
        for index in map(int, out):
            self._failed.append(
                UploadFailure(
                    id=columns.id_at(index),
                    code=type(error).__name__,
                    message=explain(columns, error, named, index),
                )
            )
        rest = columns.take(np.setdiff1d(np.arange(len(columns)), out))
        if chunk.number // ROUND >= ROUNDS:
            self._fail(rest, type(error).__name__, f"{ROUNDS} rounds refused others of its chunk")
        elif len(rest):
            self._again.append(self._make_chunk(chunk.number + ROUND, rest))

    def _fail(self, columns: Columns, code: str, message: str) -> None:
        self._failed += [
            UploadFailure(id=columns.id_at(index), code=code, message=message)
            for index in range(len(columns))
        ]

    def _refuse(self, id: int | str, error: VecDBError) -> None:
        self._failed.append(UploadFailure(id=id, code=type(error).__name__, message=str(error)))


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
