"""One collection of an embedded database; the client's ``Collection`` has the same methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from .. import limits
from ..deadline import Deadline
from ..errors import InvalidArgument
from ..results import (
    CollectionInfo,
    Explanation,
    Matches,
    Records,
    SealResult,
    UploadReport,
    WriteResult,
)
from ..schema import check_integer
from . import reads
from .arguments import check_flag
from .batch import check_ids, check_unique, make_batch
from .budget import set_budget
from .changing import delete_ids, set_payloads, upsert_batch
from .columns import Payload, columns_of_rows
from .deleting import delete_matching
from .progress import ProgressLike, open_progress
from .sealer import built_result
from .search import FLAGS, explain, make_request, search
from .sources import Source
from .store import Store
from .upload import Upload
from .writes import result_of

IdsLike = Sequence[int] | Sequence[str] | NDArray[Any]
Filter = object
"""An expression of ``F``, the dict form, anything with ``to_dict()``, or None."""

_RECORD_BYTES = 64


class Collection:
    """A handle of one collection, by its name or an alias; cheap, and safe for any thread.

    ``timeout`` of every method: seconds, or None.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def describe(self, *, timeout: float | None = None) -> CollectionInfo:
        """Dimension, metric, fields, number of records."""
        Deadline.after(timeout).check("opening the collection")
        with self._store.view(self.name) as view:
            return reads.describe(self._store, view.transaction, view.row, view.state)

    def stats(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Counters and sizes of the collection."""
        Deadline.after(timeout).check("opening the collection")
        with self._store.view(self.name) as view:
            return reads.stats(self._store, view.transaction, view.row, view.state)

    def set_memory_budget(
        self, memory_budget: int | None, *, timeout: float | None = None
    ) -> CollectionInfo:
        """Keep the sealed records in so many bytes from now on; None: all of it in memory.

        Searches go on meanwhile. Segments whose pages are not laid out for it are rewritten.
        """
        row = self._store.row(self.name)
        set_budget(self._store, row, memory_budget, Deadline.after(timeout))
        return self.describe()

    def seal(self, *, wait: bool = True, timeout: float | None = None) -> SealResult:
        """Put the records of the tail into a segment now, rather than when there are enough.

        Reads and writes go on meanwhile. ``wait=False`` returns at once, with zeros; where
        ``timeout`` ends first the work goes on too.
        """
        return self._build("seal", wait, timeout)

    def compact(self, *, wait: bool = True, timeout: float | None = None) -> SealResult:
        """Make one segment of all, as far as the memory for builds allows, without dead slots."""
        return self._build("compact", wait, timeout)

    def _build(
        self, kind: Literal["seal", "compact"], wait: bool, timeout: float | None
    ) -> SealResult:
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        row = self._store.row(self.name)
        return built_result(self._store.build(row, kind), deadline, wait=wait)

    # ------------------------------------------------------------------------------- writing

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
        timeout: float | None = None,
    ) -> WriteResult:
        """Write one batch, all of it or nothing; existing records are replaced, payload and all.

        Columns (``ids``, ``vectors`` [n, dim], ``payloads``) or ``rows`` of {"id": ..,
        "vector": .., "payload": ..}. ``condition``: one of {"if_absent": True},
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
        run = upsert_batch(row, batch, condition, idempotency_key, deadline)
        return self._store.submit(run, batch.size_bytes)

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
        chunk that is written again may come after later ones.
        ``progress``: True: a bar, on a terminal; or called with (records, bytes) done.
        ``on_error``: "raise" ``UploadFailed`` (with ``report``) if a record was refused, when all
        others are stored; "collect" returns the report.
        ``resume``: ``upload_id`` of an earlier report, with the same data: the chunks that were
        acknowledged within a day are not written again.
        ``timeout``: seconds that a chunk may take; then ``UploadFailed`` is raised in any case.
        """
        source = Source(vectors, ids, payloads, total, warn=False)
        job = Upload(
            self.submit_upsert,
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
        filter: Filter = None,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> WriteResult:
        """Delete by ids or by a filter; ids that are not stored are passed over."""
        if (ids is None) == (filter is None):
            given = "neither" if ids is None else "both"
            raise InvalidArgument(f"delete takes either ids or a filter; got {given}", field="ids")
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        row = self._store.row(self.name)
        if ids is None:
            run = delete_matching(self._store, self.name, row, filter, idempotency_key, deadline)
            return result_of(self._store.submit(run, _RECORD_BYTES), deadline, wait=wait)
        run, size_bytes = delete_ids(row, ids, idempotency_key, deadline)
        return result_of(self._store.submit(run, size_bytes), deadline, wait=wait)

    def set_payload(
        self,
        ids: IdsLike,
        payload: Mapping[str, Any] | bytes,
        *,
        replace: bool = False,
        idempotency_key: bytes | None = None,
        wait: bool = True,
        timeout: float | None = None,
    ) -> WriteResult:
        """Merge ``payload`` into those of the records, key by key, or replace them.

        ``NotFound`` if one of them is not stored; then nothing is changed.
        """
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        check_flag("replace", replace)
        row = self._store.row(self.name)
        checked = check_ids(ids, limits.BATCH_RECORDS)
        check_unique(checked)
        run, size_bytes = set_payloads(row, checked, payload, replace, idempotency_key, deadline)
        return result_of(self._store.submit(run, size_bytes), deadline, wait=wait)

    # ------------------------------------------------------------------------------- reading

    def get(
        self,
        ids: IdsLike,
        *,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: float | None = None,
    ) -> Records:
        """Records by id, in the order asked; ``missing`` tells which are not stored."""
        Deadline.after(timeout).check("reading records")
        return reads.get(
            self._store,
            self.name,
            check_ids(ids, limits.GET_RECORDS),
            with_payload=check_flag("with_payload", with_payload),
            with_vector=check_flag("with_vector", with_vector),
        )

    def count(self, filter: Filter = None, *, timeout: float | None = None) -> int:
        """How many records there are, or match a filter; exact."""
        deadline = Deadline.after(timeout)
        deadline.check("counting records")
        return reads.count(self._store, self.name, filter, deadline)

    def scroll(
        self,
        filter: Filter = None,
        after: int | str | None = None,
        limit: int = 100,
        *,
        with_payload: bool = True,
        with_vector: bool = False,
        timeout: float | None = None,
    ) -> Records:
        """A page of records in the order of their ids; pass its ``next`` as ``after``."""
        return reads.scroll(
            self._store,
            self.name,
            filter,
            after,
            check_integer("limit", limit, limits.GET_RECORDS),
            with_payload=check_flag("with_payload", with_payload),
            with_vector=check_flag("with_vector", with_vector),
            deadline=Deadline.after(timeout),
        )

    def search(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        mode: str = "auto",
        effort: float | Literal["bound"] | None = None,
        estimator: str = "rabitq",
        min_score: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        with_relevance: bool = False,
        with_surprise: bool = False,
        timeout: float | None = None,
    ) -> Matches:
        """The ``k`` best matches of one vector [dim], best first: min(k, matching records) of them,
        fewer only by ``min_score``. The same request gives the same answer, to the bit.

        ``mode``: "exact" compares every matching vector, "scan" the codes of all and then the
        vectors of those that may be among the best; "auto" is exact where few match.
        ``effort``: a factor of the rows that the codes keep (8 is high); None: 1, and then 4 where
        the error bound was not met; "bound": as many as it asks for. ``estimator``: "hamming" is
        faster for batches.
        ``with_relevance`` (cosine only), ``with_surprise``: see ``Matches``.
        """
        return self._search(
            vector,
            k,
            single=True,
            filter=filter,
            mode=mode,
            effort=effort,
            estimator=estimator,
            min_score=min_score,
            with_payload=with_payload,
            with_vector=with_vector,
            with_relevance=with_relevance,
            with_surprise=with_surprise,
            timeout=timeout,
        )[0]

    def search_batch(
        self,
        vectors: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        mode: str = "auto",
        effort: float | Literal["bound"] | None = None,
        estimator: str = "rabitq",
        min_score: float | None = None,
        with_payload: bool = True,
        with_vector: bool = False,
        with_relevance: bool = False,
        with_surprise: bool = False,
        timeout: float | None = None,
    ) -> list[Matches]:
        """``search`` for each of the vectors [n, dim], from one view of the collection."""
        return self._search(
            vectors,
            k,
            single=False,
            filter=filter,
            mode=mode,
            effort=effort,
            estimator=estimator,
            min_score=min_score,
            with_payload=with_payload,
            with_vector=with_vector,
            with_relevance=with_relevance,
            with_surprise=with_surprise,
            timeout=timeout,
        )

    def explain(
        self,
        vector: ArrayLike,
        k: int = 10,
        *,
        filter: Filter = None,
        mode: str = "auto",
        effort: float | Literal["bound"] | None = None,
        estimator: str = "rabitq",
        min_score: float | None = None,
        timeout: float | None = None,
    ) -> Explanation:
        """Search, and tell how: the path that was taken, what was counted, read and scored."""
        deadline = Deadline.after(timeout)
        options: dict[str, Any] = dict.fromkeys(FLAGS, False)
        options |= {"filter": filter, "mode": mode, "effort": effort, "estimator": estimator}
        options |= {"min_score": min_score, "single": True}
        while True:
            request = make_request(self._store.row(self.name), vector, k, **options)
            found = explain(self._store, self.name, request, deadline)
            if found is not None:
                return found

    def _search(
        self, vectors: ArrayLike, k: int, *, timeout: float | None, **options: Any
    ) -> list[Matches]:
        deadline = Deadline.after(timeout)
        while True:
            request = make_request(self._store.row(self.name), vectors, k, **options)
            found = search(self._store, self.name, request, deadline)
            if found is not None:
                return found

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"
