"""What is pickled and copied is the settings; what is printed is never the key."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from vecdb_client import AsyncClient, Client, errors
from vecdb_client.results import Matches, UploadFailure, UploadReport

KEY = "correct-horse-battery-staple"
KINDS = pytest.mark.parametrize("kind", [Client, AsyncClient])
COPIES = pytest.mark.parametrize(
    "copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy]
)


@KINDS
@COPIES
def test_copy_of_a_client_has_its_settings_and_nothing_else(kind, copied, tmp_path):
    ca_file = tmp_path / "ca.pem"
    client = kind("host:1", api_key=KEY, timeout=2.5, tls=True, ca_file=str(ca_file))
    settings = client._caller.settings
    other = copied(client)
    assert type(other) is kind
    assert other.address == "host:1"
    assert other._caller.settings == settings
    assert other._caller is not client._caller
    assert other._caller._transport is not client._caller._transport
    assert other.collection("docs").name == "docs"


@COPIES
def test_copy_of_a_client_with_an_open_channel_opens_its_own(peer, copied):
    with Client(peer.address, api_key=KEY) as client:
        client.collection("docs").count()
        with copied(client) as other:
            assert other._caller._transport._channel is None
            other.collection("docs").count()
    assert peer.count("Info") == 2
    assert {found["authorization"] for found in peer.metadata} == {f"Bearer {KEY}"}


def test_copy_of_a_closed_client_is_open(peer):
    client = Client(peer.address)
    client.close()
    with pickle.loads(pickle.dumps(client)) as other:
        assert other.collection("docs").count() == 0


@KINDS
def test_key_is_not_shown(kind):
    client = kind("host:1", api_key=KEY)
    shown = [client, client.collection("docs"), client._caller.settings, client._caller]
    for one in shown:
        assert KEY not in repr(one)
        assert KEY not in str(one)
    assert repr(client) == f"{kind.__name__}('host:1')"


def test_key_is_not_shown_where_it_is_refused():
    with pytest.raises(errors.InvalidArgument) as caught:
        Client("host:1", api_key=f"{KEY}\n")
    assert KEY not in str(caught.value)


def test_key_is_not_shown_by_a_call_that_fails(peer):
    with (
        Client("127.0.0.1:1", api_key=KEY, timeout=0.1) as client,
        pytest.raises(errors.Unavailable) as caught,
    ):
        client.collection("docs").count()
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)


def test_errors_keep_their_details_when_pickled():
    report = UploadReport(
        ok=1,
        failed=(UploadFailure(id="a", code="InvalidArgument", message="no"),),
        bytes=8,
        seconds=0.5,
        retries=2,
        upload_id="00",
        chunks=1,
    )
    failed = errors.UploadFailed("part of it", report=report, hint="again", maybe_applied=True)
    found = pickle.loads(pickle.dumps(failed))
    assert type(found) is errors.UploadFailed
    assert (found.report, str(found), found.maybe_applied) == (report, str(failed), True)
    damaged = errors.DataCorruption("bytes", path="data.mdb", offset=7)
    found = pickle.loads(pickle.dumps(damaged))
    assert (found.path, found.offset, found.detail()) == ("data.mdb", 7, damaged.detail())


def test_results_can_be_pickled():
    matches = Matches(
        ids=["a"],
        scores=np.ones(1, np.float32),
        distances=np.zeros(1, np.float32),
        payload_bytes=[b'{"x":1}'],
        relevance=np.ones(1),
    )
    found = pickle.loads(pickle.dumps(matches))
    assert (found.ids, found.payloads) == (["a"], [{"x": 1}])
    assert (found[0].score, found[0].label) == (1.0, "Close Match")
