"""The services: convert, call the engine, convert. Errors pass through to the interceptor."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from vecdb.errors import InvalidArgument
from vecdb.results import Ids
from vecdb_client import codec
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_client.wire import vecdb_pb2_grpc as rpc

from . import access, answers, convert
from .call import Call
from .counters import Counters
from .gate import Gate
from .upload import Upload

if TYPE_CHECKING:
    from vecdb.collection import Collection

API: Final = "v1"
FEATURES: Final[tuple[str, ...]] = ()
"""What this server does beyond the first version of the interface."""
SCROLL_LIMIT: Final = 100
"""Records in a page where a request names no number."""
FACETS_LIMIT: Final = 10
"""The same of values in a count by value."""
GROUPS: Final = 10
GROUP_SIZE: Final = 1
"""The same of groups, and of the matches of each."""


def server_version() -> str:
    return version("vecdb-server")


def total_of(counts: Iterable[Mapping[str, int] | None]) -> dict[str, int]:
    """Counters by name, added up; a collection that nobody has searched has none."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one or {})
    return dict(total)


class Database(rpc.DatabaseServicer):
    def __init__(self, gate: Gate, counters: Counters, *, dev: bool) -> None:
        self._gate = gate
        self._counters = counters
        self._dev = dev

    def Info(self, request: pb.InfoRequest, call: Call) -> pb.InfoResponse:
        return pb.InfoResponse(
            server_version=server_version(),
            api=API,
            features=FEATURES,
            limits=convert.limits_to_wire(),
            database_id=self._gate.database.database_id,
            dev=self._dev,
        )

    def Stats(self, request: pb.StatsRequest, call: Call) -> pb.StatsResponse:
        stats = self._gate.database.stats()
        searches = total_of([one["searches"] for one in stats["collections"].values()])
        stats["server"] = {**self._counters.to_dict(), "searches": searches}
        return pb.StatsResponse(json=json.dumps(stats).encode())


class Collections(rpc.CollectionsServicer):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def Create(self, request: pb.CreateCollectionRequest, call: Call) -> pb.CollectionInfo:
        schema = convert.schema_from_wire(request.schema)
        collection = self._gate.database.create_collection(request.name, **schema)
        return convert.info_to_wire(collection.describe(timeout=call.timeout))

    def Describe(self, request: pb.DescribeCollectionRequest, call: Call) -> pb.CollectionInfo:
        collection = self._gate.database.collection(request.name)
        info = collection.describe(timeout=call.timeout)
        return convert.info_to_wire(access.shown_to(call.caller, info))

    def List(self, request: pb.ListCollectionsRequest, call: Call) -> pb.ListCollectionsResponse:
        infos = access.usable(call.caller, self._gate.database.collections())
        shown = [access.shown_to(call.caller, info) for info in infos]
        return pb.ListCollectionsResponse(collections=map(convert.info_to_wire, shown))

    def Delete(
        self, request: pb.DeleteCollectionRequest, call: Call
    ) -> pb.DeleteCollectionResponse:
        self._gate.database.delete_collection(request.name)
        return pb.DeleteCollectionResponse()

    def Alias(self, request: pb.AliasRequest, call: Call) -> pb.AliasResponse:
        if request.collection:
            self._gate.database.alias(request.alias, request.collection)
        else:
            self._gate.database.delete_alias(request.alias)
        return pb.AliasResponse()

    def Seal(self, request: pb.SealRequest, call: Call) -> pb.SealResponse:
        collection = self._gate.database.collection(request.name)
        result = collection.seal(wait=not request.no_wait, timeout=call.timeout)
        return convert.seal_to_wire(result)

    def Compact(self, request: pb.CompactRequest, call: Call) -> pb.SealResponse:
        collection = self._gate.database.collection(request.name)
        result = collection.compact(wait=not request.no_wait, timeout=call.timeout)
        return convert.seal_to_wire(result)

    def SetMemoryBudget(self, request: pb.SetMemoryBudgetRequest, call: Call) -> pb.CollectionInfo:
        collection = self._gate.database.collection(request.name)
        budget = convert.budget_from_wire(request)
        return convert.info_to_wire(collection.set_memory_budget(budget, timeout=call.timeout))

    def AddField(self, request: pb.AddFieldRequest, call: Call) -> pb.CollectionInfo:
        collection = self._gate.database.collection(request.name)
        kind = codec.FIELD_TYPE.from_wire(request.type, "type")
        info = collection.add_field(request.field, kind, wait=request.wait, timeout=call.timeout)
        return convert.info_to_wire(info)

    def DropField(self, request: pb.DropFieldRequest, call: Call) -> pb.CollectionInfo:
        collection = self._gate.database.collection(request.name)
        return convert.info_to_wire(collection.drop_field(request.field, timeout=call.timeout))

    def Stats(self, request: pb.CollectionStatsRequest, call: Call) -> pb.StatsResponse:
        stats = self._gate.database.collection(request.name).stats(timeout=call.timeout)
        return pb.StatsResponse(json=json.dumps(stats).encode())


class Records(rpc.RecordsServicer):
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def Upsert(self, request: pb.UpsertRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).upsert(
            **convert.columns_from_wire(request),
            condition=convert.condition_from_wire(request),
            idempotency_key=request.idempotency_key or None,
            wait=not request.no_wait,
            timeout=call.timeout,
        )
        return convert.write_to_wire(result)

    def Upload(
        self, requests: Iterator[pb.UploadRequest], call: Call
    ) -> Iterator[pb.UploadResponse]:
        return Upload(self._gate, call).run(requests)

    def SetPayload(self, request: pb.SetPayloadRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).set_payload(
            _required_ids(request),
            request.payload,
            tenant=convert.tenant_from_wire(request),
            replace=request.replace,
            idempotency_key=request.idempotency_key or None,
            wait=not request.no_wait,
            timeout=call.timeout,
        )
        return convert.write_to_wire(result)

    def Delete(self, request: pb.DeleteRequest, call: Call) -> pb.WriteResponse:
        result = self._collection(request.collection).delete(
            convert.ids_from_wire(request),
            tenant=convert.tenant_from_wire(request),
            filter=convert.optional_filter(request),
            dry_run=request.dry_run,
            idempotency_key=request.idempotency_key or None,
            wait=not request.no_wait,
            timeout=call.timeout,
        )
        return convert.write_to_wire(result)

    def Search(self, request: pb.SearchRequest, call: Call) -> pb.SearchResponse:
        access.check_search(call.caller, request)
        queries = codec.vectors_from_wire(request.queries, "queries")
        collection = self._collection(request.collection)
        options = convert.search_from_wire(request)
        answers.check_search(
            collection,
            queries=len(queries),
            k=request.k,
            tenant=options["tenant"],
            filter=options["filter"],
            with_vector=request.with_vector,
            scores=request.with_relevance + request.with_surprise,
            timeout=call.timeout,
        )
        began = time.perf_counter()
        if len(queries) == 1:
            one = collection.search(queries[0], request.k, **options, timeout=call.timeout)
            found = [one]
        else:
            found = collection.search_batch(queries, request.k, **options, timeout=call.timeout)
        call.notes["engine_ms"] = round((time.perf_counter() - began) * 1000, 3)
        return pb.SearchResponse(matches=convert.matches_to_wire(found))

    def SearchGroups(self, request: pb.SearchGroupsRequest, call: Call) -> pb.SearchGroupsResponse:
        access.check_search(call.caller, request)
        query = _one_query(request, "a search by groups")
        collection = self._collection(request.collection)
        options = convert.groups_from_wire(request)
        groups, size = request.groups or GROUPS, request.group_size or GROUP_SIZE
        answers.check_search(
            collection,
            queries=groups,
            k=size,
            tenant=options["tenant"],
            filter=options["filter"],
            with_vector=request.with_vector,
            scores=request.with_relevance + request.with_surprise,
            timeout=call.timeout,
        )
        began = time.perf_counter()
        found = collection.search_groups(
            query,
            request.group_by,
            groups,
            size,
            **options,
            timeout=call.timeout,
        )
        call.notes["engine_ms"] = round((time.perf_counter() - began) * 1000, 3)
        return convert.groups_to_wire(found)

    def Explain(self, request: pb.ExplainRequest, call: Call) -> pb.Explanation:
        explanation = self._collection(request.collection).explain(
            _one_query(request, "an explanation"),
            request.k,
            **convert.explain_from_wire(request),
            timeout=call.timeout,
        )
        call.notes["engine_ms"] = round(explanation.seconds * 1000, 3)
        left_open = codec.MODE.from_wire(request.mode) == "auto"
        return convert.explanation_to_wire(
            access.explained_to(call.caller, explanation, left_open=left_open)
        )

    def Get(self, request: pb.GetRequest, call: Call) -> pb.GetResponse:
        collection = self._collection(request.collection)
        ids, tenant = _required_ids(request), convert.tenant_from_wire(request)
        if request.with_vector:
            answers.check_vectors(collection, records=len(ids), tenant=tenant, timeout=call.timeout)
        records = collection.get(
            ids,
            tenant=tenant,
            with_payload=not request.without_payload,
            with_vector=request.with_vector,
            timeout=call.timeout,
        )
        return pb.GetResponse(
            records=convert.records_to_wire(records), missing=convert.ids_to_wire([records.missing])
        )

    def Count(self, request: pb.CountRequest, call: Call) -> pb.CountResponse:
        collection = self._collection(request.collection)
        count = collection.count(
            convert.optional_filter(request),
            tenant=convert.tenant_from_wire(request),
            timeout=call.timeout,
        )
        return pb.CountResponse(count=count)

    def Facets(self, request: pb.FacetsRequest, call: Call) -> pb.FacetsResponse:
        found = self._collection(request.collection).facets(
            request.field,
            convert.optional_filter(request),
            request.limit or FACETS_LIMIT,
            tenant=convert.tenant_from_wire(request),
            timeout=call.timeout,
        )
        return convert.facets_to_wire(found)

    def Scroll(self, request: pb.ScrollRequest, call: Call) -> pb.ScrollResponse:
        collection = self._collection(request.collection)
        limit, tenant = request.limit or SCROLL_LIMIT, convert.tenant_from_wire(request)
        if request.with_vector:
            answers.check_vectors(collection, records=limit, tenant=tenant, timeout=call.timeout)
        records = collection.scroll(
            convert.optional_filter(request),
            convert.id_from_wire(request, "after"),
            limit,
            tenant=tenant,
            order_by=convert.order_from_wire(request),
            with_payload=not request.without_payload,
            with_vector=request.with_vector,
            timeout=call.timeout,
        )
        answer = pb.ScrollResponse(records=convert.records_to_wire(records))
        if records.next is not None:
            answer.next.CopyFrom(convert.id_to_wire(records.next))
        return answer

    def _collection(self, name: str) -> Collection:
        return self._gate.database.collection(name)


def _one_query(request: pb.ExplainRequest | pb.SearchGroupsRequest, what: str) -> NDArray[Any]:
    queries = codec.vectors_from_wire(request.query, "query")
    if len(queries) != 1:
        raise InvalidArgument(f"{what} is of one query; got {len(queries)}", field="query")
    query: NDArray[Any] = queries[0]
    return query


def _required_ids(request: pb.GetRequest | pb.SetPayloadRequest) -> Ids:
    ids = convert.ids_from_wire(request)
    if ids is None:
        raise InvalidArgument("ids is missing: name at least one record", field="ids")
    return ids
