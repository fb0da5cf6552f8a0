"""Filters that say the same have one canonical form, so they are equal and hash equally."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecdb.filters import (
    EVERYTHING,
    NOTHING,
    And,
    Compare,
    F,
    Node,
    Not,
    Or,
    parse_filter,
)

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int", "score": "float", "at": "datetime"}
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def canonical(tree: object) -> Node:
    node = parse_filter(tree, FIELDS)
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"lang": "en"}, {"lang": {"eq": "en"}}),
        ({"lang": "en"}, {"lang": {"in": ["en"]}}),
        ({"lang": "en"}, {"lang": {"all": ["en", "en"]}}),
        ({"lang": {"in": ["en", "de"]}}, {"lang": {"any": ["de", "en", "de"]}}),
        ({"lang": {"in": []}}, {"or": []}),
        ({"lang": {"all": []}}, {"lang": {"exists": True}}),
        ({"lang": {"prefix": ""}}, {"lang": {"exists": True}}),
        ({"lang": {"exists": False}}, {"not": {"lang": {"exists": True}}}),
        ({"lang": None}, {"lang": {"null": True}}),
        ({"lang": {"null": False}}, {"not": {"lang": None}}),
        ({"year": {"between": [3, 3]}}, {"year": 3}),
        ({"score": 3}, {"score": 3.0}),
        ({"score": -0.0}, {"score": 0.0}),
        ({"at": NOON}, {"at": "2024-05-01T14:00:00+02:00"}),
        ({"at": NOON}, {"at": NOON.astimezone(timezone(timedelta(hours=-5)))}),
        ({"lang": "en", "year": 3}, {"and": [{"year": 3}, {"lang": "en"}]}),
        ({"year": {"gte": 1, "lt": 5}}, {"and": [{"year": {"lt": 5}}, {"year": {"gte": 1}}]}),
        ({"and": [{"lang": "en"}]}, {"lang": "en"}),
        ({"or": [{"lang": "en"}, {"lang": "en"}]}, {"lang": "en"}),
        ({"and": [{"and": [{"ok": True}, {"year": 1}]}, {"lang": "en"}]},
         {"ok": True, "year": 1, "lang": "en"}),
        ({"not": {"not": {"lang": "en"}}}, {"lang": "en"}),
        ({"not": {"and": [{"ok": True}, {"year": 1}]}},
         {"or": [{"not": {"year": 1}}, {"not": {"ok": True}}]}),
        ({"and": [{"lang": "en"}, {}]}, {"lang": "en"}),
        ({"and": [{"lang": "en"}, {"or": []}]}, {"or": []}),
        ({"or": [{"lang": "en"}, {}]}, {}),
        ({"or": [{"lang": "en"}, {"or": []}]}, {"lang": "en"}),
        ({"not": {}}, {"or": []}),
        ({"not": {"or": []}}, {"and": []}),
        ({"lang": "en", "and": [{"year": 1}], "or": [{"ok": True}]},
         {"or": [{"ok": True}], "and": [{"year": 1}], "lang": "en"}),
    ],
)  # fmt: skip
def test_filters_that_say_the_same_are_equal(one, other):
    assert canonical(one) == canonical(other)
    assert hash(canonical(one)) == hash(canonical(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"year": {"between": [1, 3]}}, {"year": {"gte": 1, "lte": 3}}),  # differ on lists
        ({"lang": {"ne": "en"}}, {"not": {"lang": "en"}}),  # differ where lang is missing
        ({"lang": {"exists": False}}, {"lang": {"null": True}}),
        ({"lang": {"in": ["a", "b"]}}, {"lang": {"all": ["a", "b"]}}),
        ({"lang": {"lt": "a"}}, {"lang": {"lte": "a"}}),
        ({}, {"or": []}),
        ({"ok": True, "year": 1}, {"or": [{"ok": True}, {"year": 1}]}),
    ],
)
def test_filters_that_say_different_things_are_not_equal(one, other):
    assert canonical(one) != canonical(other)


def test_constants_are_groups_without_children():
    assert canonical({}) == EVERYTHING == And(())
    assert canonical({"lang": {"in": []}}) == NOTHING == Or(())


def test_nodes_are_as_documented():
    assert canonical({"lang": "en"}) == Compare("lang", "eq", ("en",))
    assert canonical({"at": NOON}) == Compare("at", "eq", (1_714_564_800_000_000,))
    assert canonical({"lang": {"in": ["b", "a"]}}) == Compare("lang", "in", ("a", "b"))
    assert canonical({"lang": {"exists": False}}) == Not(Compare("lang", "exists"))
    assert canonical({"year": 1, "ok": True}) == And(
        (Compare("ok", "eq", (True,)), Compare("year", "eq", (1,)))
    )


def test_float_field_holds_floats_only():
    node = canonical({"score": {"in": [1, 2.5]}})
    assert isinstance(node, Compare)
    assert [type(value) for value in node.values] == [float, float]


def test_nodes_cannot_be_changed():
    node = canonical({"lang": "en"})
    with pytest.raises(AttributeError):
        node.field = "other"


LEAVES = st.sampled_from(
    [{"lang": "en"}, {"lang": {"ne": "en"}}, {"ok": True}, {"year": {"lt": 3}}, {"year": None}, {}]
)
TREES = st.recursive(
    LEAVES,
    lambda part: (
        st.builds(lambda parts: {"and": parts}, st.lists(part, max_size=4))
        | st.builds(lambda parts: {"or": parts}, st.lists(part, max_size=4))
        | st.builds(lambda one: {"not": one}, part)
    ),
    max_leaves=10,
)


def shuffled(tree, random):
    """The same filter with its groups in another order and its parts repeated."""
    if "not" in tree:
        return {"not": {"not": {"not": shuffled(tree["not"], random)}}}
    for word in ("and", "or"):
        if word in tree:
            parts = [shuffled(part, random) for part in tree[word]]
            random.shuffle(parts)
            return {word: [{word: parts}, *parts[:1]]}
    return tree


@settings(deadline=None, max_examples=200)
@given(tree=TREES, random=st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_change_the_canonical_form(tree, random):
    node = canonical(tree)
    other = canonical(shuffled(tree, random))
    assert other == node
    assert hash(other) == hash(node)


def check_canonical(node: Node) -> None:
    if isinstance(node, Not):
        assert isinstance(node.child, Compare)
    elif isinstance(node, And | Or):
        assert len(node.children) != 1
        assert list(node.children) == sorted(set(node.children), key=repr)
        for child in node.children:
            assert child not in (EVERYTHING, NOTHING)
            assert type(child) is not type(node)
            check_canonical(child)


@settings(deadline=None, max_examples=200)
@given(tree=TREES)
def test_parsed_filter_is_canonical_throughout(tree):
    check_canonical(canonical(tree))


def test_expression_of_the_builder_equals_its_dict_form():
    built = ((F("lang") == "en") & (F("year") >= 2020)) | ~(F("ok") == True)  # noqa: E712
    written = {"or": [{"lang": "en", "year": {"gte": 2020}}, {"not": {"ok": True}}]}
    assert canonical(built) == canonical(written)
