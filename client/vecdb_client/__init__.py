"""Client of the vecdb server: ``Client("host:port")`` has the methods of an embedded database.

It needs grpcio, protobuf and numpy, and nothing of the engine.
"""

from __future__ import annotations

from .fork import enable_fork_support

enable_fork_support()  # before grpc is imported, which the next lines do

from . import errors, results  # noqa: E402
from .async_client import AsyncClient  # noqa: E402
from .client import Client  # noqa: E402
from .filters import F  # noqa: E402

__all__ = ["AsyncClient", "Client", "F", "errors", "results"]
