"""One collection behind a server, for asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from numpy.typing import ArrayLike

from . import limits, requests, responses, sources, write_requests
from .async_search_methods import AsyncSearchMethods, Filter
from .async_tenant_methods import AsyncTenantMethods
from .columns import Payload
from .progress import ProgressLike, open_progress
from .requests import IdsLike
from .results import (
    CollectionInfo,
    Records,
    SealResult,
    UploadReport,
    WriteResult,
)
from .settings import Default, Timeout, check_timeout
from .sharing import TenantsLike, check_tenants, parse_sharing
from .uploads import Upload


class AsyncCollection(AsyncSearchMethods, AsyncTenantMethods):
    """A handle of one collection; cheap, and as long-lived as its client.

    ``timeout`` of every method: seconds, retries included; left out, the client's.
    """

    async def describe(self, *, timeout: Timeout = Default.CLIENT) -> CollectionInfo:
        """Dimension, metric, fields, number of records."""
        answer = await self._caller.call(requests.describe(self.name), timeout)
        return responses.collection_info(answer)

    async def stats(self, *, timeout: Timeout = Default.CLIENT) -> dict[str, Any]:
        """Counters and sizes of the collection."""
        return responses.stats(
            await self._caller.call(requests.collection_stats(self.name), timeout)
        )

    async def set_memory_budget(
        self, memory_budget: int | None, *, timeout: Timeout = Default.CLIENT
    ) -> CollectionInfo:
        """Keep the sealed records in so many bytes from now on; None: all of it in memory.

        Searches go on. Segments whose pages are not laid out for it are rewritten meanwhile.
        """
        request = requests.set_memory_budget(self.name, memory_budget)
        return responses.collection_info(await self._caller.call(request, timeout))

    async def add_field(
        self, name: str, type: str, *, wait: bool = False, timeout: Timeout = Default.CLIENT
    ) -> CollectionInfo:
        """Declare a payload field that filters may use from now on.

        Types as in ``create_collection``. ``PreconditionFailed`` (reason UNFIT_RECORD), with
        nothing changed, where a record has a value that does not fit. Segments get columns of it
        in the background; until then filters on it are as exact, and slower. ``wait``: return
        when they have them.
        """
        request = requests.add_field(self.name, name, type, wait=wait)
        return responses.collection_info(await self._caller.call(request, timeout))

    async def drop_field(self, name: str, *, timeout: Timeout = Default.CLIENT) -> CollectionInfo:
        """Take the declaration of a field back: payloads keep its values, filters refuse it."""
        request = requests.drop_field(self.name, name)
        return responses.collection_info(await self._caller.call(request, timeout))

    async def seal(self, *, wait: bool = True, timeout: Timeout = Default.CLIENT) -> SealResult:
        """Seal the records of the tail into segments now; it is done by itself when there are many.

        ``wait``: return when it is done; else at once, with a result of zeros. Reads and writes go
        on meanwhile. Where ``timeout`` ends first the work goes on too.
        """
        answer = await self._caller.call(requests.seal(self.name, wait=wait), timeout)
        return responses.seal_result(answer)

    async def compact(self, *, wait: bool = True, timeout: Timeout = Default.CLIENT) -> SealResult:
        """Write all segments anew, as few as memory allows and without the records that are gone.

        ``wait`` and ``timeout``: as in ``seal``.
        """
        answer = await self._caller.call(requests.compact(self.name, wait=wait), timeout)
        return responses.seal_result(answer)

    async def upsert(
        self,
        ids: IdsLike | None = None,
        vectors: ArrayLike | None = None,
        payloads: Sequence[Payload] | None = None,
        *,
        rows: Sequence[Mapping[str, Any]] | None = None,
        tenants: TenantsLike | None = None,
        tenant: str | None = None,
        condition: Mapping[str, Any] | None = None,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Write one batch, all of it or nothing; existing records are replaced, payload and all.

        Columns (``ids``, ``vectors`` [n, dim], ``payloads``) or ``rows`` of {"id": ..,
        "vector": .., "payload": ..}.
        ``tenants``: who is to see the records from now on, one name, several, or a list for each
        record; the first owns it; []: nobody. None: those who do now; a new record is seen by
        nobody, but by calls without ``tenant``. ``tenant``: write as this one: new records are its
        own, and records that are not its own are refused (``PermissionDenied``). A name that is new
        makes a tenant. ``condition``: one of {"if_absent": True},
        {"if_present": True}, {"if_sequence": n}, {"filter": ..}, which must hold for every record.
        The same ``idempotency_key`` (1-64 bytes) again gives the first answer, for a day.
        ``wait``: return when the batch is durable and the next search sees it.
        Never split: for more than fits one message see ``upload``.
        """
        request = write_requests.upsert(
            self.name,
            ids,
            vectors,
            payloads,
            rows=rows,
            tenants=tenants,
            tenant=tenant,
            condition=condition,
            idempotency_key=idempotency_key,
            wait=wait,
        )
        return responses.write_result(await self._caller.call(request, timeout))

    async def upload(
        self,
        vectors: ArrayLike | Iterable[Any],
        ids: IdsLike | None = None,
        payloads: Sequence[Payload] | None = None,
        *,
        tenants: str | Sequence[str] | None = None,
        tenant: str | None = None,
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
        ``tenants``, ``tenant``: as in ``upsert``, for all records alike.
        ``progress``: True: a bar, on a terminal; or called with (records, bytes) done.
        ``on_error``: "raise" ``UploadFailed`` (with ``report``) if a record was refused, when all
        others are stored; "collect" returns the report.
        ``resume``: ``upload_id`` of an earlier report, with the same data: the chunks that were
        acknowledged within a day are not written again.
        ``timeout``: seconds to wait for the acknowledgement of a chunk, through broken connections
        too; then ``UploadFailed`` is raised in any case.
        """
        names = None if tenants is None else check_tenants(tenants)
        sharing = parse_sharing(names, tenant, 0)
        source = sources.Source(vectors, ids, payloads, total)
        job = Upload(self.name, source, on_error=on_error, resume=resume, sharing=sharing)
        with open_progress(progress, job.total) as shown:
            await self._caller.upload(job, check_timeout(timeout), shown)
        return job.finish()

    async def get(
        self,
        ids: IdsLike,
        *,
        tenant: str | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Records:
        """Records by id, in the order asked; ``missing`` tells which are not stored.

        ``tenant``: those that it does not see are missing; None: all are seen.
        """
        request = requests.get(
            self.name, ids, tenant=tenant, with_payload=with_payload, with_vector=with_vector
        )
        answer = await self._caller.call(request, timeout)
        return responses.got(answer, with_payload=with_payload, with_vector=with_vector)

    async def delete(
        self,
        ids: IdsLike | None = None,
        *,
        tenant: str | None = None,
        filter: Filter = None,
        dry_run: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Delete by ids or by a filter; ids that are not stored are passed over.

        ``tenant``: only records that it owns; None: all. ``dry_run``: delete nothing, and tell how
        many it would be (``count``) and as of which commit (``sequence``).
        """
        request = write_requests.delete(
            self.name,
            ids,
            filter,
            tenant=tenant,
            dry_run=dry_run,
            idempotency_key=idempotency_key,
            wait=wait,
        )
        return responses.write_result(await self._caller.call(request, timeout))

    async def set_payload(
        self,
        ids: IdsLike,
        payload: Mapping[str, Any] | bytes,
        *,
        tenant: str | None = None,
        replace: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: Timeout = Default.CLIENT,
    ) -> WriteResult:
        """Merge ``payload`` into those of the records, key by key, or replace them.

        ``NotFound`` if one of them is not stored; then nothing is changed. ``tenant``: nor for one
        that it does not see, and ``PermissionDenied`` for one that it does not own.
        """
        request = write_requests.set_payload(
            self.name,
            ids,
            payload,
            tenant=tenant,
            replace=replace,
            idempotency_key=idempotency_key,
            wait=wait,
        )
        return responses.write_result(await self._caller.call(request, timeout))

    async def count(
        self,
        filter: Filter = None,
        *,
        tenant: str | None = None,
        timeout: Timeout = Default.CLIENT,
    ) -> int:
        """How many records there are, or match a filter, or a tenant sees; exact."""
        request = requests.count(self.name, filter, tenant=tenant)
        return int((await self._caller.call(request, timeout)).count)

    async def scroll(
        self,
        filter: Filter = None,
        after: int | str | None = None,
        limit: int = 100,
        *,
        tenant: str | None = None,
        order_by: str | Mapping[str, Any] | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: Timeout = Default.CLIENT,
    ) -> Records:
        """A page of records in the order of their ids; pass its ``next`` as ``after``.

        ``tenant``: only those that it sees; None: all.
        ``order_by``: a declared field, or {"field": .., "descending": True}: by its values, equal
        ones by id; of a list the value counts that comes first; records that lack the field come
        last. ``next`` is then a text that is good for the same order alone.
        """
        request = requests.scroll(
            self.name,
            filter,
            after,
            limit,
            tenant=tenant,
            order_by=order_by,
            with_payload=with_payload,
            with_vector=with_vector,
        )
        answer = await self._caller.call(request, timeout)
        return responses.scrolled(answer, with_payload=with_payload, with_vector=with_vector)
