"""What all methods use of a collection behind a server, for asyncio."""

from __future__ import annotations

from .async_calls import AsyncCaller


class AsyncHandle:
    """A collection behind a server, by its name or an alias."""

    def __init__(self, caller: AsyncCaller, name: str) -> None:
        self._caller = caller
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} of {self._caller.settings.address!r})"
