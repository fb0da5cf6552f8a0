"""One upload stream: chunks in, acknowledgements out, in order.

A thread of its own reads and submits chunks while the call's thread waits for their commits: a
client may wait for each acknowledgement or send ahead, and several chunks share one sync.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import grpc

from vecdb import limits
from vecdb.errors import DeadlineExceeded, InvalidArgument
from vecdb.results import WriteResult
from vecdb_client.wire import vecdb_pb2 as pb

from . import convert, status
from .call import Call
from .gate import Gate, draining

SLACK_SECONDS = 5.0
"""The engine keeps the deadline of a write by itself; this much later we stop waiting for it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that is being written, or (``error``) was refused."""

    number: int
    write: Future[WriteResult] | None = None
    error: Exception | None = None
    give_up_at: float = 0.0


class Window:
    """The chunks that are not acknowledged yet, oldest first; at most ``size`` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._chunks: deque[Chunk] = deque()  # Guarded by self._changed
        self._taken = 0  # places in use; guarded by self._changed
        self._finished = False  # Guarded by self._changed
        self._error: Exception | None = None  # Guarded by self._changed

    def reserve(self) -> bool:
        """Wait for a place for one more chunk, to be filled by ``put``; False: finished."""
        with self._changed:
            while self._taken >= self._size and not self._finished:
                self._changed.wait()
            if self._finished:
                return False
            self._taken += 1
            return True

    def put(self, chunk: Chunk) -> None:
        with self._changed:
            self._chunks.append(chunk)
            self._changed.notify_all()

    def take(self) -> Chunk | None:
        """Wait for the oldest chunk; None: finished, and none is left."""
        with self._changed:
            while not self._chunks and not (self._finished and not self._taken):
                self._changed.wait()
            return self._chunks.popleft() if self._chunks else None

    def release(self) -> None:
        """Give back the place of a chunk that was taken."""
        with self._changed:
            self._taken -= 1
            self._changed.notify_all()

    def finish(self, error: Exception | None = None) -> None:
        """No more chunks; those with a place are still acknowledged. The first call counts."""
        with self._changed:
            if not self._finished:
                self._finished, self._error = True, error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error that finished the window, if one did."""
        with self._changed:
            if self._error is not None:
                raise self._error


class Upload:
    """Runs one stream."""

    def __init__(self, gate: Gate, call: Call) -> None:
        self._gate = gate
        self._call = call
        self._window = Window(limits.UPLOAD_WINDOW)

    def run(self, requests: Iterator[pb.UploadRequest]) -> Iterator[pb.UploadResponse]:
        """Answer each chunk; an error of the stream itself is raised after the last answer."""
        notes = self._call.notes
        notes |= {"chunks": 0, "refused": 0}
        reader = threading.Thread(
            target=self._read, args=(requests,), name="vecdb-upload-reader", daemon=True
        )
        with self._gate.watch(lambda: self._window.finish(draining())):
            reader.start()
            try:
                while (chunk := self._window.take()) is not None:
                    answer = self._answer(chunk)
                    notes["chunks"] += 1
                    notes["refused"] += answer.HasField("error")
                    self._window.release()
                    yield answer
            finally:
                self._window.finish()
        self._window.check()

    def _read(self, requests: Iterator[pb.UploadRequest]) -> None:
        try:
            for request in requests:
                if not self._window.reserve():
                    return
                self._window.put(self._submit(request))
            self._window.finish()
        except grpc.RpcError:
            self._window.finish()  # the client has gone
        except Exception as error:
            self._window.finish(error)

    def _submit(self, request: pb.UploadRequest) -> Chunk:
        batch = request.batch
        try:
            if batch.HasField("condition") or batch.no_wait:
                option = "condition" if batch.HasField("condition") else "no_wait"
                raise InvalidArgument(
                    f"a chunk of an upload takes no {option}", field=option, hint="Use Upsert"
                )
            remaining = self._call.timeout
            timeout = min(limits.UPLOAD_ACK_SECONDS, remaining or limits.UPLOAD_ACK_SECONDS)
            write = self._gate.database.collection(batch.collection).submit_upsert(
                **convert.columns_from_wire(batch),
                idempotency_key=batch.idempotency_key or None,
                timeout=timeout,
            )
        except Exception as error:
            return Chunk(request.chunk, error=error)
        return Chunk(request.chunk, write, give_up_at=time.monotonic() + timeout + SLACK_SECONDS)

    def _answer(self, chunk: Chunk) -> pb.UploadResponse:
        try:
            return pb.UploadResponse(
                chunk=chunk.number, result=convert.write_to_wire(_result(chunk))
            )
        except Exception as error:
            return pb.UploadResponse(
                chunk=chunk.number,
                error=self._call.refuse(error),
                status=status.number_of(status.code_of(error)),
            )


def _result(chunk: Chunk) -> WriteResult:
    if chunk.write is None:
        raise chunk.error or AssertionError("a chunk has a write or an error")
    try:
        return chunk.write.result(max(0.0, chunk.give_up_at - time.monotonic()))
    except TimeoutError:
        raise DeadlineExceeded(
            "the chunk was not committed in time",
            hint="Send it again with the same idempotency key",
            maybe_applied=True,
        ) from None
