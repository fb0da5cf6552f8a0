# Generated from client/vecdb_client/async_client.py by client/generate.py; do not edit.
"""The methods of an embedded database, over the network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from numpy.typing import ArrayLike

from . import columns, limits, requests, responses, sources
from .calls import Caller
from .columns import Payload
from .handshake import ServerInfo, server_info
from .progress import ProgressLike, open_progress
from .requests import IdsLike
from .results import CollectionInfo, Matches, Records, UploadReport, WriteResult
from .settings import Default, Settings, Timeout, check_timeout
from .uploads import Upload

Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""


class Client:
    """A database behind a server.

    The channel opens on the first call. Safe in any number of threads.
    A forked child opens a channel of its own.
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
        self._caller = Caller(
            Settings(address=address, api_key=api_key, timeout=timeout, tls=tls, ca_file=ca_file)
        )

    @property
    def address(self) -> str:
        """Host and port."""
        return self._caller.settings.address

    def create_collection(
        self,
        name: str,
        *,
        dim: int,
        metric: str = "cosine",
        dtype: str = "float32",
        fields: Mapping[str, str] | None = None,
    ) -> Collection:
        """Make a collection of vectors of ``dim`` dimensions; ``fields``: name -> type."""
        self._caller.call(requests.create_collection(name, dim, metric, dtype, fields))
        return Collection(self._caller, name)

    def collection(self, name: str) -> Collection:
        """A handle of a collection, by its name or an alias; checked when it is used."""
        return Collection(self._caller, name)

    def collections(self) -> list[CollectionInfo]:
        """All collections, by name."""
        return responses.collections(self._caller.call(requests.list_collections()))

    def delete_collection(self, name: str) -> None:
        """Delete a collection, its records and its aliases; an alias is refused."""
        self._caller.call(requests.delete_collection(name))

    def alias(self, alias: str, collection: str) -> None:
        """Have ``alias`` name a collection, from now on and at once."""
        self._caller.call(requests.alias(alias, collection))

    def delete_alias(self, alias: str) -> None:
        """Remove an alias; the collection stays."""
        self._caller.call(requests.delete_alias(alias))

    def aliases(self) -> dict[str, str]:
        """alias -> collection, by alias."""
        return responses.aliases(self._caller.call(requests.list_collections()))

    def stats(self) -> dict[str, Any]:
        """Counters and sizes of the database."""
        return responses.stats(self._caller.call(requests.stats()))

    def info(self) -> ServerInfo:
        """Who the server is, and its limits."""
        return server_info(self._caller.call(requests.info()))

    def wait_ready(self, timeout: Timeout = Default.CLIENT) -> None:
        """Return once the server is ready for calls; raise ``Unavailable`` if it is not in time."""
        self._caller.wait_ready(timeout)

    def close(self) -> None:
        """Close the channel; calls after that raise ``Unavailable``. Closing twice is fine."""
        self._caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a shared channel would be closed with either

    def __repr__(self) -> str:
        return f"Client({self.address!r})"


class Collection:
    """A handle of one collection; cheap, and as long-lived as its client.

    ``timeout`` of every method: seconds, retries included; left out, the client's.
    """

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.name = name

    def describe(self, *, timeout: Timeout = Default.CLIENT) -> CollectionInfo:
        """Dimension, metric, fields, number of records."""
        answer = self._caller.call(requests.describe(self.name), timeout)
        return responses.collection_info(answer)

    def stats(self, *, timeout: Timeout = Default.CLIENT) -> dict[str, Any]:
        """Counters and sizes of the collection."""
        name = (self.describe(timeout=timeout)).name
        return responses.collection_stats(self._caller.call(requests.stats(), timeout), name)

    def upsert(
        self,
        ids: IdsLike | None = None,
        vectors: ArrayLike | None = None,
        payloads: Sequence[Payload] | None = None,
        *,
        rows: Sequence[Mapping[str, Any]] | None = None,
        condition: Mapping[str, Any] | None = None,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Write one batch, all of it or nothing; existing records are replaced, payload and all.

        Columns (``ids``, ``vectors`` [n, dim], ``payloads``) or ``rows`` of {"id": ..,
        "vector": .., "payload": ..}. ``condition``: one of {"if_absent": True},
        {"if_present": True}, {"if_sequence": n}, {"filter": ..}, which must hold for every record.
        The same ``idempotency_key`` (1-64 bytes) again gives the first answer, for a day.
        ``wait``: return when the batch is durable and the next search sees it.
        Never split: for more than fits one message see ``upload``.
        """
        request = requests.upsert(
            self.name,
            ids,
            vectors,
            payloads,
            rows=rows,
            condition=condition,
            idempotency_key=idempotency_key,
            wait=wait,
        )
        return responses.write_result(self._caller.call(request, timeout))

    def upload(
        self,
        vectors: ArrayLike | Iterable[Any],
        ids: IdsLike | None = None,
        payloads: Sequence[Payload] | None = None,
        *,
        progress: ProgressLike = True,
        on_error: Literal["raise", "collect"] = "raise",
        resume: str | None = None,
        total: int | None = None,
        timeout: float | None = limits.UPLOAD_ACK_SECONDS,
    ) -> UploadReport:
        """Write many records in chunks of about 4 MiB; each is atomic, the whole is not.

        ``vectors``: an array, or an iterable of arrays [n_i, dim] or of batches (with ``ids``,
        ``vectors``, ``payloads``). ``ids``: row numbers if left out; let them be distinct, for a
        chunk that is sent again may come after later ones.
        ``progress``: True: a bar, on a terminal; or called with (records, bytes) done.
        ``on_error``: "raise" ``UploadFailed`` (with ``report``) if a record was refused, when all
        others are stored; "collect" returns the report.
        ``resume``: ``upload_id`` of an earlier report, with the same data: the chunks that were
        acknowledged within a day are not written again.
        ``timeout``: seconds to wait for the acknowledgement of a chunk, through broken connections
        too; then ``UploadFailed`` is raised in any case.
        """
        source = sources.Source(vectors, ids, payloads, total)
        job = Upload(self.name, source, on_error=on_error, resume=resume)
        with open_progress(progress, job.total) as shown:
            self._caller.upload(job, check_timeout(timeout), shown)
        return job.finish()

    def get(
        self,
        ids: IdsLike,
        *,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Records:
        """Records by id, in the order asked; ``missing`` tells which are not stored."""
        request = requests.get(self.name, ids, with_payload=with_payload, with_vector=with_vector)
        answer = self._caller.call(request, timeout)
        return responses.got(answer, with_payload=with_payload, with_vector=with_vector)

    def delete(
        self,
        ids: IdsLike | None = None,
        *,
        filter: Filter = None,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Delete by ids or by a filter; ids that are not stored are passed over."""
        request = requests.delete(
            self.name, ids, filter, idempotency_key=idempotency_key, wait=wait
        )
        return responses.write_result(self._caller.call(request, timeout))

    def set_payload(
        self,
        ids: IdsLike,
        payload: Mapping[str, Any] | bytes,
        *,
        replace: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Merge ``payload`` into those of the records, key by key, or replace them.

        ``NotFound`` if one of them is not stored; then nothing is changed.
        """
        request = requests.set_payload(
            self.name, ids, payload, replace=replace, idempotency_key=idempotency_key, wait=wait
        )
        return responses.write_result(self._caller.call(request, timeout))

    def count(self, filter: Filter = None, *, timeout: Timeout = Default.CLIENT) -> int:
        """How many records there are, or match a filter; exact."""
        answer = self._caller.call(requests.count(self.name, filter), timeout)
        return int(answer.count)

    def scroll(
        self,
        filter: Filter = None,
        after: int | str | None = None,
        limit: int = 100,
        *,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Records:
        """A page of records in the order of their ids; pass its ``next`` as ``after``."""
        request = requests.scroll(
            self.name, filter, after, limit, with_payload=with_payload, with_vector=with_vector
        )
        answer = self._caller.call(request, timeout)
        return responses.scrolled(answer, with_payload=with_payload, with_vector=with_vector)

    def search(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        mode: str = "auto",
        min_score: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Matches:
        """The ``k`` best matches of one vector [dim], best first.

        Exactly min(k, matching records) of them, fewer only by ``min_score``.
        """
        request = requests.search(
            self.name,
            columns.to_query(vector),
            k,
            filter=filter,
            mode=mode,
            min_score=min_score,
            with_payload=with_payload,
            with_vector=with_vector,
        )
        answer = self._caller.call(request, timeout)
        return responses.matches(answer, with_payload=with_payload, with_vector=with_vector)[0]

    def search_batch(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        mode: str = "auto",
        min_score: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> list[Matches]:
        """``search`` for each of the vectors [n, dim], in one call."""
        request = requests.search(
            self.name,
            columns.to_matrix(vectors),
            k,
            filter=filter,
            mode=mode,
            min_score=min_score,
            with_payload=with_payload,
            with_vector=with_vector,
        )
        answer = self._caller.call(request, timeout)
        return responses.matches(answer, with_payload=with_payload, with_vector=with_vector)

    def __repr__(self) -> str:
        return f"Collection({self.name!r} of {self._caller.settings.address!r})"
