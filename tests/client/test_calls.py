"""Deadlines, retries and lost answers against a peer that fails on request; sync and async."""

import asyncio
import copy
import gc
import pickle
import socket
import threading
import time
import warnings

import grpc
import numpy as np
import pytest

from vecdb_client import AsyncClient, Client, errors
from vecdb_client.wire import vecdb_pb2 as pb

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
VECTORS = np.ones((2, 3), np.float32)


def test_nothing_is_connected_until_the_first_call(peer, client):
    client.collection("docs")
    assert peer.calls == []


def test_first_call_is_preceded_by_one_handshake(peer, client):
    docs = client.collection("docs")
    docs.count()
    docs.count()
    assert peer.calls == ["Info", "Count", "Count"]


def test_info_tells_who_the_server_is(client):
    info = client.info()
    assert (info.server_version, info.database_id, info.limits) == ("0.1.0", "d", {"k": 5})


def test_key_travels_with_every_call(peer, connect):
    connect(api_key="s3cret").collection("docs").count()
    assert [found["authorization"] for found in peer.metadata] == ["Bearer s3cret"] * 2


def test_unavailable_is_tried_again_after_a_new_handshake(peer, client):
    peer.script["Count"] += [peer.abort(UNAVAILABLE), peer.abort(UNAVAILABLE)]
    assert client.collection("docs").count() == 0
    assert peer.calls == ["Info", "Count"] * 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.PreconditionFailed),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.LimitExceeded),
        (grpc.StatusCode.INTERNAL, errors.VecDBError),
    ],
)
def test_faults_of_the_caller_are_not_tried_again(peer, client, code, error):
    peer.script["Count"].append(peer.abort(code))
    with pytest.raises(error):
        client.collection("docs").count()
    assert peer.count("Count") == 1


def test_full_queue_is_tried_again_after_the_time_it_tells(peer, client):
    detail = pb.ErrorDetail(kind="LimitExceeded", message="busy", retry_after_ms=150)
    peer.script["Count"].append(peer.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, detail))
    began = time.monotonic()
    client.collection("docs").count()
    assert time.monotonic() - began >= 0.15
    assert peer.count("Count") == 2


def test_conflict_of_a_write_is_tried_again(peer, client):
    peer.script["Upsert"].append(peer.abort(grpc.StatusCode.ABORTED))
    client.collection("docs").upsert([1, 2], VECTORS)
    assert peer.applied == 1


def test_lost_answer_is_made_good_by_the_same_key(peer, client):
    peer.after["Upsert"].append(peer.abort(UNAVAILABLE))
    result = client.collection("docs").upsert([1, 2], VECTORS)
    assert result.replayed
    assert peer.applied == 1
    keys = {request.idempotency_key for request in peer.requests[1::2]}
    assert len(keys) == 1
    assert len(keys.pop()) == 16


def test_key_of_the_caller_is_sent_as_it_is(peer, client):
    client.collection("docs").upsert([1, 2], VECTORS, idempotency_key=b"mine")
    assert peer.requests[-1].idempotency_key == b"mine"


def test_write_out_of_time_may_have_been_applied(peer, client):
    peer.script["Upsert"].append(peer.hang)
    with pytest.raises(errors.DeadlineExceeded, match=r"Records\.Upsert at .* \(deadline 0\.3 s, "):
        client.collection("docs").upsert([1, 2], VECTORS, timeout=0.3)


def test_error_after_the_deadline_tells_bytes_and_attempt(peer, client):
    peer.script["Upsert"] += [peer.abort(UNAVAILABLE), peer.hang]
    with pytest.raises(errors.DeadlineExceeded) as caught:
        client.collection("docs").upsert([1, 2], VECTORS, timeout=0.5)
    assert caught.value.maybe_applied
    assert f"{len(peer.requests[-1].SerializeToString())} bytes sent, attempt 2" in str(
        caught.value
    )


def test_read_out_of_time_was_not_applied(peer, client):
    peer.script["Count"].append(peer.hang)
    with pytest.raises(errors.DeadlineExceeded) as caught:
        client.collection("docs").count(timeout=0.2)
    assert not caught.value.maybe_applied


def test_refused_write_was_not_applied(peer, client):
    detail = pb.ErrorDetail(kind="Unavailable", message="draining", retry_after_ms=60_000)
    peer.script["Upsert"].append(peer.abort(UNAVAILABLE, detail))
    with pytest.raises(errors.Unavailable, match="draining") as caught:
        client.collection("docs").upsert([1, 2], VECTORS)
    assert not caught.value.maybe_applied


def test_write_whose_answer_was_lost_may_have_been_applied_whatever_comes_next(peer, client):
    peer.after["Upsert"].append(peer.abort(UNAVAILABLE))
    peer.script["Upsert"] += [lambda context: None, peer.abort(grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(errors.PermissionDenied) as caught:
        client.collection("docs").upsert([1, 2], VECTORS)
    assert caught.value.maybe_applied


def test_call_without_a_key_is_not_repeated_after_a_lost_answer(peer, client):
    peer.after["Create"].append(peer.abort(UNAVAILABLE))
    with pytest.raises(errors.Unavailable) as caught:
        client.create_collection("docs", dim=3)
    assert caught.value.maybe_applied
    assert peer.count("Create") == 1


def test_call_without_a_key_is_repeated_while_it_was_not_sent(peer, client):
    peer.script["Info"].append(peer.abort(UNAVAILABLE))
    client.create_collection("docs", dim=3)
    assert peer.calls == ["Info", "Info", "Create"]


def test_call_without_a_key_is_repeated_where_the_server_refused_it(peer, client):
    detail = pb.ErrorDetail(kind="Unavailable", message="starting")
    peer.script["Create"].append(peer.abort(UNAVAILABLE, detail))
    client.create_collection("docs", dim=3)
    assert peer.count("Create") == 2


def test_unknown_call_tells_that_the_server_is_another(peer, client):
    with pytest.raises(
        errors.PreconditionFailed, match=r"does not know the call Collections\.List"
    ):
        client.collections()


def test_client_timeout_applies_where_the_call_has_none(peer, connect):
    client = connect(timeout=0.2)
    peer.script["Count"] += [peer.hang, lambda context: None]
    with pytest.raises(errors.DeadlineExceeded, match=r"deadline 0\.2 s"):
        client.collection("docs").count()
    assert client.collection("docs").count(timeout=5) == 0


def test_bad_timeout_is_refused_before_anything_is_sent(peer, client):
    with pytest.raises(errors.InvalidArgument, match="timeout"):
        client.collection("docs").count(timeout=0)
    assert peer.calls == []


def test_nobody_at_the_address_is_told_after_the_budget(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    client = connect(address=address, timeout=0.4)
    with pytest.raises(errors.Unavailable, match=address) as caught:
        client.collection("docs").upsert([1, 2], VECTORS)
    assert "attempt 1" not in caught.value.message
    assert not caught.value.maybe_applied  # it was never sent


def test_client_survives_a_restart_of_the_server(peer, client):
    docs = client.collection("docs")
    docs.upsert([1, 2], VECTORS)
    peer.stop()
    peer.start()
    assert docs.count() == 2


def test_server_of_another_major_version_is_refused(peer, client):
    peer.version = "1.0.0"
    with pytest.raises(errors.PreconditionFailed, match=r"'1\.0\.0'"):
        client.collection("docs").count()
    assert peer.count("Count") == 0


def test_distant_minor_version_warns_once(peer, client):
    peer.version = "0.9.0"
    peer.script["Count"].append(peer.abort(UNAVAILABLE))
    with pytest.warns(UserWarning, match=r"0\.9\.0") as caught:
        client.collection("docs").count()
    assert len(caught) == 1
    assert peer.count("Info") == 2


def test_wait_ready_waits_until_the_server_serves(peer, client):
    peer.health = b"\x08\x02"

    def serve(context):
        peer.health = b"\x08\x01"

    peer.script["Check"] += [lambda context: None, serve]
    client.wait_ready()
    assert peer.count("Check") == 2


def test_wait_ready_gives_up(peer, client):
    peer.health = b"\x08\x02"
    with pytest.raises(errors.Unavailable, match="starting or draining"):
        client.wait_ready(timeout=0.3)


def test_closed_client_tells_so(client):
    docs = client.collection("docs")
    docs.count()
    client.close()
    client.close()
    with pytest.raises(errors.Unavailable, match="closed") as caught:
        docs.count()
    assert caught.value.reason == "CLOSED"


def test_close_ends_a_call_of_another_thread(peer):
    client = Client(peer.address)
    client.collection("docs").count()
    entered = threading.Event()

    def tell_and_hang(context):
        entered.set()
        peer.hang(context)

    peer.script["Count"].append(tell_and_hang)
    caught = []

    def call():
        try:
            client.collection("docs").count()
        except errors.Unavailable as error:
            caught.append(error.reason)

    thread = threading.Thread(target=call)
    thread.start()
    assert entered.wait(10)
    client.close()
    thread.join(10)
    assert caught == ["CLOSED"]


def test_one_client_serves_many_threads(peer):
    counts = []
    with Client(peer.address) as client:
        docs = client.collection("docs")
        threads = [
            threading.Thread(target=lambda: counts.extend(docs.count() for _ in range(20)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [0] * 160


def test_pickled_and_copied_clients_open_their_own_channels(peer):
    with Client(peer.address, api_key="s3cret") as client:
        client.collection("docs").count()
        for other in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
            with other:
                assert other.collection("docs").count() == 0
    assert peer.count("Info") == 3
    assert {found["authorization"] for found in peer.metadata} == {"Bearer s3cret"}


def test_collection_handle_pickles(peer):
    with Client(peer.address) as client:
        docs = pickle.loads(pickle.dumps(client.collection("docs")))
        assert docs.name == "docs"
        assert docs.count() == 0
        docs._caller.close()


def test_client_left_open_warns(peer):
    clients = [Client(peer.address)]
    clients[0].collection("docs").count()
    with pytest.warns(ResourceWarning, match="never closed"):
        clients.clear()


def test_client_never_used_does_not_warn(peer):
    client = Client(peer.address)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del client
        gc.collect()


def test_async_client_serves_one_loop_after_another(peer):
    client = AsyncClient(peer.address)

    async def count():
        return await client.collection("docs").count()

    assert asyncio.run(count()) == 0
    assert asyncio.run(count()) == 0
    asyncio.run(client.close())
    assert peer.count("Info") == 2


def test_cancelled_task_stays_cancelled(peer):
    async def main():
        async with AsyncClient(peer.address) as client:
            await client.collection("docs").count()
            loop, entered = asyncio.get_running_loop(), asyncio.Event()

            def tell_and_hang(context):
                loop.call_soon_threadsafe(entered.set)
                peer.hang(context)

            peer.script["Count"].append(tell_and_hang)
            task = asyncio.create_task(client.collection("docs").count())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
