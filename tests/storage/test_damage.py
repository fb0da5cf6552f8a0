"""A damaged copy has everything, or raises ``DataCorruption``: never wrong, never a signal."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lmdb.verify import verify

import vecdb
from vecdb.errors import DataCorruption
from vecdb.schema import CollectionSchema
from vecdb.storage import catalogue, files, operations, records, structure
from vecdb.storage.environment import Environment
from vecdb.storage.idempotency import Answer, put_answer
from vecdb.storage.meta_pages import META_BYTES
from vecdb.storage.writer import Writer
from vecdb.testing.faults import PAGE_BYTES, swap_pages, zero_page

MUTATIONS = 300
SCRIPT = Path(__file__).with_name("open_damaged.py")


class Group:
    """One transaction; raises the database's sequence if it is told to."""

    def __init__(self, transaction):
        self.transaction = transaction
        self.sequence, self.next_collection = catalogue.get_counters(transaction)

    def finish(self):
        catalogue.put_counters(self.transaction, self.sequence, self.next_collection)

    def publish(self):
        pass


def upsert(group, number, schema, first, count, rng):
    """Write records ``first``.. anew, as the collection layer does."""
    group.sequence += 1
    ids = np.arange(first, first + count) if number == 1 else [f"r{n:04d}" for n in range(count)]
    keys = records.id_keys(number, ids)
    state = catalogue.get_state(group.transaction, number)
    stored = records.get_records(group.transaction, keys)
    operations.put_upsert(
        group.transaction,
        number,
        group.sequence,
        first_slot=state.next_slot,
        ids=ids,
        vectors=rng.integers(0, 256, (count, schema.dim)).astype(schema.numpy_dtype),
        retired=np.array([slot for slot, _ in stored.values()], np.uint64),
    )
    slots = enumerate(keys, state.next_slot)
    group.transaction.put_many(
        "records", [(key, records.pack_record(slot, group.sequence)) for slot, key in slots]
    )
    texts = [b'{"n":%d,"text":"%s"}' % (n, b"x" * rng.integers(0, 300)) for n in range(count)]
    group.transaction.put_many("payloads", zip(keys, texts, strict=True))
    catalogue.put_state(
        group.transaction,
        number,
        catalogue.State(sequence=group.sequence, next_slot=state.next_slot + count, count=count),
    )
    put_answer(group.transaction, b"%d" % group.sequence, bytes(16), Answer(count=1, sequence=1), 5)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Several commits, each overwriting what the ones before it wrote: old pages lie about."""
    directory = tmp_path_factory.mktemp("damage") / "base"
    files.make_directory(directory)
    environment = Environment(directory, read_only=False)
    writer = Writer(environment, Group, lambda: None)
    rng = np.random.default_rng(40)
    schemas = {1: CollectionSchema(dim=24), 2: CollectionSchema(dim=300, dtype="uint8")}
    for number, schema in schemas.items():
        row = catalogue.CollectionRow(name=f"c{number}", number=number, schema=schema)
        writer.submit(
            lambda group, row=row: catalogue.put_collection(group.transaction, row, 0), 1
        ).result()
    for step in range(12):
        number = 1 + step % 2
        writer.submit(
            lambda group, n=number, step=step: upsert(group, n, schemas[n], 10 * step, 60, rng), 1
        ).result()
    # The last commit does not raise the sequence: only LMDB's own numbers tell of it.
    row = catalogue.CollectionRow(name="c2", number=2, schema=schemas[2])
    writer.submit(lambda group: catalogue.put_collection(group.transaction, row, 9), 1).result()
    writer.close()
    environment.close()
    return directory


@pytest.fixture
def open_all(base, tmp_path):
    """Outcomes of opening the copies, by damage, and the numbers of values and rows."""

    def run(damages, *, checked=True):
        result = subprocess.run(
            [sys.executable, SCRIPT, base, tmp_path, "checked" if checked else "unchecked"],
            input="".join(json.dumps(damage) + "\n" for damage in damages),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        head, *outcomes = result.stdout.splitlines()
        assert len(outcomes) == len(damages), (
            f"{damages[len(outcomes)]} ended the process: {result.returncode} {result.stderr}"
        )
        assert result.returncode == 0
        return outcomes, tuple(map(int, head.split()))

    return run


def meta_flips(seed):
    """One bit in each byte of LMDB's meta pages, one at a time."""
    rng = random.Random(seed)
    return [
        {"flips": [[page * PAGE_BYTES + byte, rng.randrange(8)]]}
        for page in (0, 1)
        for byte in range(META_BYTES)
    ]


def test_whole_copy_is_right(open_all):
    outcomes, (values, rows) = open_all([{"flips": []}] * 2)
    assert outcomes == ["right", "right"]
    assert values > 400
    assert rows > 180


@pytest.mark.slow
def test_mutated_copy_is_right_or_damaged(open_all):
    damages = [{"seed": seed} for seed in range(MUTATIONS)]
    outcomes, _ = open_all(damages)
    counts = Counter(outcomes)
    assert set(counts) == {"right", "damaged"}
    assert counts["damaged"] > MUTATIONS / 2  # the others hit free pages and unused bytes


@pytest.mark.slow
@pytest.mark.parametrize("checked", [True, False])
def test_no_flip_in_a_meta_page_loses_the_last_commit(open_all, checked):
    """Also in a large file, whose structure is not checked at open: then the witness tells."""
    damages = meta_flips(seed=50)
    outcomes, _ = open_all(damages, checked=checked)
    assert len(outcomes) == 2 * META_BYTES
    assert set(outcomes) == {"right", "damaged"}
    newer = outcomes[:META_BYTES].count("damaged"), outcomes[META_BYTES:].count("damaged")
    assert max(newer) == META_BYTES  # every flip in the newer page is noticed


# ----------------------------------------------------------------------------------- structure


@pytest.fixture
def copy(base, tmp_path):
    directory = tmp_path / "copy"
    files.make_directory(directory)
    (directory / "data.mdb").write_bytes((base / "data.mdb").read_bytes())
    return directory


def test_whole_file_has_no_damage(copy):
    assert structure.find_damage(copy) == []
    structure.check_small_file(copy)


def test_missing_file_has_no_damage_and_an_empty_one_has(tmp_path):
    assert structure.find_damage(tmp_path) == []
    structure.check_small_file(tmp_path)
    (tmp_path / "data.mdb").touch()
    assert ["only 0 bytes" in what for what in structure.find_damage(tmp_path)] == [True]


def test_damage_is_found_for_every_lost_page(copy, base):
    data = copy / "data.mdb"
    pages = data.stat().st_size // PAGE_BYTES
    found = 0
    for page in range(2, pages):
        data.write_bytes((base / "data.mdb").read_bytes())
        zero_page(data, page)
        found += bool(structure.find_damage(copy))
    assert found > pages / 3


@pytest.mark.slow
def test_pages_in_each_others_place_are_damage(copy, base):
    data = copy / "data.mdb"
    pages = data.stat().st_size // PAGE_BYTES
    found = []
    for page in range(2, pages - 1):
        data.write_bytes((base / "data.mdb").read_bytes())
        swap_pages(data, page, page + 1)
        if structure.find_damage(copy):
            found.append(page)
            with pytest.raises(DataCorruption) as caught:
                structure.check_small_file(copy)
            assert caught.value.path == str(data)
    assert len(found) > pages / 3


def test_file_that_lacks_a_free_page_at_its_end_is_whole(tmp_path):
    """As a kill may leave it: LMDB never writes what a transaction took and gave back."""
    path = tmp_path / "db"
    with vecdb.open(path) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert(list(range(5_000)), np.ones((5_000, 4), np.float32))
        db.delete_collection("docs")
        while db._store._dropped:
            db._store.submit(lambda group: None, 0).result()
    data = path / "data.mdb"
    data.write_bytes(data.read_bytes()[:-PAGE_BYTES])
    assert list(verify(str(data), subdir=False)) == []  # that page is free
    assert structure.find_damage(path) == []
    with vecdb.open(path) as db:
        docs = db.create_collection("docs", dim=4)
        docs.upsert(list(range(5_000)), np.ones((5_000, 4), np.float32))
        assert docs.count() == 5_000
    assert structure.find_damage(path) == []


def test_short_file_is_told_and_not_raised(copy):
    data = copy / "data.mdb"
    pages = data.stat().st_size // PAGE_BYTES
    data.write_bytes(data.read_bytes()[: pages // 2 * PAGE_BYTES])
    assert ["cut short" in what for what in structure.find_damage(copy)] == [True]


def test_large_file_is_left_to_the_checker(copy, monkeypatch):
    size = (copy / "data.mdb").stat().st_size
    monkeypatch.setattr(structure, "_verify", lambda _: ["damage"])
    monkeypatch.setattr(structure, "SMALL_BYTES", size)
    with pytest.raises(DataCorruption):
        structure.check_small_file(copy)
    monkeypatch.setattr(structure, "SMALL_BYTES", size - 1)
    structure.check_small_file(copy)


def test_damage_that_a_commit_has_overtaken_is_looked_at_again(copy, monkeypatch):
    """While another process writes, pages of older commits are written anew."""
    commits = iter([4, 5, 5, 5])
    answers = iter([["seen half way"], []])
    meta = files.check_data_file(copy)
    monkeypatch.setattr(
        structure, "check_data_file", lambda _: meta._replace(transaction=next(commits))
    )
    monkeypatch.setattr(structure, "_verify", lambda _: next(answers))
    assert structure.find_damage(copy) == []
    assert next(answers, None) is None


def test_damage_that_stays_is_told(copy, monkeypatch):
    monkeypatch.setattr(structure, "_verify", lambda _: ["first", "second"])
    assert structure.find_damage(copy) == ["first", "second"]
    with pytest.raises(DataCorruption, match=r"first \(and 1 more\)"):
        structure.check_small_file(copy)
