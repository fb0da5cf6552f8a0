"""Conditions: parsed once, asked of every record of a batch, told apart by their text."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection.conditions import KINDS, parse_condition
from vecdb.errors import InvalidArgument, LimitExceeded, PreconditionFailed
from vecdb.storage.records import id_keys

FIELDS = {"lang": "keyword", "year": "int"}


def text(condition):
    return parse_condition(condition, FIELDS).text


def test_no_condition_is_none():
    assert parse_condition(None, FIELDS) is None


def test_different_conditions_have_different_texts():
    conditions = [
        {"if_absent": True},
        {"if_present": True},
        {"if_sequence": 1},
        {"if_sequence": 11},
        {"filter": {"lang": "en"}},
        {"filter": {"lang": "de"}},
        {"filter": {"year": 1}},
        {"filter": {}},
    ]
    assert len({text(one) for one in conditions}) == len(conditions)


def test_equal_filters_have_one_text():
    one = {"filter": {"lang": "en", "year": {"in": [2, 1, 2]}}}
    other = {"filter": {"and": [{"year": {"any": [1, 2]}}, {"lang": {"eq": "en"}}]}}
    assert text(one) == text(other)


def test_sequence_may_come_from_numpy():
    assert text({"if_sequence": np.int64(7)}) == text({"if_sequence": 7})
    assert type(parse_condition({"if_sequence": np.uint64(7)}, FIELDS).sequence) is int


@pytest.mark.parametrize(
    "condition",
    [
        "if_absent",
        ["if_absent"],
        {},
        {"if_absent": True, "if_sequence": 1},
        {"if_absent": 1},
        {"if_present": False},
        {"if_sequence": 0},
        {"if_sequence": True},
        {"if_sequence": 1.0},
        {"filter": None},
        {"unless": True},
        {None: True},
    ],
)
def test_malformed_condition_names_the_kinds(condition):
    with pytest.raises(InvalidArgument) as caught:
        parse_condition(condition, FIELDS)
    assert caught.value.field == "condition"
    assert all(kind in caught.value.message for kind in KINDS)
    assert "if_absent" in caught.value.hint


def test_error_inside_a_filter_is_named_by_its_path():
    with pytest.raises(InvalidArgument) as caught:
        parse_condition({"filter": {"or": [{"year": {"gt": "x"}}]}}, FIELDS)
    assert caught.value.field == "condition.filter.or[0].year.gt"
    with pytest.raises(LimitExceeded):
        parse_condition({"filter": {"or": [{"year": n} for n in range(2_000)]}}, FIELDS)


def test_every_record_of_the_batch_is_asked(docs):
    vectors = np.ones((4, 4), np.float32)
    first = docs.upsert([1, 2], vectors[:2], [{"group": 1}, None]).sequence
    stored = {1: (0, first), 2: (1, first)}
    cases = {
        "if_absent": ({"if_absent": True}, {3: True, 1: False}),
        "if_present": ({"if_present": True}, {1: True, 3: False}),
        "if_sequence": ({"if_sequence": first}, {1: True, 2: True, 3: False}),
        "other sequence": ({"if_sequence": first + 1}, {1: False, 3: False}),
        "filter": ({"filter": {"group": 1}}, {1: True, 2: False, 3: False}),
        "filter of none": ({"filter": {"group": {"exists": False}}}, {2: True, 1: False, 3: False}),
        "filter of all": ({"filter": {}}, {1: True, 2: True, 3: False}),
    }
    with docs._store.view("docs") as view:
        for condition, expected in cases.values():
            parsed = parse_condition(condition, {"group": "int"})
            for id, holds in expected.items():
                (key,) = id_keys(view.row.number, np.array([id]))
                found = {key: stored[id]} if id in stored else {}
                if holds:
                    parsed.require(view.transaction, [key], found)
                else:
                    with pytest.raises(PreconditionFailed, match="nothing of the batch") as caught:
                        parsed.require(view.transaction, [key], found)
                    assert caught.value.field == "ids[0]"
