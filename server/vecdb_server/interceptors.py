"""What every call passes before a service sees it, and what becomes of its outcome.

Key and role, then readiness, then room, then parsing, then what the request names, then the
service. gRPC parses before it calls, and
answers unparsable bytes with an INTERNAL error; so handlers here take and give bytes and parse by
themselves. A call refused before that is answered without reading its request at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError
from structlog.typing import FilteringBoundLogger

from vecdb import limits
from vecdb.errors import InvalidArgument, LimitExceeded, VecDBError

from . import health, logs, status
from .access import Access
from .answers import serialize
from .auth import Keys
from .call import Call, describe
from .caller import Caller
from .counters import UNKNOWN, Counters
from .gate import Gate
from .pools import Pool, Pools
from .tenant_rates import TenantRates
from .throttle import Throttle

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Details = grpc.HandlerCallDetails

BUSY_RETRY_SECONDS: Final = 0.1
STREAM_RETRY_SECONDS: Final = 1.0
"""Streams last: it takes longer until one ends."""
METHOD_LENGTH: Final = 200


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in stubs only
    """The only interceptor of the server."""

    def __init__(
        self,
        keys: Keys,
        gate: Gate,
        pools: Pools,
        counters: Counters,
        log: FilteringBoundLogger,
        access: Access | None = None,
    ) -> None:
        self._keys = keys
        self._access = access or Access()
        self._throttle = Throttle()
        self._rates = TenantRates(gate)
        self._gate = gate
        self._pools = pools
        self._counters = counters
        self._log = log

    def intercept_service(
        self, continuation: Callable[[Details], Handler | None], details: Details
    ) -> Handler | None:
        """Choose who answers a call; on gRPC's serving thread, so it reads a key and no more."""
        handler = continuation(details)
        method: str = details.method
        if method.startswith(health.PREFIX):
            return handler and _parse_here(handler, method)
        known = method if handler is not None else UNKNOWN
        key = ""
        try:
            caller = self._keys.caller(details.invocation_metadata)
            key = caller.key
            if handler is None:
                return None  # UNIMPLEMENTED
            self._access.check_method(caller, method)
            self._throttle.admit(caller)
        except Exception as error:
            return self._refuse(self._told(error, known), known, key)
        refusal = self._gate.refusal() or self._no_room(handler)
        if refusal is not None:
            return self._refuse(refusal, known, key)
        return self._wrap(handler, method, caller)

    def _told(self, error: Exception, method: str) -> VecDBError:
        """What a caller hears of ``error``: a bug is logged and hidden."""
        if isinstance(error, VecDBError):
            return error
        return status.hide_bug(logs.log_bug(self._log, "bug", error, method=method))

    def _no_room(self, handler: Handler) -> LimitExceeded | None:
        pool = self._pool_of(handler)
        if not pool.full:
            return None
        stream = handler.request_streaming
        return LimitExceeded(
            "too many uploads at once" if stream else "too many calls at once",
            reason="BUSY",
            actual=pool.unfinished,
            hint="Come again after retry_after, or send fewer at once",
            retry_after=STREAM_RETRY_SECONDS if stream else BUSY_RETRY_SECONDS,
        )

    def _pool_of(self, handler: Handler) -> Pool:
        return self._pools.uploads if handler.request_streaming else self._pools.calls

    def _refuse(self, error: VecDBError, method: str, key: str = "") -> Handler:
        """A handler that answers ``error`` at once: a stream, since that waits for no request."""
        detail = status.detail_of(error)
        code = status.code_of(error)

        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
            self._counters.refuse(method, code.name)
            self._log.warning(
                "refused",
                method=method,
                code=code.name,
                peer=context.peer(),
                **({"key": key} if key else {}),
                **describe(code.name, detail),
            )
            _abort(context, code, detail)

        _run_in(self._pools.refusals, answer)
        return grpc.stream_unary_rpc_method_handler(answer)

    def _wrap(self, handler: Handler, method: str, caller: Caller) -> Handler:
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler, method, caller))
        if handler.request_streaming or handler.response_streaming:
            raise AssertionError(f"{method}: no call of ours streams one way only")
        return grpc.unary_unary_rpc_method_handler(self._unary(handler, method, caller))

    def _reader(self, handler: Handler, call: Call) -> Callable[[bytes], Any]:
        """From the bytes of a request to one that the caller may make."""
        parse = _parser(handler, call.method)
        counted: set[str] = set()  # an upload is one call, in each collection that it names

        def read(data: bytes) -> Any:
            request = parse(data)
            self._access.check_request(call.caller, call.method, request)
            tenant = call.caller.tenant
            if tenant is not None:
                for name in set(self._access.names(call.method, request)) - counted:
                    counted.add(name)
                    self._throttle.admit_tenant(tenant, *self._rates.of(name, tenant))
            return request

        return read

    def _unary(self, handler: Handler, method: str, caller: Caller) -> Any:
        service: Callable[[Any, Call], Any] = handler.unary_unary  # type: ignore[assignment]

        def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
            call = Call.begin(context, method, self._log, caller, stream=False)
            self._counters.begin()
            try:
                self._throttle.enter(caller, call.request_id)
                result = serialize(service(self._reader(handler, call)(data), call))
            except Exception as error:
                self._fail(call, error)
            self._end(call, "OK")
            return result

        _run_in(self._pools.calls, answer)
        return answer

    def _stream(self, handler: Handler, method: str, caller: Caller) -> Any:
        service: Callable[[Iterator[Any], Call], Iterator[Any]] = handler.stream_stream  # type: ignore[assignment]

        def answer(data: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            call = Call.begin(context, method, self._log, caller, stream=True)
            self._counters.begin()
            # Where the client has gone, gRPC drops this generator unfinished, to be collected late.
            lasting = context.add_callback(lambda: self._end(call, "CANCELLED"))
            read = self._reader(handler, call)

            def read_next(chunk: bytes) -> Any:
                self._keys.check_still(context.invocation_metadata(), caller)
                return read(chunk)

            try:
                if lasting:
                    self._throttle.enter(caller, call.request_id)
                for result in service(map(read_next, data), call):
                    yield serialize(result)
            except Exception as error:
                self._fail(call, error)
            self._end(call, "OK")

        _run_in(self._pools.uploads, answer)
        return answer

    def _fail(self, call: Call, error: Exception) -> NoReturn:
        code = status.code_of(error)
        detail = call.refuse(error)
        self._end(call, code.name, detail)
        _abort(call.context, code, detail)

    def _end(self, call: Call, code: str, detail: Any = None) -> None:
        if not call.ends_now():
            return
        if not call.context.is_active():
            code = "CANCELLED"  # the client has gone and hears nothing of this
        self._throttle.leave(call.caller, call.request_id)
        self._counters.end(call.method, code)
        call.finish(code, detail)


def _parser(handler: Handler, method: str) -> Callable[[bytes], Any]:
    deserialize: Callable[[bytes], Any] = handler.request_deserializer  # type: ignore[assignment]

    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            raise InvalidArgument(
                f"the request is no message of {method[:METHOD_LENGTH]}",
                reason="UNPARSABLE",
                hint="Generate the messages from proto/vecdb.proto; filters nest at most "
                f"{limits.FILTER_DEPTH} deep",
            ) from None

    return parse


def _parse_here(handler: Handler, method: str) -> Handler:
    """The same handler (of the health service), its request parsed by us."""
    parse = _parser(handler, method)
    service: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

    def answer(data: bytes, context: grpc.ServicerContext) -> Any:
        try:
            request = parse(data)
        except InvalidArgument as error:
            _abort(context, status.code_of(error), status.detail_of(error))
        return service(request, context)

    kind = (
        grpc.unary_stream_rpc_method_handler
        if handler.response_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return kind(answer, response_serializer=handler.response_serializer)


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, detail: Any) -> NoReturn:
    context.set_trailing_metadata(((status.DETAIL_KEY, detail.SerializeToString()),))
    context.abort(code, status.text_of(detail))
    raise AssertionError("abort raises")


def _run_in(pool: Pool, behaviour: Any) -> None:
    # gRPC looks for this attribute and takes its own pool where it is missing.
    behaviour.experimental_thread_pool = pool
