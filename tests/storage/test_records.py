"""Ids as keys: both ways, and in the order of the ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.errors import DataCorruption
from vecdb.storage.format import ID_INT, ID_STR, RECORD
from vecdb.storage.records import (
    get_records,
    id_keys,
    id_kind,
    ids_of_keys,
    pack_record,
    unpack_record,
)

INTS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NUMBERS = st.integers(0, 2**32 - 1)


@given(number=NUMBERS, values=st.lists(INTS, min_size=1))
def test_integers_come_back_and_their_keys_sort_as_they_do(number, values):
    ids = np.array(values, np.int64)
    keys = id_keys(number, ids)
    assert ids_of_keys(keys, id_kind(ids)).tolist() == values
    assert ids_of_keys(sorted(keys), ID_INT).tolist() == sorted(values)
    assert {len(key) for key in keys} == {12}


@given(number=NUMBERS, texts=st.lists(TEXTS, min_size=1))
def test_texts_come_back_and_their_keys_sort_by_code_point(number, texts):
    keys = id_keys(number, texts)
    assert ids_of_keys(keys, id_kind(texts)) == texts
    assert ids_of_keys(sorted(keys), ID_STR) == sorted(texts)


def test_keys_of_one_collection_never_begin_as_those_of_another():
    for ids in (np.arange(3), ["a", "b"]):
        assert not set(id_keys(1, ids)) & set(id_keys(256, ids))
        assert all(key.startswith(b"\0\0\0\1") for key in id_keys(1, ids))


def test_kind_is_told_by_the_type_even_where_there_are_no_ids():
    assert id_kind(np.empty(0, np.int64)) == ID_INT
    assert id_kind([]) == ID_STR
    assert ids_of_keys([], ID_INT).dtype == np.int64


def test_record_is_its_dtype():
    value = pack_record(2**63, 7)
    assert unpack_record(b"k", value) == (2**63, 7)
    row = np.frombuffer(value, RECORD)[0]
    assert (row["slot"], row["sequence"]) == (2**63, 7)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_record_of_another_length_is_damaged(size):
    with pytest.raises(DataCorruption, match=f"6b has {size} bytes, expected 16"):
        unpack_record(b"k", bytes(size))


def test_stored_records_are_found_by_their_keys(environment, put):
    put("records", {b"a": pack_record(1, 2), b"b": pack_record(3, 4)})
    with environment.read() as transaction:
        assert get_records(transaction, [b"b", b"c", b"a"]) == {b"a": (1, 2), b"b": (3, 4)}
