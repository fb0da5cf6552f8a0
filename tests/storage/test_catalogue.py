"""Which collections there are, and how one that was dropped goes away."""

from __future__ import annotations

import pytest

from vecdb.errors import DataCorruption
from vecdb.schema import CollectionSchema
from vecdb.storage import catalogue, format
from vecdb.storage.catalogue import (
    CollectionRow,
    State,
    drop_collection,
    find_collection,
    get_counters,
    get_state,
    put_collection,
    put_counters,
    put_state,
    scan_aliases,
    scan_collections,
    sweep_dropped,
)
from vecdb.storage.format import NUMBER

SCHEMA = CollectionSchema(dim=3, metric="l2", dtype="uint8", fields={"lang": "keyword", "n": "int"})
DATA_TABLES = ("records", "payloads", "operations")


def row(name, number, schema=SCHEMA):
    return CollectionRow(name=name, number=number, schema=schema)


@pytest.fixture
def run(environment):
    """The answer of ``do(transaction, ...)``, in a transaction of its own."""
    return lambda do, *arguments: environment.write(lambda found: do(found, *arguments))


@pytest.fixture
def alias(put):
    return lambda name, target: put("aliases", {name.encode(): target.encode()})


@pytest.fixture
def fill(put):
    """Put keys of a collection into each table that holds its data."""

    def write(number, count):
        for table in DATA_TABLES:
            put(table, {NUMBER.pack(number) + b"%04d" % key: b"value" for key in range(count)})

    return write


@pytest.fixture
def left(environment):
    """How many keys of a collection are left in all tables."""

    def count(number):
        with environment.read() as transaction:
            return sum(
                len(list(transaction.scan(table, NUMBER.pack(number)))) for table in DATA_TABLES
            )

    return count


def test_collection_comes_back_by_its_name(run):
    run(put_collection, row("docs", 5), 1_700)
    assert run(find_collection, "docs") == row("docs", 5)
    assert run(find_collection, "doc") is None
    assert run(get_state, 5) == State()


def test_collections_are_listed_by_name(run):
    for number, name in enumerate(["b", "a", "B"]):
        run(put_collection, row(name, number), 0)
    assert run(lambda transaction: [one.name for one in scan_collections(transaction)]) == [
        "B",
        "a",
        "b",
    ]


def test_changed_row_is_read_anew(run):
    run(put_collection, row("docs", 1), 0)
    assert run(find_collection, "docs").number == 1
    other = CollectionSchema(dim=9)
    run(put_collection, row("docs", 2, other), 0)
    assert run(find_collection, "docs") == row("docs", 2, other)


def test_collection_is_found_by_its_aliases(run, alias):
    run(put_collection, row("docs", 1), 0)
    alias("current", "docs")
    alias("also", "docs")
    assert run(find_collection, "current") == row("docs", 1)
    assert run(lambda transaction: list(scan_aliases(transaction))) == [
        ("also", "docs"),
        ("current", "docs"),
    ]


def test_alias_of_nothing_is_damage(run, alias):
    alias("current", "docs")
    with pytest.raises(DataCorruption, match="alias"):
        run(find_collection, "current")


def test_state_comes_back_whole(run):
    state = State(
        sequence=2**63,
        next_slot=2**40,
        count=7,
        first_slot=3,
        trimmed=2,
        id_kind=format.ID_STR,
        manifest=2**32 - 1,
        sealed=6,
        buried=5,
    )
    run(put_state, 9, state)
    assert run(get_state, 9) == state
    assert run(get_state, 8) is None


def test_state_of_version_1_has_nothing_sealed(run, put):
    put("states", {NUMBER.pack(9): bytes([7]) + bytes(47)})
    assert run(get_state, 9) == State(sequence=7)


def test_nothing_is_left_of_a_swept_collection(run, put, environment, values_of):
    run(put_collection, row("docs", 1), 0)
    others = {"caches", "cache_states", "credentials"}
    tables = set(format.TABLES[5:8] + format.TABLES[10:]) - others
    assert set(catalogue.DATA_TABLES) == tables
    for table in tables:
        put(table, {NUMBER.pack(number) + b"more": b"value" for number in (1, 2)})
        put(table, {NUMBER.pack(1): b"value"})
    run(drop_collection, row("docs", 1))
    assert run(sweep_dropped, 1_000) is False
    for table in tables:
        assert list(values_of(environment, table)) == [NUMBER.pack(2) + b"more"]


def test_counters_begin_with_collection_1_and_come_back(run):
    assert run(get_counters) == (0, 1)
    run(put_counters, 2**40, 17)
    assert run(get_counters) == (2**40, 17)


def test_lost_counters_are_damage(run):
    run(lambda transaction: transaction.delete("database", format.COUNTERS_KEY))
    with pytest.raises(DataCorruption, match="counters"):
        run(get_counters)


def test_dropped_collection_is_out_of_sight_with_its_aliases(run, alias, fill, left):
    for number, name in ((1, "docs"), (2, "other")):
        run(put_collection, row(name, number), 0)
        fill(number, 5)
    alias("current", "docs")
    alias("others", "other")
    run(drop_collection, row("docs", 1))
    assert run(find_collection, "docs") is None
    assert run(find_collection, "current") is None
    assert run(get_state, 1) is None
    assert run(find_collection, "others") == row("other", 2)
    assert run(get_state, 2) == State()
    assert (left(1), left(2)) == (15, 15)  # the data goes later


def test_dropped_collections_are_swept_in_pieces(environment, run, fill, left):
    for number in (1, 2, 256):
        run(put_collection, row(f"c{number}", number), 0)
        fill(number, 10)
    run(drop_collection, row("c1", 1))
    run(drop_collection, row("c256", 256))
    before, more, pieces = 60, True, []
    while more:
        more = run(sweep_dropped, 8)
        after = left(1) + left(256)
        pieces.append(before - after)
        before = after
    assert max(pieces) == 8
    assert (left(1), left(256), left(2)) == (0, 0, 30)
    with environment.read() as transaction:
        assert transaction.entries("dropped") == 0


def test_sweep_that_just_fits_ends_with_the_next_one(run, fill, left):
    run(put_collection, row("docs", 1), 0)
    fill(1, 2)
    run(drop_collection, row("docs", 1))
    assert run(sweep_dropped, 6) is True
    assert left(1) == 0
    assert run(sweep_dropped, 6) is False
    assert run(sweep_dropped, 6) is False


def test_empty_collection_is_swept_at_once(environment, run):
    run(put_collection, row("docs", 1), 0)
    run(drop_collection, row("docs", 1))
    assert run(sweep_dropped, 1) is False
    with environment.read() as transaction:
        assert transaction.entries("dropped") == 0


def test_name_of_a_dropped_collection_is_free_before_the_sweep(run, fill, left):
    run(put_collection, row("docs", 1), 0)
    fill(1, 3)
    run(drop_collection, row("docs", 1))
    run(put_collection, row("docs", 2), 0)
    fill(2, 3)
    while run(sweep_dropped, 4):
        pass
    assert run(find_collection, "docs") == row("docs", 2)
    assert (left(1), left(2)) == (0, 9)
