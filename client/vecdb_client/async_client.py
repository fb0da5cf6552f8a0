"""The methods of an embedded database, over the network, for asyncio."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from . import key_messages, limits, requests, responses
from .async_calls import AsyncCaller
from .async_collection import AsyncCollection
from .handshake import ServerInfo, server_info
from .keys import OVERLAP_SECONDS, KeyInfo, KeyRights
from .results import CollectionInfo
from .settings import Default, Settings, Timeout


class AsyncClient:
    """A database behind a server.

    The channel opens on the first call. One event loop at a time.
    Close it before a fork, which asyncio does not survive.
    Pickling and copying carry the settings only.

    - ``address``: "host:port"
    - ``api_key``: sent with every call, never shown
    - ``timeout``: seconds that a call may take, retries included, where it does not say otherwise
    - ``tls``: encrypt; ``ca_file``: PEM certificates to trust instead of the system's
    """

    def __init__(
        self,
        address: str = "127.0.0.1:7700",
        *,
        api_key: str | None = None,
        timeout: float | None = limits.TIMEOUT_SECONDS,
        tls: bool = False,
        ca_file: str | None = None,
    ) -> None:
        self._caller = AsyncCaller(
            Settings(address=address, api_key=api_key, timeout=timeout, tls=tls, ca_file=ca_file)
        )

    @property
    def address(self) -> str:
        """Host and port."""
        return self._caller.settings.address

    async def create_collection(
        self,
        name: str,
        *,
        dim: int,
        metric: str = "cosine",
        dtype: str = "float32",
        fields: Mapping[str, str] | None = None,
        code_bits: int = 4,
        page_bytes: int | None = None,
        memory_budget: int | None = None,
    ) -> AsyncCollection:
        """Make a collection of vectors of ``dim`` dimensions; ``fields``: name -> type.

        ``code_bits``: 1, 2, 4 or 8 bits a dimension in the codes of sealed records: more take more
        memory and spare reads of vectors. ``page_bytes``: 4096, 8192 or 16384, of the pages that
        sealed vectors lie in; None: what fits ``dim`` and ``dtype``. ``memory_budget``: bytes that
        sealed records may take in memory, changed by ``set_memory_budget``; None: no bound.
        """
        request = requests.create_collection(
            name,
            dim,
            metric=metric,
            dtype=dtype,
            fields=fields,
            code_bits=code_bits,
            page_bytes=page_bytes,
            memory_budget=memory_budget,
        )
        await self._caller.call(request)
        return AsyncCollection(self._caller, name)

    def collection(self, name: str) -> AsyncCollection:
        """A handle of a collection, by its name or an alias; checked when it is used."""
        return AsyncCollection(self._caller, name)

    async def collections(self) -> list[CollectionInfo]:
        """All collections, by name."""
        return responses.collections(await self._caller.call(requests.list_collections()))

    async def delete_collection(self, name: str) -> None:
        """Delete a collection, its records and its aliases; an alias is refused."""
        await self._caller.call(requests.delete_collection(name))

    async def alias(self, alias: str, collection: str) -> None:
        """Have ``alias`` name a collection, from now on and at once."""
        await self._caller.call(requests.alias(alias, collection))

    async def delete_alias(self, alias: str) -> None:
        """Remove an alias; the collection stays."""
        await self._caller.call(requests.delete_alias(alias))

    async def aliases(self) -> dict[str, str]:
        """alias -> collection, by alias."""
        return responses.aliases(await self._caller.call(requests.list_collections()))

    async def create_key(
        self,
        name: str,
        role: str,
        collections: Sequence[str] | None = None,
        tenant: str | None = None,
        all_tenants: bool = False,
        expires: datetime | None = None,
        *,
        rate: float | None = None,
        concurrency: int | None = None,
    ) -> tuple[KeyInfo, str]:
        """Make an API key: the key, and its secret, of which the server keeps a digest only.

        ``role``: read, write or admin, each with the rights before it, or cache:get, cache:put,
        cache:admin. ``collections``: names that the key may use; None: all. Either a ``tenant`` or
        ``all_tenants``. ``expires``: a datetime with a zone. ``rate``: calls a second;
        ``concurrency``: calls at once.
        """
        rights = KeyRights(
            name=name,
            role=role,
            collections=collections,  # type: ignore[arg-type]  # checked, and made a tuple, there
            tenant=tenant,
            all_tenants=all_tenants,
            expires=expires,
            rate=rate,
            concurrency=concurrency,
        )
        return key_messages.created(await self._caller.call(key_messages.create(rights)))

    async def keys(self) -> list[KeyInfo]:
        """All API keys, oldest first, also those that expired or were revoked."""
        return key_messages.listed(await self._caller.call(key_messages.list_all()))

    async def revoke_key(self, key: str) -> None:
        """Have the key of that id refused from now on. To do so again changes nothing."""
        await self._caller.call(key_messages.revoke(key))

    async def rotate_key(self, key: str, overlap: float = OVERLAP_SECONDS) -> str:
        """A new secret of the key; the old one stays valid for ``overlap`` seconds."""
        return key_messages.rotated(await self._caller.call(key_messages.rotate(key, overlap)))

    async def stats(self) -> dict[str, Any]:
        """Counters and sizes of the database."""
        return responses.stats(await self._caller.call(requests.stats()))

    async def info(self) -> ServerInfo:
        """Who the server is, and its limits."""
        return server_info(await self._caller.call(requests.info()))

    async def wait_ready(self, timeout: Timeout = Default.CLIENT) -> None:
        """Return once the server is ready for calls; raise ``Unavailable`` if it is not in time."""
        await self._caller.wait_ready(timeout)

    async def close(self) -> None:
        """Close the channel; calls after that raise ``Unavailable``. Closing twice is fine."""
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a shared channel would be closed with either

    def __repr__(self) -> str:
        return f"AsyncClient({self.address!r})"
