"""Values by key, by prefix, in order; sealed on the way in, verified on the way out."""

from __future__ import annotations

import pytest

from vecdb.storage import format

VALUES = {b"a": b"0", b"ab1": b"1", b"ab2": b"22", b"ab\xff": b"", b"ac": b"3", b"b": b"4"}


@pytest.fixture
def filled(environment, put):
    put("records", VALUES)
    put("payloads", {b"ab9": b"of another table"})
    return environment


def delete_prefix(environment, prefix, limit):
    return environment.write(
        lambda transaction: transaction.delete_prefix("records", prefix, limit)
    )


def test_value_is_found_by_key(filled):
    with filled.read() as transaction:
        assert transaction.get("records", b"ab2") == b"22"
        assert transaction.get("records", b"ab\xff") == b""
        assert transaction.get("records", b"ab") is None
        assert transaction.get("payloads", b"ab2") is None


def test_many_values_are_found_in_any_order(filled):
    with filled.read() as transaction:
        found = transaction.get_many("records", [b"b", b"none", b"a", b"ab2", b"a"])
        assert found == {b"a": b"0", b"ab2": b"22", b"b": b"4"}
        assert transaction.get_many("records", []) == {}


def test_put_replaces(environment, values_of):
    def write(transaction):
        transaction.put("records", b"k", b"old")
        transaction.put("records", b"k", b"new and longer")
        transaction.put_parts("records", b"parts", [b"a", b"", b"bc"])

    environment.write(write)
    assert values_of(environment, "records") == {b"k": b"new and longer", b"parts": b"abc"}


def test_of_equal_keys_the_last_one_stays(environment, values_of):
    pairs = [(b"k", b"9"), (b"a", b"x"), (b"k", b"1")]
    environment.write(lambda transaction: transaction.put_many("records", pairs))
    assert values_of(environment, "records") == {b"a": b"x", b"k": b"1"}


def test_nothing_is_put_by_no_values(environment, values_of):
    environment.write(lambda transaction: transaction.put_many("records", []))
    assert values_of(environment, "records") == {}


def test_delete_tells_whether_the_key_was_there(filled, values_of):
    def write(transaction):
        return [transaction.delete("records", key) for key in (b"a", b"a", b"none")]

    assert filled.write(write) == [True, False, False]
    assert b"a" not in values_of(filled, "records")


@pytest.mark.parametrize("prefix", [b"", b"a", b"ab", b"ab1", b"ab1x", b"ab\xff", b"c", b"\xff"])
def test_scan_gives_the_keys_of_a_prefix_in_order(filled, prefix):
    with filled.read() as transaction:
        found = list(transaction.scan("records", prefix))
    assert found == [(k, v) for k, v in VALUES.items() if k.startswith(prefix)]


@pytest.mark.parametrize("start", [b"", b"a", b"ab2", b"ab2\0", b"ab\xff\0", b"ac", b"b", b"c"])
def test_scan_begins_at_a_key_but_never_before_its_prefix(filled, start):
    with filled.read() as transaction:
        found = [key for key, _ in transaction.scan("records", b"ab", start)]
    assert found == [key for key in VALUES if key.startswith(b"ab") and key >= start]


def test_scan_of_an_empty_table_is_empty(environment):
    with environment.read() as transaction:
        assert list(transaction.scan("records")) == []


def test_scan_sees_what_its_own_transaction_has_written(filled):
    def write(transaction):
        transaction.put("records", b"aa", b"new")
        transaction.delete("records", b"ac")
        return [key for key, _ in transaction.scan("records", b"a")]

    assert filled.write(write) == [b"a", b"aa", b"ab1", b"ab2", b"ab\xff"]


def test_prefix_is_deleted_and_nothing_else(filled, values_of):
    assert delete_prefix(filled, b"ab", 100) == 3
    assert values_of(filled, "records") == {b"a": b"0", b"ac": b"3", b"b": b"4"}
    assert list(values_of(filled, "payloads")) == [b"ab9"]
    assert delete_prefix(filled, b"ab", 100) == 0


def test_prefix_is_deleted_in_pieces(filled, values_of):
    assert delete_prefix(filled, b"ab", 0) == 0
    assert delete_prefix(filled, b"ab", 2) == 2
    assert list(values_of(filled, "records", b"ab")) == [b"ab\xff"]
    assert delete_prefix(filled, b"ab", 2) == 1


def test_last_key_of_a_table_can_be_deleted_by_prefix(filled, values_of):
    assert delete_prefix(filled, b"", 100) == len(VALUES)
    assert values_of(filled, "records") == {}
    assert delete_prefix(filled, b"", 100) == 0


def test_many_pages_of_a_prefix_are_deleted(environment, put, values_of):
    put("records", {b"%d-%04d" % (head, n): bytes(200) for head in (1, 2, 3) for n in range(500)})
    assert delete_prefix(environment, b"2-", 10_000) == 500
    left = values_of(environment, "records")
    assert len(left) == 1_000
    assert not any(key.startswith(b"2-") for key in left)


def test_changes_are_counted_and_reads_are_not(filled):
    def write(transaction):
        transaction.get("records", b"a")
        transaction.get_many("records", [b"a"])
        list(transaction.scan("records"))
        before = transaction.changes
        changes = []
        for change in (
            lambda: transaction.put("records", b"k", b"v"),
            lambda: transaction.put_parts("records", b"k", [b"v"]),
            lambda: transaction.put_many("records", [(b"k", b"v")]),
            lambda: transaction.delete("records", b"k"),
            lambda: transaction.delete_prefix("records", b"a", 1),
        ):
            change()
            changes.append(transaction.changes)
        return before, changes

    assert filled.write(write) == (0, [1, 2, 3, 4, 5])


def adds(environment, change):
    """Whether a transaction stores something new by ``change``."""

    def write(transaction):
        before = transaction.adds
        change(transaction)
        return before, transaction.adds

    before, after = environment.write(write)
    assert not before
    return after


@pytest.mark.parametrize("table", format.TABLES)
def test_what_a_delete_stores_is_told_from_what_is_new(environment, table):
    expected = table not in (
        *("database", "states", "dropped", "operations", "tombs", "keys", "key_times", "patches"),
        *("principals", "grants", "access", "postings", "cache_states", "cache_floors"),
    )
    assert adds(environment, lambda one: one.put(table, b"k", b"v")) is expected
    assert adds(environment, lambda one: one.put_parts(table, b"k", [b"v"])) is expected
    assert adds(environment, lambda one: one.put_many(table, [(b"k", b"v")])) is expected
    assert not adds(environment, lambda one: one.delete(table, b"k"))
    assert not adds(environment, lambda one: one.delete_prefix(table, b"", 5))


def test_one_new_value_makes_a_transaction_one_that_adds(environment):
    def change(transaction):
        transaction.put("records", b"k", b"v")
        transaction.put("states", b"k", b"v")
        transaction.delete("records", b"k")

    assert adds(environment, change)


def test_pages_are_those_of_all_tables(environment, put):
    with environment.read() as transaction:
        before = transaction.pages()
    put("records", {b"%04d" % n: bytes(1_000) for n in range(300)})
    put("payloads", {b"large": bytes(100_000)})
    with environment.read() as transaction:
        grown = transaction.pages() - before
    assert 100 + 25 <= grown <= 110 + 25  # three or so to a page, and 25 side by side


def test_entries_are_counted_by_table(filled):
    with filled.read() as transaction:
        assert transaction.entries("records") == len(VALUES)
        assert transaction.entries("payloads") == 1
        assert transaction.entries("keys") == 0


def test_damaged_values_are_listed_and_all_are_counted(filled):
    def damage(transaction):
        raw, table = transaction._lmdb, transaction._tables["records"]
        raw.put(b"ab1", b"never sealed", db=table)
        raw.put(b"b", b"", db=table)

    filled.write(damage)
    seen = []
    with filled.read() as transaction:
        damaged = list(transaction.scan_damaged("records", lambda: seen.append(1)))
    assert [key for key, _ in damaged] == [b"ab1", b"b"]
    assert all("checksum" in error.message for _, error in damaged)
    assert len(seen) == len(VALUES)
