"""The channel of asyncio: opened by the first call, one for each event loop that comes along.

gRPC's asyncio half does not survive a fork: in a child, calls crash or hang, and to free a channel
of the parent waits for ever for a thread that only the parent has. So a child leaves the channel
alone, and refuses calls through asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Final

import grpc
import grpc.aio

from . import fork, status
from .requests import Request
from .settings import Settings

END: Final = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
LISTEN_SECONDS: Final = 0.2


class AsyncTransport:
    """One channel, owned alone. For one event loop at a time."""

    _lost_by_fork: ClassVar[bool] = False  # the parent had a channel open

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata = settings.metadata
        self._closed = False
        self._generation = 0
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._status_hidden = False  # nobody knows why the last stream broke
        fork.tell_after_fork(self)

    async def connect(self) -> int:
        """The number of the channel, which is opened if there is none (nothing is sent yet)."""
        self._open()
        return self._generation

    async def unary(self, request: Request, timeout: float) -> Any:
        """One attempt. Raises ``grpc.RpcError``, or ``Unavailable`` once closed."""
        call = self._open().unary_unary(
            request.path, request_serializer=None, response_deserializer=request.parse
        )
        try:
            answer = await call(request.data, timeout=timeout, metadata=self._metadata)
        except asyncio.CancelledError:
            # Closing the channel cancels its calls; the task itself was not cancelled then.
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise status.closed() from None
            raise
        return answer

    async def stream(self, request: Request) -> AsyncStream:
        """A call with a stream both ways."""
        call: Any = self._open().stream_stream(
            request.path, request_serializer=None, response_deserializer=request.parse
        )
        stream = AsyncStream(call(metadata=self._metadata), self._hide_status)
        if self._status_hidden:
            self._status_hidden = False
            await stream.listen()
        return stream

    def _hide_status(self) -> None:
        self._status_hidden = True

    async def compute(self, work: Callable[[], Any]) -> Any:
        """``work()``, in a thread: it may read a disk or take a while."""
        return await asyncio.to_thread(work)

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End calls under way and give the connection back. Closing twice is fine."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    def after_fork(self) -> None:
        """In the child: forget the parent's channel, without freeing it."""
        if self._channel is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._channel))
            AsyncTransport._lost_by_fork = True
        self._channel = None
        self._generation += 1

    def _open(self) -> grpc.aio.Channel:
        if self._closed:
            raise status.closed()
        if self._lost_by_fork:
            raise status.lost_by_fork()
        loop = asyncio.get_running_loop()
        if self._channel is None or self._loop is not loop:
            self._channel = _make_channel(self.settings)
            self._loop = loop
            self._generation += 1
        return self._channel

    def __del__(self) -> None:
        if getattr(self, "_channel", None) is not None:
            warnings.warn(
                f"a vecdb client of {self.settings.address} was never closed: "
                "use `async with`, or await close()",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


class AsyncStream:
    """A call with a stream both ways."""

    def __init__(self, call: Any, hide_status: Callable[[], None]) -> None:
        self._call = call
        self._hide_status = hide_status
        self._write_failed = False

    async def listen(self) -> None:
        """Give the server time to refuse the call before anything is written."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._call.code(), LISTEN_SECONDS)

    async def send(self, data: bytes) -> None:
        """Send one message; a broken stream shows in ``receive``."""
        if self._call.done():
            return
        try:
            await self._call.write(data)
        except grpc.RpcError:
            self._write_failed = True

    async def finish(self) -> None:
        """Say that no more follows."""
        await self._call.done_writing()

    async def receive(self, timeout: float) -> Any:
        """The next message.

        Raises ``grpc.RpcError`` where the stream broke, ``NoAnswer`` where it ended or nothing
        came for ``timeout`` seconds.
        """
        try:
            message = await asyncio.wait_for(self._call.read(), timeout)
        except TimeoutError:
            raise status.NoAnswer from None
        except grpc.aio.AioRpcError as error:
            # A write that fails while the status arrives puts INTERNAL over it.
            internal = error.code() is grpc.StatusCode.INTERNAL and not error.trailing_metadata()
            if self._write_failed and internal:
                self._hide_status()
                raise status.NoAnswer from None
            raise
        if message is END:
            raise status.NoAnswer
        return message

    async def close(self) -> None:
        """End the call, finished or not."""
        self._call.cancel()


def _make_channel(settings: Settings) -> grpc.aio.Channel:
    options = settings.channel_options()
    if not settings.tls:
        return grpc.aio.insecure_channel(settings.address, options)
    credentials = grpc.ssl_channel_credentials(settings.root_certificates())
    return grpc.aio.secure_channel(settings.address, credentials, options)
