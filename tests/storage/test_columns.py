"""Columns and ids as the files of a segment hold them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vecdb.storage.columns import (
    MISSING,
    STATE_LIST,
    STATE_MISSING,
    STATE_NULL,
    STATE_VALUE,
    column_fault,
    decode_column,
    encode_column,
)
from vecdb.storage.segment_ids import decode_ids, encode_ids, texts_fault

VALUES = {
    "keyword": [MISSING, None, "b", ["é", "b", "é"], [], "", "\U0001f600"],
    "bool": [True, None, [False, True], MISSING, [], False, True],
    "int": [-(2**63), 2**63 - 1, [1, 2], None, [], MISSING, 0],
    "float": [1, -0.5, [1e300, 2], None, [], MISSING, 0.0],
    "uuid": [bytes(16), None, [bytes(range(16)), b"\xff" * 16], MISSING, [], b"\x01" * 16],
    "geo": [(90.0, -180.0), [(0.0, 0.5), (1.0, 2.0)], None, [], MISSING, (-1.5, 0.0)],
    "text": [["b", "a", "b"], [], (["é"], [], ["a", "b"]), (), None, MISSING, ["\U0001f600"]],
    "datetime": [1_700_000_000_000_000, [-1], None, [], MISSING, 0, 1],
}


def values_between(column, start, end):
    if column.kind == "text":
        cuts = [0, *column.text_ends.tolist()][start : end + 1]
        pairs = itertools.pairwise(cuts)
        return tuple([column.words[one] for one in column.values[a:b].tolist()] for a, b in pairs)
    values = column.values[start:end].tolist()
    if column.kind == "uuid":
        return [high.to_bytes(8) + low.to_bytes(8) for high, low in values]
    if column.kind == "geo":
        return [tuple(value) for value in values]
    return [column.words[value] for value in values] if column.kind == "keyword" else values


def read_back(column):
    """Each slot's value, in Python."""
    found = []
    start = 0
    for state, end in zip(column.state.tolist(), column.ends.tolist(), strict=True):
        values = values_between(column, start, end)
        found.append({STATE_MISSING: MISSING, STATE_NULL: None}.get(state, values))
        if state == STATE_VALUE:
            found[-1] = values[0]
        start = end
    return found


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_every_kind_come_back(kind):
    arrays = encode_column(kind, VALUES[kind])
    assert column_fault(kind, len(VALUES[kind]), arrays) is None
    assert read_back(decode_column(kind, arrays)) == VALUES[kind]


@pytest.mark.parametrize("kind", VALUES)
def test_column_without_any_value_comes_back(kind):
    arrays = encode_column(kind, [MISSING, None])
    assert column_fault(kind, 2, arrays) is None
    column = decode_column(kind, arrays)
    assert (column.state.tolist(), column.words) == ([STATE_MISSING, STATE_NULL], ())


def test_words_are_sorted_and_stored_once():
    arrays = encode_column("keyword", ["b", "a", ["a", "b"], "é"])
    assert decode_column("keyword", arrays).words == ("a", "b", "é")
    assert arrays["values"].tolist() == [1, 0, 0, 1, 2]


def test_types_in_the_file_are_those_of_the_document():
    arrays = encode_column("keyword", ["a"])
    assert {name: array.dtype.str for name, array in arrays.items()} == {
        "state": "|u1",
        "ends": "<u4",
        "values": "<u4",
        "word_ends": "<u8",
        "word_text": "|u1",
    }
    kinds = {kind: encode_column(kind, [])["values"].dtype.str for kind in VALUES}
    assert kinds == {
        "keyword": "<u4",
        "bool": "|u1",
        "int": "<i8",
        "float": "<f8",
        "datetime": "<i8",
        "uuid": "<u8",
        "geo": "<f8",
        "text": "<u4",
    }


def test_states_have_never_been_renumbered():
    assert (STATE_MISSING, STATE_NULL, STATE_VALUE, STATE_LIST) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "place", "value", "fault"),
    [
        ("state", 0, 4, "contradict"),
        ("state", 0, STATE_LIST, None),
        ("state", 1, STATE_VALUE, "contradict"),
        ("ends", 0, 0, "contradict"),
        ("ends", 2, 9, "contradict"),
        ("values", 0, 7, "not there"),
        ("word_ends", 0, 9, "not in order"),
        ("word_text", 0, 0xFF, "UTF-8"),
    ],
)
def test_arrays_that_contradict_each_other_are_found(name, place, value, fault):
    arrays = encode_column("keyword", ["a", None, ["b", "a"]])
    arrays[name] = arrays[name].copy()
    arrays[name][place] = value
    found = column_fault("keyword", 3, arrays)
    assert found is None if fault is None else fault in found


def test_arrays_of_another_kind_or_length_are_found():
    arrays = encode_column("int", [1, 2])
    assert "type float" in column_fault("float", 2, arrays)
    assert "3 slots" in column_fault("int", 3, arrays)
    assert column_fault("int", 2, {"state": arrays["state"]}) is not None


@pytest.mark.parametrize("ids", [["a", "", "é\U0001f600", "b" * 256], [""], ["x"]])
def test_text_ids_are_taken_by_slot(ids):
    arrays = encode_ids(ids)
    assert texts_fault(arrays["id_ends"], arrays["id_text"]) is None
    found = decode_ids(arrays, 2)
    assert len(found) == len(ids)
    for dtype in (np.int64, np.uint32):
        slots = np.arange(len(ids), dtype=dtype)[::-1]
        assert found.take(slots) == ids[::-1]
    assert found.take(np.empty(0, np.int64)) == []


def test_integer_ids_are_taken_by_slot():
    ids = np.array([5, -(2**63), 2**63 - 1])
    found = decode_ids(encode_ids(ids), 1)
    assert found.take(np.array([2, 0, 2])).tolist() == [2**63 - 1, 5, 2**63 - 1]
    assert (len(found), found.nbytes) == (3, 24)


def test_text_cut_inside_a_character_is_found():
    arrays = encode_ids(["é", "b"])
    arrays["id_ends"][0] = 1
    assert "inside a character" in texts_fault(arrays["id_ends"], arrays["id_text"])


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("uuid", {"values": np.zeros(2, "<u8")}),
        ("geo", {"values": np.zeros((1, 3), "<f8")}),
        ("text", {"text_ends": np.array([9], "<u8")}),
        ("text", {"text_ends": np.array([2, 1, 3], "<u8")}),
        ("text", {"values": np.array([7, 7, 7], "<u4")}),
    ],
)
def test_damaged_column_of_pairs_or_texts_is_told(kind, change):
    values = {"uuid": [bytes(16)], "geo": [(1.0, 2.0)], "text": [["a", "b", "c"]]}[kind]
    arrays = encode_column(kind, values)
    assert column_fault(kind, 1, arrays) is None
    assert column_fault(kind, 1, arrays | change)
