"""gRPC and ``os.fork``: what makes a child of ``fork`` able to open a channel of its own.

Imported before grpc by the package. grpc reads ``GRPC_ENABLE_FORK_SUPPORT`` when it is imported:
with "1" a child that opens its own channel works, with "0" it hangs for ever. Channels of the
parent are of no use to a child: every transport drops its channel there and opens another.

Fork while no other thread is inside a call. A fork copies the locks that are held inside gRPC at
that moment, but not the threads that would release them, and the child can hang on its first call.
Where threads call all the time, start processes by "spawn", or fork before the first of them.
"""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from typing import Final, Protocol

VARIABLE: Final = "GRPC_ENABLE_FORK_SUPPORT"


class Forked(Protocol):
    """Something to be told in the child after a fork."""

    def after_fork(self) -> None: ...


_transports: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()


def enable_fork_support() -> None:
    """Ask grpc for fork support unless the environment decided; warn where it decided against."""
    value = os.environ.setdefault(VARIABLE, "1")
    if value.strip().lower() in ("0", "false", "no"):
        state = "was imported" if "grpc" in sys.modules else "is imported"
        warnings.warn(
            f"grpc {state} with {VARIABLE}={value}: a process forked from this one hangs on its "
            "first call. Unset the variable, or start processes by 'spawn'",
            RuntimeWarning,
            stacklevel=3,
        )


def tell_after_fork(transport: Forked) -> None:
    """Have ``transport.after_fork`` called in every child, for as long as it lives."""
    _transports.add(transport)


def _after_fork_in_child() -> None:
    for transport in list(_transports):
        transport.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
