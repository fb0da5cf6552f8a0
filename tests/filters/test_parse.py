"""What is malformed, does not fit, or is too large is refused with the path of what is wrong."""

from __future__ import annotations

import math
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb import limits
from vecdb.errors import InvalidArgument, LimitExceeded
from vecdb.filters import Compare, F, Node, parse_filter

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "score": "float", "at": "datetime"}


def error_of(tree: object, fields: dict[str, str] = FIELDS) -> InvalidArgument | LimitExceeded:
    with pytest.raises((InvalidArgument, LimitExceeded)) as caught:
        parse_filter(tree, fields)
    assert str(caught.value).startswith(caught.value.field + ":")
    return caught.value


def nested(depth: int, word: str = "not") -> dict:
    """A filter of exactly that depth."""
    tree: dict = {"ok": True}
    for _ in range(depth - 1):
        tree = {"not": tree} if word == "not" else {word: [tree]}
    return tree


def test_no_filter_is_none():
    assert parse_filter(None, FIELDS) is None


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        # shape
        ("lang = 'en'", "filter"),
        (5, "filter"),
        (True, "filter"),
        ([{"lang": "en"}], "filter"),
        (F("lang"), "filter"),
        (F, "filter"),
        (dict, "filter"),
        ({5: "en"}, "filter"),
        ({None: "en"}, "filter"),
        ({"and": {"lang": "en"}}, "filter.and"),
        ({"and": "lang"}, "filter.and"),
        ({"or": None}, "filter.or"),
        ({"or": [{"lang": "en"}, 5]}, "filter.or[1]"),
        ({"and": [None]}, "filter.and[0]"),
        ({"not": [{"lang": "en"}]}, "filter.not"),
        ({"not": None}, "filter.not"),
        ({"lang": {}}, "filter.lang"),
        ({"lang": {5: "en"}}, "filter.lang"),
        ({"lang": {"$eq": "en"}}, "filter.lang.$eq"),
        ({"lang": {"lang": "en"}}, "filter.lang.lang"),
        ({"lang": ["en", "de"]}, "filter.lang"),
        ({"and": [{}, {}, {"lang": {"gte": 5}}]}, "filter.and[2].lang.gte"),
        ({"ok": True, "or": [{"not": {"year": {"in": [1, "2"]}}}]}, "filter.or[0].not.year.in[1]"),
        # operands
        ({"lang": {"eq": None}}, "filter.lang"),
        ({"lang": {"eq": ["en"]}}, "filter.lang"),
        ({"lang": {"eq": {"eq": "en"}}}, "filter.lang"),
        ({"lang": {"eq": F("lang") == "en"}}, "filter.lang"),
        ({"lang": F("lang") == "en"}, "filter.lang"),
        ({"lang": {"in": "en"}}, "filter.lang.in"),
        ({"lang": {"in": {"en"}}}, "filter.lang.in"),
        ({"lang": {"in": ["en", None]}}, "filter.lang.in[1]"),
        ({"lang": {"in": ["en", "de", "fr", 4]}}, "filter.lang.in[3]"),
        ({"lang": {"all": [["en"]]}}, "filter.lang.all[0]"),
        ({"lang": {"any": None}}, "filter.lang.any"),
        ({"lang": {"exists": 1}}, "filter.lang.exists"),
        ({"lang": {"exists": None}}, "filter.lang.exists"),
        ({"lang": {"null": "true"}}, "filter.lang.null"),
        ({"year": {"between": 3}}, "filter.year.between"),
        ({"year": {"between": [1]}}, "filter.year.between"),
        ({"year": {"between": [1, 2, 3]}}, "filter.year.between"),
        ({"year": {"between": [3, 1]}}, "filter.year.between"),
        ({"year": {"between": [1, "3"]}}, "filter.year.between[1]"),
        ({"lang": {"between": ["b", "a"]}}, "filter.lang.between"),
        # operators that a type does not have
        ({"ok": {"lt": True}}, "filter.ok.lt"),
        ({"ok": {"between": [False, True]}}, "filter.ok.between"),
        ({"ok": {"prefix": "t"}}, "filter.ok.prefix"),
        ({"year": {"prefix": "20"}}, "filter.year.prefix"),
        ({"at": {"prefix": "2024"}}, "filter.at.prefix"),
        ({"score": {"prefix": "1"}}, "filter.score.prefix"),
        # values of another type: nothing is coerced
        ({"lang": 5}, "filter.lang"),
        ({"lang": True}, "filter.lang"),
        ({"lang": b"en"}, "filter.lang"),
        ({"lang": {"prefix": 5}}, "filter.lang.prefix"),
        ({"ok": 1}, "filter.ok"),
        ({"ok": "true"}, "filter.ok"),
        ({"ok": np.bool_(True)}, "filter.ok"),
        ({"year": True}, "filter.year"),
        ({"year": "2020"}, "filter.year"),
        ({"year": 2020.0}, "filter.year"),
        ({"year": np.int64(2020)}, "filter.year"),
        ({"score": True}, "filter.score"),
        ({"score": "1"}, "filter.score"),
        ({"score": np.float32(1)}, "filter.score"),
        ({"at": 1714564800}, "filter.at"),
        ({"at": date(2024, 5, 1)}, "filter.at"),
        # values out of range
        ({"year": 2**63}, "filter.year"),
        ({"year": -(2**63) - 1}, "filter.year"),
        ({"year": 10**5000}, "filter.year"),
        ({"score": math.nan}, "filter.score"),
        ({"score": {"lt": math.inf}}, "filter.score.lt"),
        ({"score": 10**400}, "filter.score"),
        ({"lang": "\ud800"}, "filter.lang"),
        # datetimes
        ({"at": "yesterday"}, "filter.at"),
        ({"at": "2024-05-01"}, "filter.at"),
        ({"at": "2024-05-01T12:00:00"}, "filter.at"),
        ({"at": "\ud800"}, "filter.at"),
        ({"at": datetime(2024, 5, 1)}, "filter.at"),
        ({"at": {"gte": datetime(2024, 5, 1)}}, "filter.at.gte"),
    ],
)
def test_malformed_filter_names_the_path(tree, path):
    error = error_of(tree)
    assert type(error) is InvalidArgument
    assert error.field == path


@pytest.mark.parametrize(
    ("tree", "advice"),
    [
        ({"lang": ["en", "de"]}, '{"in": [...]}'),
        ({"lang": {"eq": None}}, '{"null": true}'),
        ({"year": np.int64(3)}, ".item()"),
        ({"at": datetime(2024, 5, 1)}, "tzinfo=timezone.utc"),
        ({"ok": {"lt": True}}, "It has eq, ne, in, any, all, exists, null"),
        ({"year": {"between": [3, 1]}}, "Swap them"),
    ],
)
def test_error_tells_what_to_do(tree, advice):
    assert advice in str(error_of(tree))


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"color": "red"}, "filter.color"),
        ({"and": [{"lang": "en"}, {"not": {"color": {"eq": "red"}}}]}, "filter.and[1].not.color"),
        ({"AND": []}, "filter.AND"),
    ],
)
def test_undeclared_field_is_refused_and_the_declared_ones_named(tree, path):
    error = error_of(tree)
    assert error.field == path
    assert error.reason == "UNINDEXED_FIELD"
    assert error.hint == "Declared are: at, lang, ok, score, year; add_field declares another"


def test_undeclared_field_of_a_collection_without_fields_is_refused():
    error = error_of({"lang": "en"}, {})
    assert error.reason == "UNINDEXED_FIELD"
    assert "declares no fields" in error.hint


def test_list_of_declared_fields_in_an_error_is_bounded():
    error = error_of({"lang": "en"}, {f"f{number}": "int" for number in range(200)})
    assert ", ...; " in error.hint
    assert len(error.hint) < 200


def test_key_from_outside_is_shortened_and_printable_in_an_error():
    assert len(str(error_of({"x" * 100_000: 1}))) < 300
    assert "\n" not in str(error_of({"a\nb": 1}))
    str(error_of({"\ud800": 1})).encode()


def test_messages_hold_no_values():
    secrets = [
        {"lang": {"in": ["secret", 1]}},
        {"at": "secret"},
        {"ok": "secret"},
        {"lang": "secret" * 100},
        {"year": {"between": [271828, 1]}},
        {"lang": {"exists": "secret"}},
    ]
    for tree in secrets:
        message = str(error_of(tree))
        assert "secret" not in message
        assert "271828" not in message


@pytest.mark.parametrize("word", ["not", "and", "or"])
def test_filter_of_the_largest_depth_is_accepted(word):
    parse_filter(nested(limits.FILTER_DEPTH, word), FIELDS)


@pytest.mark.parametrize("word", ["not", "and", "or"])
def test_deeper_filter_is_refused(word):
    error = error_of(nested(limits.FILTER_DEPTH + 1, word))
    assert isinstance(error, LimitExceeded)
    step = f".{word}" if word == "not" else f".{word}[0]"
    assert error.field == "filter" + step * limits.FILTER_DEPTH + ".ok"
    assert (error.limit, error.actual) == (limits.FILTER_DEPTH, limits.FILTER_DEPTH + 1)


def test_dict_of_several_conditions_is_one_deeper():
    inner = {"ok": True, "year": 1}
    for _ in range(limits.FILTER_DEPTH - 2):
        inner = {"not": inner}
    parse_filter(inner, FIELDS)
    assert isinstance(error_of({"not": inner}), LimitExceeded)


@pytest.mark.parametrize("word", ["not", "and", "or"])
def test_hostile_nesting_is_refused_without_recursion(word):
    assert isinstance(error_of(nested(100_000, word)), LimitExceeded)


def test_cyclic_filter_is_refused():
    tree: dict = {"ok": True}
    tree["not"] = tree
    assert isinstance(error_of(tree), LimitExceeded)
    ring: dict = {}
    ring["and"] = [ring] * 2000
    assert isinstance(error_of(ring), LimitExceeded)


def test_filter_of_the_most_nodes_is_accepted():
    parse_filter({"or": [{"ok": True}] * (limits.FILTER_NODES - 1)}, FIELDS)


def test_filter_of_more_nodes_is_refused():
    error = error_of({"or": [{"ok": True}] * limits.FILTER_NODES})
    assert isinstance(error, LimitExceeded)
    assert error.limit == limits.FILTER_NODES
    assert error.field == f"filter.or[{limits.FILTER_NODES - 1}].ok"


def test_every_operator_of_a_dict_is_a_node():
    pair = {"year": {"gte": 1, "lt": 5}}  # three nodes: two comparisons and their AND
    fitting = (limits.FILTER_NODES - 1) // 3
    parse_filter({"and": [pair] * fitting}, FIELDS)
    assert isinstance(error_of({"and": [pair] * (fitting + 1)}), LimitExceeded)


def test_dict_of_too_many_keys_is_refused():
    fields = {f"f{number}": "int" for number in range(2000)}
    error = error_of(dict.fromkeys(fields, 1), fields)
    assert isinstance(error, LimitExceeded)
    assert error.field == "filter"


@pytest.mark.parametrize("operator", ["in", "any", "all"])
def test_lists_of_values_are_bounded(operator):
    values = list(range(limits.FILTER_VALUES))
    node = parse_filter({"year": {operator: values}}, FIELDS)
    assert isinstance(node, Compare)
    assert len(node.values) == limits.FILTER_VALUES
    error = error_of({"year": {operator: [*values, 1]}})
    assert isinstance(error, LimitExceeded)
    assert error.field == f"filter.year.{operator}"
    assert (error.limit, error.actual) == (limits.FILTER_VALUES, limits.FILTER_VALUES + 1)


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_keyword_is_bounded_in_bytes(character):
    fitting = character * (limits.KEYWORD_BYTES // len(character.encode()))
    parse_filter({"lang": fitting}, FIELDS)
    error = error_of({"lang": {"in": ["en", fitting + character]}})
    assert isinstance(error, LimitExceeded)
    assert error.field == "filter.lang.in[1]"
    assert error.actual == limits.KEYWORD_BYTES + len(character.encode())


class Foreign:
    """What another package's expression looks like."""

    def __init__(self, tree: object) -> None:
        self.tree = tree

    def to_dict(self) -> object:
        return self.tree


def test_anything_with_to_dict_is_a_filter():
    expected = parse_filter({"lang": "en"}, FIELDS)
    assert parse_filter(Foreign({"lang": "en"}), FIELDS) == expected
    assert parse_filter({"and": [Foreign({"lang": "en"})]}, FIELDS) == expected
    assert parse_filter({"not": ~(F("lang") == "en")}, FIELDS) == expected


def test_to_dict_that_gives_something_else_is_refused():
    assert error_of(Foreign([1])).field == "filter"
    assert error_of(Foreign(Foreign({"lang": "en"}))).field == "filter"


def test_tuples_are_lists():
    assert parse_filter({"and": ({"year": {"in": (1, 2)}},)}, FIELDS) == parse_filter(
        {"year": {"in": [1, 2]}}, FIELDS
    )


def test_parsing_leaves_the_filter_as_it_was():
    tree = {"or": [{"lang": {"in": ["b", "a"]}}, {"year": 1, "ok": True}]}
    before = repr(tree)
    parse_filter(tree, FIELDS)
    assert repr(tree) == before


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "eq", "in", "between", *FIELDS])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


def outcome_of(tree: object) -> Node | InvalidArgument | LimitExceeded | None:
    try:
        return parse_filter(tree, FIELDS)
    except (InvalidArgument, LimitExceeded) as error:
        return error


@settings(deadline=None, max_examples=300)
@given(tree=JUNK)
def test_junk_is_a_filter_or_a_typed_error_with_a_path(tree):
    outcome = outcome_of(tree)
    if isinstance(outcome, InvalidArgument | LimitExceeded):
        assert outcome.field.startswith("filter")
    else:
        assert (outcome is None) == (tree is None)


@settings(deadline=None, max_examples=200)
@given(text=st.text() | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ"))
def test_any_text_is_a_datetime_or_a_typed_error(text):
    outcome = outcome_of({"at": text})
    if isinstance(outcome, InvalidArgument):
        assert outcome.field == "filter.at"
    else:
        assert isinstance(outcome, Compare)
        assert type(outcome.values[0]) is int
