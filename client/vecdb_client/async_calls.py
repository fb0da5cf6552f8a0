"""Calls with everything around them: handshake, deadline, retries, typed errors."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import grpc

from . import handshake, health, limits, requests, status
from .aio_transport import AsyncStream, AsyncTransport
from .errors import Unavailable, VecDBError
from .progress import Progress
from .requests import Request
from .retry import Retry
from .settings import Default, Settings, Timeout, check_timeout
from .uploads import Upload

END_SECONDS: Final = 5.0
"""How long an upload whose last chunk is acknowledged waits for the server to end the stream."""


class AsyncCaller:
    """Makes calls for one client. Pickles as its settings: a copy opens a channel of its own."""

    def __init__(self, settings: Settings, transport: AsyncTransport | None = None) -> None:
        self.settings = settings
        self._transport = AsyncTransport(settings) if transport is None else transport
        self._greeted = -1  # the channel whose server is known; -1: none
        self._warned = False

    async def call(self, request: Request, timeout: Timeout = Default.CLIENT) -> Any:
        """The answer to ``request``, attempted as often as is safe within ``timeout`` seconds."""
        retry = Retry(self._seconds(timeout))
        lost = False
        while True:
            retry.begin()
            sent = False
            try:
                await self._greet(retry)
                sent = True
                return await self._transport.unary(request, retry.remaining)
            except grpc.RpcError as raised:
                failure = status.failure_of(raised, request, retry, self.settings.address)
            error = failure.error
            # Without an answer nobody knows whether a request that was sent took effect.
            unknown = sent and not failure.answered
            lost = lost or unknown
            if isinstance(error, Unavailable):
                self._greeted = -1
            pause = retry.pause_after(error, repeatable=request.repeatable or not unknown)
            if pause is None:
                error.maybe_applied = error.maybe_applied or (request.write and lost)
                raise error
            await self._transport.sleep(pause)

    async def wait_ready(self, timeout: Timeout = Default.CLIENT) -> None:
        """Return once the server is ready for calls; ``Unavailable`` if it is not in time."""
        retry = Retry(self._seconds(timeout))
        request = health.check()
        while True:
            retry.begin()
            error: VecDBError = health.not_ready(self.settings.address)
            try:
                if await self._transport.unary(request, retry.remaining):
                    return
            except grpc.RpcError as raised:
                error = status.failure_of(raised, request, retry, self.settings.address).error
            pause = retry.pause_after(error, repeatable=True)
            if pause is None:
                raise error
            await self._transport.sleep(pause)

    async def upload(self, job: Upload, ack_seconds: float | None, progress: Progress) -> None:
        """Send all chunks of ``job``, on stream after stream should one break.

        Gives up after ``ack_seconds`` without an acknowledgement (None: 60).
        """
        try:
            await self._upload(job, Retry(ack_seconds or limits.UPLOAD_ACK_SECONDS), progress)
        except BaseException as error:  # an interrupt above all
            job.annotate(error)
            raise

    async def close(self) -> None:
        """Close the channel."""
        await self._transport.close()

    async def _upload(self, job: Upload, retry: Retry, progress: Progress) -> None:
        while not job.done:
            retry.begin()
            try:
                await self._greet(retry)
                stream = await self._transport.stream(job.as_request())
                try:
                    await self._drive(stream, job, retry, progress)
                finally:
                    await stream.close()
                return
            except grpc.RpcError as raised:
                request = job.as_request()
                error = status.failure_of(raised, request, retry, self.settings.address).error
            except status.NoAnswer:
                error = job.stopped(retry.budget)
            self._greeted = -1
            job.restart()
            await self._pause(retry, job, error)

    async def _drive(
        self, stream: AsyncStream, job: Upload, retry: Retry, progress: Progress
    ) -> None:
        """Keep the window full until every chunk is settled."""
        while not job.done:
            while job.has_room:
                chunk = await self._transport.compute(job.next_chunk)
                if chunk is None:
                    break
                if chunk.fresh:
                    retry.renew()  # the time it took to read the data is not the server's
                await stream.send(chunk.data)
            if job.done:
                break
            error = job.acknowledge(await stream.receive(retry.remaining))
            if error is None:
                retry.renew()
                progress.show(job.settled, job.bytes)
            else:
                await self._pause(retry, job, error)
        await stream.finish()
        # How the stream ends does not matter any more, but ending it in peace lets the server
        # log a success.
        with contextlib.suppress(grpc.RpcError, status.NoAnswer):
            await stream.receive(END_SECONDS)

    async def _pause(self, retry: Retry, job: Upload, error: VecDBError) -> None:
        """Wait before chunks are sent again; raise where that makes no sense."""
        pause = retry.pause_after(error, repeatable=True)
        if pause is None:
            raise job.broken_off(error)
        job.retries += 1
        await self._transport.sleep(pause)

    async def _greet(self, retry: Retry) -> None:
        """Learn who the server is, once for each channel."""
        channel = await self._transport.connect()
        if channel == self._greeted:
            return
        message = await self._transport.unary(requests.info(), retry.remaining)
        apart = handshake.check_server(
            handshake.server_info(message), self.settings.address, warn=not self._warned
        )
        self._warned = self._warned or apart
        self._greeted = channel

    def _seconds(self, timeout: Timeout) -> float | None:
        return self.settings.timeout if isinstance(timeout, Default) else check_timeout(timeout)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.settings,))
