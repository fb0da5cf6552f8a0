"""The directory of all collections: the embedded API. ``vecdb_client.Client`` has its methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import limits
from .cache import Cache, Caches, PolicySource
from .cache_results import CacheInfo
from .collection import Clock, Collection, Store, keyring, reads
from .collection.arguments import check_lookup
from .collection.group import Group
from .collection.store import find_named
from .collection.tenants import rate_of
from .collection.writes import collection_gone
from .errors import AlreadyExists, InvalidArgument, LimitExceeded, NotFound
from .keys import OVERLAP_SECONDS, KeyInfo, KeyRights, check_overlap
from .results import CollectionInfo
from .schema import CollectionSchema, check_name
from .storage import credentials, files, format
from .storage.catalogue import (
    CollectionRow,
    drop_collection,
    find_collection,
    get_counters,
    put_collection,
    scan_aliases,
    scan_states,
)

IO_ENGINES = ("auto", "io_uring", "threads", "mmap")
_WRITE_BYTES = 1_024


class Database:
    """An open database; made by ``vecdb.open``. Safe for any thread, not across ``fork``.

    One process writes, any number read: with ``read_only`` it follows the commits of another.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool,
        clock: Clock,
        threads: int | None,
        map_bytes: int | None,
        build_memory: int | None = None,
        io_engine: str = "auto",
    ) -> None:
        if threads is not None and (type(threads) is not int or not 1 <= threads <= 1_024):
            raise InvalidArgument("threads must be an integer from 1 to 1024", field="threads")
        if build_memory is not None and (type(build_memory) is not int or build_memory < 1):
            raise InvalidArgument(
                "build_memory must be a number of bytes, 1 or more", field="build_memory"
            )
        if io_engine not in IO_ENGINES:
            raise InvalidArgument(
                f"io_engine must be one of {', '.join(IO_ENGINES)}; got {str(io_engine)[:40]!r}",
                field="io_engine",
            )
        self.path = Path(path)
        if read_only:
            files.require_database(self.path)
        else:
            files.make_directory(self.path)
        self._store = Store(
            self.path,
            read_only=read_only,
            clock=clock,
            threads=threads,
            map_bytes=map_bytes,
            build_memory=build_memory,
            io_engine=io_engine,
        )
        self._caches = Caches(self._store)

    @property
    def database_id(self) -> str:
        """A UUID, given at creation."""
        return str(self._store.environment.database_id)

    @property
    def read_only(self) -> bool:
        return self._store.read_only

    def create_collection(
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
    ) -> Collection:
        """Make a collection of vectors of ``dim`` dimensions; ``fields``: name -> type.

        Types of fields: keyword, bool, int, float, datetime, uuid, geo ({"lat": .., "lon": ..}),
        text (compared by its words). Only declared fields can be used in filters.
        ``code_bits``: 1, 2, 4 or 8 bits a dimension in the codes of sealed records: more take more
        memory and spare reads of vectors. ``page_bytes``: 4096, 8192 or 16384, of the pages that
        sealed vectors lie in; None: what fits ``dim`` and ``dtype``. ``memory_budget``:
        bytes that sealed records may take in memory, changed by ``Collection.set_memory_budget``;
        None: no bound.
        Raises ``AlreadyExists`` if a collection or an alias has the name.
        """
        check_name(name)
        schema = CollectionSchema(
            dim=dim,
            metric=metric,
            dtype=dtype,
            fields={} if fields is None else fields,
            code_bits=code_bits,
            page_bytes=page_bytes,
            memory_budget=memory_budget,
        )

        def create(group: Group) -> None:
            transaction = group.transaction
            if find_collection(transaction, name) is not None:
                raise AlreadyExists(
                    f"there is a collection or alias {name!r} already", field="name"
                )
            if transaction.entries("collections") >= limits.COLLECTIONS:
                raise LimitExceeded(
                    f"a database holds at most {limits.COLLECTIONS} collections",
                    field="name",
                    limit=limits.COLLECTIONS,
                    actual=limits.COLLECTIONS,
                    hint="Delete one, or keep several kinds of records in one collection",
                )
            row = CollectionRow(name=name, number=group.next_collection(), schema=schema)
            put_collection(transaction, row, group.now_us)

        self._write(create)
        return Collection(self._store, name)

    def collection(self, name: str) -> Collection:
        """A handle of a collection, by its name or an alias; checked when it is used."""
        return Collection(self._store, name)

    def collections(self) -> list[CollectionInfo]:
        """All collections, by name."""
        with self._store.environment.read() as transaction:
            return [
                reads.describe(self._store, transaction, row, state)
                for row, state in scan_states(transaction)
            ]

    def delete_collection(self, name: str) -> None:
        """Delete a collection, its records and its aliases; an alias is refused."""
        check_lookup(name)

        def drop(group: Group) -> None:
            row = _require(group, name)
            if row.name != name:
                raise InvalidArgument(
                    f"{name!r} is an alias of {row.name!r}",
                    field="name",
                    hint="Name the collection to delete it, or remove the alias",
                )
            drop_collection(group.transaction, row)
            group.drop(row.number)

        self._write(drop)

    def alias(self, alias: str, collection: str) -> None:
        """Have ``alias`` name a collection, from now on and at once."""
        check_name(alias, "alias")
        check_lookup(collection, "collection")

        def point(group: Group) -> None:
            row = _require(group, collection, "collection")
            if group.transaction.get("collections", alias.encode()) is not None:
                raise AlreadyExists(f"there is a collection {alias!r} already", field="alias")
            group.transaction.put("aliases", alias.encode(), row.name.encode())

        self._write(point)

    def delete_alias(self, alias: str) -> None:
        """Remove an alias; the collection stays."""
        check_lookup(alias, "alias")

        def remove(group: Group) -> None:
            known = limits.NAME.fullmatch(alias) is not None
            if not known or group.transaction.get("aliases", alias.encode()) is None:
                raise NotFound(f"there is no alias {alias[:128]!r}", field="alias")
            group.transaction.delete("aliases", alias.encode())

        self._write(remove)

    def aliases(self) -> dict[str, str]:
        """alias -> collection, by alias."""
        with self._store.environment.read() as transaction:
            return dict(scan_aliases(transaction))

    def create_cache(self, name: str, *, dim: int, policy: PolicySource | None = None) -> Cache:
        """Make a semantic cache of answers, for questions as vectors of ``dim`` dimensions.

        ``policy``: a dict, TOML or JSON: categories with thresholds, lifetimes, quotas and error
        budgets; None: the one that ships (``Cache.policy`` shows it). Caches and collections have
        names of their own. Raises ``AlreadyExists``, ``InvalidArgument`` with the place of a fault.
        """
        self._caches.create(name, dim=dim, policy=policy)
        return self._caches.open(name)

    def cache(
        self,
        name: str,
        *,
        embed: Callable[[str], Any] | None = None,
        judge: Callable[[Any, Any], bool] | None = None,
        verify: Callable[[str, str, Any], bool] | None = None,
    ) -> Cache:
        """A handle of a cache; ``NotFound`` if there is none of that name.

        - ``embed``: prompt -> vector, for calls without one
        - ``judge``: (fresh value, stored value) -> whether the stored one would have been right;
          None: if their bytes are equal. Error budgets are relative to it
        - ``verify``: (prompt asked, prompt stored, value) -> whether the value answers it; asked
          about pairs that are doubtful, on the path of the request. None: those are misses
        """
        return self._caches.open(name, embed=embed, judge=judge, verify=verify)

    def caches(self) -> list[CacheInfo]:
        """All caches, by name."""
        return self._caches.list()

    def delete_cache(self, name: str) -> None:
        """Delete a cache with all that it holds."""
        self._caches.drop(name)

    def create_key(
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
        """Make an API key for a server of this database: the key, and its secret.

        Only a digest of the secret is kept, so nobody can show it again. ``role``: read, write or
        admin, each with the rights before it, or cache:get, cache:put, cache:admin.
        ``collections``: names that the key may use; None: all. Either a ``tenant`` or
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
        return keyring.create_key(self._store, rights)

    def keys(self) -> list[KeyInfo]:
        """All API keys, oldest first, also those that expired or were revoked."""
        return keyring.list_keys(self._store)

    def revoke_key(self, key: str) -> None:
        """Have the key of that id refused from now on. To do so again changes nothing."""
        keyring.revoke_key(self._store, check_lookup(key, "key"))

    def rotate_key(self, key: str, overlap: float = OVERLAP_SECONDS) -> str:
        """A new secret of the key; the old one stays valid for ``overlap`` seconds."""
        return keyring.rotate_key(self._store, check_lookup(key, "key"), check_overlap(overlap))

    @property
    def has_keys(self) -> bool:
        """Whether there is an API key, valid or not."""
        with self._store.environment.read() as transaction:
            return credentials.has_credentials(transaction)

    def authenticate(self, secret: str) -> KeyInfo:
        """The key whose secret this is; ``Unauthenticated`` if it is none that is valid now."""
        with self._store.environment.read() as transaction:
            return credentials.authenticate(transaction, secret, self._store.now_us)

    def tenant_rate(self, collection: str, tenant: str) -> tuple[int, float | None]:
        """The collection's number, and calls a second that all keys of a tenant may make there.

        None: no bound. ``NotFound`` where there is no such collection or alias.
        """
        return rate_of(self._store, collection, tenant)

    def stats(self) -> dict[str, Any]:
        """Counters and sizes of the database, and of each collection by its name."""
        store = self._store
        with store.environment.read() as transaction:
            sequence, _ = get_counters(transaction)
            collections = {
                row.name: reads.stats(store, transaction, row, state)
                for row, state in scan_states(transaction)
            }
        writer = store.writer
        return {
            "database_id": self.database_id,
            "directory": str(self.path),
            "format_version": format.VERSION,
            "read_only": self.read_only,
            "sequence": sequence,
            "commits": writer.commits if writer is not None else 0,
            "queue_depth": writer.depth if writer is not None else 0,
            "store_failed": store.environment.failed,
            "threads": store.threads,
            **store.environment.sizes(),
            "collections": collections,
        }

    def close(self) -> None:
        """Finish the writes that wait, then close. Calls after that raise ``Unavailable``."""
        self._caches.close()
        self._store.close()

    def _write(self, run: Callable[[Group], None]) -> None:
        with self._store.environment.read():
            pass  # closed, or opened before a fork: say so
        future: Future[None] = self._store.submit(run, _WRITE_BYTES)
        future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({str(self.path)!r})"


def _require(group: Group, name: str, field: str = "name") -> CollectionRow:
    row = find_named(group.transaction, name)
    if row is None:
        raise collection_gone(name, field)
    return row
