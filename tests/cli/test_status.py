"""``vecdb status``, of a directory and of a server."""

from __future__ import annotations

import json
from importlib import metadata


def test_status_tells_of_the_database_and_its_collections(run, docs):
    result = run("status", "-o", "json", *docs.options)
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["ready"] is True
    assert found["version"] == metadata.version("vecdb-engine")
    assert found["data_bytes"] > 0
    assert found["collections"] == [
        {
            "name": "docs",
            "records": 10,
            "dim": 4,
            "metric": "l2",
            "dtype": "float32",
            "vector_bytes": 160,
            "dead_rows": 0,
        }
    ]


def test_server_tells_its_address_and_what_waits(run, remote):
    found = json.loads(run("status", "-o", "json", *remote.options).out)
    assert found["address"] == remote.options[1]
    assert found["database_id"] == remote.database.info().database_id
    assert found["queue_depth"] == 0
    assert found["in_flight"] == 1  # the call that asks


def test_status_is_readable(run, docs):
    facts, collections = run("status", *docs.options).out.split("\n\n")
    assert facts.splitlines()[0].split() == ["ready", "yes"]
    assert collections == (
        "collection  records  dim  metric  dtype    vectors  dead rows\n"
        "docs             10    4  l2      float32    160 B          0\n"
    )


def test_empty_database_is_ready(run, local):
    local.database.collections()
    result = run("status", *local.options)
    assert (result.status, result.err) == (0, "no collection yet\n")


def test_missing_directory_is_not_found(run, local):
    assert run("status", *local.options).status == 5
