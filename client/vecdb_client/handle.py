# Generated from client/vecdb_client/async_handle.py by client/generate.py; do not edit.
"""What all methods use of a collection behind a server."""

from __future__ import annotations

from .calls import Caller


class Handle:
    """A collection behind a server, by its name or an alias."""

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r} of {self._caller.settings.address!r})"
