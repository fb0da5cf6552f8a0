"""The synchronous channel: opened by the first call, dropped in a forked child."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final

import grpc

from . import fork, status
from .requests import Request
from .settings import Settings

END: Final = None


class Transport:
    """One channel, owned alone. Safe in any number of threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._metadata = settings.metadata
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._generation = 0
        self._channel: grpc.Channel | None = None  # guarded by _lock, as is _generation
        fork.tell_after_fork(self)

    def connect(self) -> int:
        """The number of the channel, which is opened if there is none (nothing is sent yet)."""
        self._open()
        return self._generation

    def unary(self, request: Request, timeout: float) -> Any:
        """One attempt. Raises ``grpc.RpcError``, or ``Unavailable`` once closed."""
        call = self._open().unary_unary(
            request.path, request_serializer=None, response_deserializer=request.parse
        )
        try:
            answer = call(request.data, timeout=timeout, metadata=self._metadata)
        except (grpc.RpcError, ValueError) as error:
            # A channel that is closed under a call cancels it, or is a ValueError.
            if self._closed.is_set():
                raise status.closed() from None
            raise error
        return answer

    def stream(self, request: Request) -> Stream:
        """A call with a stream both ways."""
        call = self._open().stream_stream(
            request.path, request_serializer=None, response_deserializer=request.parse
        )
        return Stream(call, self._metadata)

    def compute(self, work: Callable[[], Any]) -> Any:
        """``work()``, in this thread."""
        return work()

    def sleep(self, seconds: float) -> None:
        """Pause; ends early when the client is closed."""
        self._closed.wait(seconds)

    def close(self) -> None:
        """End calls under way and give the connection back. Closing twice is fine."""
        self._closed.set()
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def after_fork(self) -> None:
        """In the child: forget the parent's channel, and locks that its threads may hold."""
        closed = self._closed.is_set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        if closed:
            self._closed.set()
        self._channel = None
        self._generation += 1

    def _open(self) -> grpc.Channel:
        if self._closed.is_set():
            raise status.closed()
        with self._lock:
            if self._channel is None:
                self._channel = _make_channel(self.settings)
                self._generation += 1
            return self._channel

    def __del__(self) -> None:
        if getattr(self, "_channel", None) is not None:
            warnings.warn(
                f"a vecdb client of {self.settings.address} was never closed: "
                "use `with`, or close()",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


class Stream:
    """A call with a stream both ways, read by a thread of its own so that waiting can end."""

    def __init__(self, call: Any, metadata: Any) -> None:
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = call(iter(self._outgoing.get, END), metadata=metadata)
        self._reader = threading.Thread(target=self._read, name="vecdb-upload", daemon=True)
        self._reader.start()

    def send(self, data: bytes) -> None:
        """Queue one message; a broken stream shows in ``receive``."""
        self._outgoing.put(data)

    def finish(self) -> None:
        """Say that no more follows."""
        self._outgoing.put(END)

    def receive(self, timeout: float) -> Any:
        """The next message.

        Raises ``grpc.RpcError`` where the stream broke, ``NoAnswer`` where it ended or nothing
        came for ``timeout`` seconds.
        """
        try:
            item = self._incoming.get(timeout=timeout)
        except queue.Empty:
            raise status.NoAnswer from None
        if isinstance(item, grpc.RpcError):
            raise item
        if item is END:
            raise status.NoAnswer
        return item

    def close(self) -> None:
        """End the call, finished or not, and its threads."""
        self._outgoing.put(END)
        self._call.cancel()
        self._reader.join()

    def _read(self) -> None:
        try:
            for message in self._call:
                self._incoming.put(message)
            self._incoming.put(END)
        except grpc.RpcError as error:
            self._incoming.put(error)


def _make_channel(settings: Settings) -> grpc.Channel:
    options = settings.channel_options()
    if not settings.tls:
        return grpc.insecure_channel(settings.address, options)
    credentials = grpc.ssl_channel_credentials(settings.root_certificates())
    return grpc.secure_channel(settings.address, credentials, options)
