"""The checker finds what does not fit, and nothing in a sound database."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import NotFound
from vecdb.storage import format
from vecdb.storage.environment import Environment
from vecdb.storage.files import DATA_FILE
from vecdb.storage.records import id_keys, pack_record


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A database with two collections, an alias, overwritten and deleted records."""
    directory = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(1)
    with vecdb.open(directory) as db:
        docs = db.create_collection("docs", dim=8, fields={"n": "int"})
        for _ in range(3):
            vectors = rng.standard_normal((500, 8))
            docs.upsert(np.arange(500), vectors, [{"n": n} for n in range(500)])
        docs.delete(np.arange(20))
        docs.set_payload([30], {"n": 7}, idempotency_key=b"once")
        db.create_collection("texts", dim=3).upsert(["a", "ä"], [[1, 2, 3], [4, 5, 6]])
        db.alias("now", "docs")
    return directory


@pytest.fixture
def database(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "db")


def problems(directory) -> list[str]:
    return [f"{one.where}: {one.what}" for one in check_directory(directory).problems]


def change(directory, apply) -> None:
    """Change tables behind the engine's back, with valid checksums."""
    environment = Environment(directory, read_only=False)
    try:
        environment.write(apply)
    finally:
        environment.close()


def places_of(data: bytearray, text: bytes) -> list[int]:
    """Where it stands: in the page that is in use, and in those that older commits have left."""
    return [match.start() for match in re.finditer(re.escape(text), data)]


def test_sound_database_has_no_problem_and_everything_is_counted(database):
    report = check_directory(database)
    assert report.ok
    assert report.counts["collections"] == 2
    assert report.counts["records"] == 482
    assert report.counts["payloads"] == 480
    assert report.counts["aliases"] == 1
    assert report.counts["idempotency keys"] == 1
    assert report.counts["vectors"] >= 482


def test_check_runs_beside_a_writing_process_and_sees_a_whole_commit(database, tmp_path):
    # The writer is this process; the check reads through an environment of another copy of it.
    with vecdb.open(database) as db:
        db.collection("docs").upsert([1000], np.ones((1, 8)))
        copy = shutil.copytree(database, tmp_path / "copy")
    assert check_directory(copy).counts["records"] == 483


def test_progress_is_told(database):
    told = []
    check_directory(database, progress=lambda what, count: told.append((what, count)))
    assert {"values"} <= {what for what, _ in told}


def test_missing_database_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        check_directory(tmp_path)


def test_flipped_byte_of_a_value_is_found(database):
    path = database / DATA_FILE
    data = bytearray(path.read_bytes())
    for place in places_of(data, b'{"n":77}'):
        data[place + 5] ^= 1
    path.write_bytes(data)
    (found,) = problems(database)
    assert "payloads" in found
    assert "checksum" in found


def test_zeroed_page_is_found(database):
    path = database / DATA_FILE
    data = bytearray(path.read_bytes())
    for place in places_of(data, b'{"n":77}'):
        page = place // 4096 * 4096
        data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    assert problems(database)


def test_record_without_a_vector_is_found(database):
    (key,) = id_keys(1, np.array([100]))
    change(database, lambda t: t.put("records", key, pack_record(3, 1)))
    assert any("no vector" in one for one in problems(database))


def test_lost_record_is_found(database):
    (key,) = id_keys(1, np.array([100]))
    change(database, lambda t: t.delete("records", key))
    found = problems(database)
    assert any("its state says 480" in one for one in found)
    assert any("belongs to no record" in one for one in found)


def test_payload_of_the_wrong_type_is_found(database):
    (key,) = id_keys(1, np.array([100]))
    change(database, lambda t: t.put("payloads", key, b'{"n":"text"}'))
    assert any("payload" in one and "n" in one for one in problems(database))


def test_keys_of_no_collection_are_found(database):
    change(database, lambda t: t.put("payloads", format.NUMBER.pack(99) + b"x", b"{}"))
    assert any("no collection" in one for one in problems(database))


def test_alias_of_nothing_is_found(database):
    change(database, lambda t: t.put("aliases", b"gone", b"nowhere"))
    assert any("alias gone" in one for one in problems(database))


def test_key_that_is_none_is_found(database):
    def break_one(transaction):
        transaction.put("credentials", b"0123456789ab", b"{}")
        transaction.put("credentials", b"root", b"{}")

    with vecdb.open(database) as db:
        db.create_key("app", "read", tenant="acme")
    assert problems(database) == []
    change(database, break_one)
    found = problems(database)
    assert len(found) == 2
    assert "no description of an API key" in found[0]
    assert "its id is none" in found[1]
