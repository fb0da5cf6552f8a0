"""The methods of a collection that write records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal

from numpy.typing import ArrayLike

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument
from ..results import UploadReport, WriteResult
from .arguments import check_flag, check_key
from .batch import check_ids, check_unique, make_batch
from .changing import delete_ids, set_payloads, upsert_batch
from .columns import Payload, columns_of_rows
from .deleting import count_deletable, delete_matching
from .handle import Filter, Handle, IdsLike
from .progress import ProgressLike, open_progress
from .sharing import TenantsLike, check_caller, check_tenants, parse_sharing
from .sources import Source
from .upload import Upload
from .writes import result_of

_RECORD_BYTES = 64


class WriteMethods(Handle):
    """Upsert, upload, delete and changes of payloads."""

    def upsert(
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
        timeout: float | None = None,
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
        Never split: for more than ``limits.MESSAGE_BYTES`` see ``upload``.
        """
        if rows is not None:
            if ids is not None or vectors is not None or payloads is not None:
                raise InvalidArgument(
                    "rows and columns are both given: pass rows= alone, or ids and vectors",
                    field="rows",
                )
            ids, vectors, payloads = columns_of_rows(rows)
        check_flag("wait", wait)
        future = self.submit_upsert(
            ids,
            vectors,
            payloads,
            tenants=tenants,
            tenant=tenant,
            condition=condition,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
        return result_of(future, Deadline.after(timeout), wait=wait)

    def submit_upsert(
        self,
        ids: IdsLike | None,
        vectors: ArrayLike | None,
        payloads: Sequence[Payload] | None = None,
        *,
        tenants: TenantsLike | None = None,
        tenant: str | None = None,
        condition: Mapping[str, Any] | None = None,
        idempotency_key: bytes | None = None,
        timeout: float | None = None,
    ) -> Future[WriteResult]:
        """``upsert`` without waiting: checked and queued on return, durable when it is done."""
        if ids is None or vectors is None:
            absent = "ids" if ids is None else "vectors"
            raise InvalidArgument(
                f"{absent} is missing: pass ids and vectors, or rows", field=absent
            )
        deadline = Deadline.after(timeout)
        row = self._store.row(self.name)
        batch = make_batch(row.schema, ids, vectors, payloads)
        sharing = parse_sharing(tenants, tenant, len(batch.ids))
        run = upsert_batch(row, batch, condition, idempotency_key, deadline, sharing)
        return self._store.submit(run, batch.size_bytes)

    def upload(
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
        chunk that is written again may come after later ones.
        ``tenants``, ``tenant``: as in ``upsert``, for all records alike.
        ``progress``: True: a bar, on a terminal; or called with (records, bytes) done.
        ``on_error``: "raise" ``UploadFailed`` (with ``report``) if a record was refused, when all
        others are stored; "collect" returns the report.
        ``resume``: ``upload_id`` of an earlier report, with the same data: the chunks that were
        acknowledged within a day are not written again.
        ``timeout``: seconds that a chunk may take; then ``UploadFailed`` is raised in any case.
        """
        names = None if tenants is None else check_tenants(tenants)
        parse_sharing(names, tenant, 0)  # refused before the first chunk, not by it
        source = Source(vectors, ids, payloads, total, warn=False)
        job = Upload(
            partial(self.submit_upsert, tenants=names, tenant=tenant),
            source,
            dict(self._store.row(self.name).schema.fields),
            on_error=on_error,
            resume=resume,
            timeout=timeout,
        )
        with open_progress(progress, source.total) as shown:
            return job.run(shown)

    def delete(
        self,
        ids: IdsLike | None = None,
        *,
        tenant: str | None = None,
        filter: Filter = None,
        dry_run: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> WriteResult:
        """Delete by ids or by a filter; ids that are not stored are passed over.

        ``tenant``: only records that it owns; None: all. ``dry_run``: delete nothing, and tell
        how many it would be (``count``) and as of which commit (``sequence``).
        """
        if (ids is None) == (filter is None):
            given = "neither" if ids is None else "both"
            raise InvalidArgument(f"delete takes either ids or a filter; got {given}", field="ids")
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        caller = check_caller(tenant)
        if check_flag("dry_run", dry_run):
            if idempotency_key is not None:
                check_key(idempotency_key)
            return self._count_deletable(ids, filter, deadline, caller)
        row = self._store.row(self.name)
        if ids is None:
            run = delete_matching(
                self._store, self.name, row, filter, idempotency_key, deadline, caller
            )
            return result_of(self._store.submit(run, _RECORD_BYTES), deadline, wait=wait)
        run, size_bytes = delete_ids(row, ids, idempotency_key, deadline, caller)
        return result_of(self._store.submit(run, size_bytes), deadline, wait=wait)

    def _count_deletable(
        self, ids: IdsLike | None, filter: Filter, deadline: Deadline, tenant: str | None
    ) -> WriteResult:
        while True:
            row = self._store.row(self.name)
            found = count_deletable(self._store, self.name, row, ids, filter, deadline, tenant)
            if found is not None:
                return found

    def set_payload(
        self,
        ids: IdsLike,
        payload: Mapping[str, Any] | bytes,
        *,
        tenant: str | None = None,
        replace: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> WriteResult:
        """Merge ``payload`` into those of the records, key by key, or replace them.

        ``NotFound`` if one of them is not stored; then nothing is changed. ``tenant``: nor for one
        that it does not see, and ``PermissionDenied`` for one that it does not own.
        """
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        check_flag("replace", replace)
        row = self._store.row(self.name)
        checked = check_ids(ids, limits.BATCH_RECORDS)
        check_unique(checked)
        caller = check_caller(tenant)
        run, size_bytes = set_payloads(
            row, checked, payload, replace, idempotency_key, deadline, caller
        )
        return result_of(self._store.submit(run, size_bytes), deadline, wait=wait)
