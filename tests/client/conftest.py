"""A small real gRPC server that fails as a test tells it to, and clients of both kinds."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections import defaultdict, deque
from concurrent import futures

import grpc
import numpy as np
import pytest

from vecdb_client import AsyncClient, Client, codec
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_client.wire import vecdb_pb2_grpc as rpc


class Peer(rpc.DatabaseServicer, rpc.CollectionsServicer, rpc.RecordsServicer):
    """Stores records by id, answers by idempotency key, and follows ``script``.

    ``script[method]`` holds one function a call, called with the context before the call has any
    effect; ``after[method]`` those called after the effect and before the answer. A chunk of an
    upload counts as a call of "Chunk"; there a function may return an ErrorDetail and a code.
    """

    def __init__(self):
        self.version = "0.1.0"
        self.api = "v1"
        self.script = defaultdict(deque)
        self.after = defaultdict(deque)
        self.calls = []
        self.requests = []
        self.metadata = []
        self.collections = {}
        self.records = {}
        self.answers = {}
        self.applied = 0
        self.port = 0
        self.health = b"\x08\x01"
        self._server = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 1 << 26)],
        )
        rpc.add_DatabaseServicer_to_server(self, self._server)
        rpc.add_CollectionsServicer_to_server(self, self._server)
        rpc.add_RecordsServicer_to_server(self, self._server)
        check = grpc.unary_unary_rpc_method_handler(self._check_health)
        handlers = {"Check": check}
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers)]
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self):
        self._server.stop(None).wait()

    @staticmethod
    def abort(code, detail=None, text="as told"):
        """A function for a script: end the call so."""

        def fault(context):
            if detail is not None:
                entry = ("vecdb-error-bin", detail.SerializeToString())
                context.set_trailing_metadata((entry,))
            context.abort(code, text)

        return fault

    @staticmethod
    def hang(context):
        """A function for a script: answer nothing until the caller gives up."""
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(30)
        context.abort(grpc.StatusCode.CANCELLED, "nobody waits")

    @staticmethod
    def refuse(code, **detail):
        """A function for a script: refuse a chunk of an upload so."""
        return lambda context: (pb.ErrorDetail(**detail), code)

    def count(self, method):
        return self.calls.count(method)

    def _enter(self, method, context, request=None):
        self.calls.append(method)
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.script[method]:
            self.script[method].popleft()(context)

    def _leave(self, method, context):
        if self.after[method]:
            self.after[method].popleft()(context)

    def _check_health(self, request, context):
        self._enter("Check", context, request)
        return self.health

    def Info(self, request, context):
        self._enter("Info", context, request)
        return pb.InfoResponse(
            server_version=self.version, api=self.api, limits={"k": 5}, database_id="d"
        )

    def Stats(self, request, context):
        self._enter("Stats", context, request)
        if isinstance(request, pb.CollectionStatsRequest):
            return pb.StatsResponse(json=b'{"count": 7}')
        return pb.StatsResponse(json=json.dumps({"collections": {"docs": {"count": 7}}}).encode())

    def Create(self, request, context):
        self._enter("Create", context, request)
        if request.name in self.collections:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "taken")
        self.collections[request.name] = request.schema
        self._leave("Create", context)
        return pb.CollectionInfo(name=request.name, schema=request.schema)

    def Seal(self, request, context):
        self._enter("Seal", context, request)
        self._leave("Seal", context)
        return pb.SealResponse(records=5, segments=2)

    def Compact(self, request, context):
        self._enter("Compact", context, request)
        self._leave("Compact", context)
        return pb.SealResponse(records=5, segments=2)

    def SetMemoryBudget(self, request, context):
        self._enter("SetMemoryBudget", context, request)
        self._leave("SetMemoryBudget", context)
        budget = request.memory_budget if request.HasField("memory_budget") else None
        return pb.CollectionInfo(
            name=request.name,
            schema=pb.CollectionSchema(dim=3, code_bits=4, memory_budget=budget),
            level="all" if budget is None else "codes",
            level_reason="as told",
        )

    def Explain(self, request, context):
        self._enter("Explain", context, request)
        number = codec.floats_to_bytes(np.ones(1, np.float32))
        matches = pb.Matches(
            counts=[1], ids=codec.ids_to_wire([7]), scores=number, distances=number
        )
        return pb.Explanation(
            matches=matches,
            mode=pb.GRAPH,
            matching=9,
            segments=2,
            tail=3,
            level="codes",
            why="as told",
            degraded=True,
            seconds=0.25,
            pages_read=4,
            bytes_read=16_384,
            read_calls=4,
            io_rounds=2,
            cache_hits=1,
            nodes_expanded=5,
            blocks_scanned=6,
            codes_scanned=7,
            codes_refined=8,
            vectors_scored=9,
        )

    def Upsert(self, request, context):
        self._enter("Upsert", context, request)
        answer = self._apply(request)
        self._leave("Upsert", context)
        return answer

    def _apply(self, request):
        known = self.answers.get(request.idempotency_key)
        digest = request.SerializeToString(deterministic=True)
        if known is not None:
            assert known[1] == digest, "one key, two requests"
            return pb.WriteResponse(count=known[0].count, sequence=known[0].sequence, replayed=True)
        ids = codec.ids_from_wire(request.ids)
        vectors = codec.vectors_from_wire(request.vectors)
        payloads = request.payloads or [b""] * len(ids)
        for id, vector, payload in zip(ids, vectors, payloads, strict=True):
            self.records[id if isinstance(id, str) else int(id)] = (vector.tolist(), payload)
        self.applied += 1
        answer = pb.WriteResponse(count=len(ids), sequence=self.applied)
        self.answers[request.idempotency_key] = (answer, digest)
        return answer

    def Count(self, request, context):
        self._enter("Count", context, request)
        return pb.CountResponse(count=len(self.records))

    def Search(self, request, context):
        self._enter("Search", context, request)
        queries = codec.vectors_from_wire(request.queries)
        matches = pb.Matches(
            counts=[1] * len(queries),
            ids=codec.ids_to_wire(np.arange(len(queries))),
            scores=codec.floats_to_bytes(queries[:, 0].astype(np.float32)),
            distances=codec.floats_to_bytes(queries[:, 0].astype(np.float32)),
        )
        places = np.arange(len(queries), dtype=np.float64)
        if request.with_relevance:
            matches.relevance = codec.doubles_to_bytes(places)
        if request.with_surprise:
            matches.surprise_bits = codec.doubles_to_bytes(places + 0.25)
        return pb.SearchResponse(matches=matches)

    def Upload(self, requests, context):
        self._enter("Upload", context)
        for request in requests:
            self.calls.append("Chunk")
            self.requests.append(request)
            refusal = None
            if self.script["Chunk"]:
                refusal = self.script["Chunk"].popleft()(context)
            refusal = refusal or self._refuse_bad_rows(request.batch)
            if refusal:
                error, code = refusal
                yield pb.UploadResponse(chunk=request.chunk, error=error, status=code.value[0])
                continue
            result = self._apply(request.batch)
            self._leave("Chunk", context)
            yield pb.UploadResponse(chunk=request.chunk, result=result)

    def _refuse_bad_rows(self, batch):
        vectors = codec.vectors_from_wire(batch.vectors)
        finite = np.isfinite(vectors).all(axis=1)
        if finite.all():
            return None
        row = int(np.argmin(finite))
        detail = pb.ErrorDetail(
            kind="InvalidArgument",
            reason="NOT_FINITE",
            field=f"vectors[{row}]",
            message=f"vectors[{row}] holds NaN",
        )
        return detail, grpc.StatusCode.INVALID_ARGUMENT


class Blocking:
    """An asyncio client, collection or result with blocking methods."""

    def __init__(self, inner, runner):
        self.inner = inner
        self.runner = runner

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            result = found(*args, **kwargs)
            if inspect.iscoroutine(result):
                result = self.runner.run(result)
            return Blocking(result, self.runner) if hasattr(result, "_caller") else result

        return call


@pytest.fixture
def peer():
    found = Peer()
    found.start()
    yield found
    found.stop()


@pytest.fixture(params=["sync", "async"])
def connect(request, peer):
    """Makes clients of the peer, which it closes."""
    runner = asyncio.Runner()
    made = []

    def make(**settings):
        settings.setdefault("timeout", 10.0)
        kind = Client if request.param == "sync" else AsyncClient
        client = kind(settings.pop("address", peer.address), **settings)
        if request.param == "async":
            client = Blocking(client, runner)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()
    runner.close()


@pytest.fixture
def client(connect):
    return connect()
