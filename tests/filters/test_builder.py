"""``F("lang") == "en"`` builds the dict form, and misuse is answered with advice."""

from __future__ import annotations

import pytest

from vecdb.errors import InvalidArgument
from vecdb.filters import F, parse_filter

FIELDS = {"lang": "keyword", "ok": "bool", "year": "int"}


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        (F("lang") == "en", {"lang": {"eq": "en"}}),
        (F("lang") != "en", {"lang": {"ne": "en"}}),
        (F("year") < 3, {"year": {"lt": 3}}),
        (F("year") <= 3, {"year": {"lte": 3}}),
        (F("year") > 3, {"year": {"gt": 3}}),
        (F("year") >= 3, {"year": {"gte": 3}}),
        (3 >= F("year"), {"year": {"lte": 3}}),  # noqa: SIM300
        (F("lang").isin(["en", "de"]), {"lang": {"in": ["en", "de"]}}),
        (F("year").isin(iter(range(2))), {"year": {"in": [0, 1]}}),
        (F("year").between(1, 3), {"year": {"between": [1, 3]}}),
        (F("lang").prefix("e"), {"lang": {"prefix": "e"}}),
        (F("lang").exists(), {"lang": {"exists": True}}),
        (F("lang").exists(False), {"lang": {"exists": False}}),
        (F("lang").is_null(), {"lang": {"null": True}}),
        (F("lang").is_null(False), {"lang": {"null": False}}),
        (F("lang").contains("en"), {"lang": {"eq": "en"}}),
        (F("lang").has_all(["en"]), {"lang": {"all": ["en"]}}),
        (~(F("lang") == "en"), {"not": {"lang": {"eq": "en"}}}),
        (
            (F("lang") == "en") & (F("year") > 1) & (F("year") < 3),
            {"and": [{"lang": {"eq": "en"}}, {"year": {"gt": 1}}, {"year": {"lt": 3}}]},
        ),
        (
            (F("lang") == "en") | ((F("year") > 1) | (F("year") < 3)),
            {"or": [{"lang": {"eq": "en"}}, {"year": {"gt": 1}}, {"year": {"lt": 3}}]},
        ),
        (
            ((F("lang") == "en") | (F("year") > 1)) & (F("year") < 3),
            {"and": [{"or": [{"lang": {"eq": "en"}}, {"year": {"gt": 1}}]}, {"year": {"lt": 3}}]},
        ),
    ],
)
def test_expression_builds_the_dict_form(expression, tree):
    assert expression.to_dict() == tree
    assert parse_filter(expression, FIELDS) == parse_filter(tree, FIELDS)


def test_long_chain_of_one_combinator_stays_flat():
    expression = F("year") == 0
    for year in range(1, 500):
        expression |= F("year") == year
    assert len(expression.to_dict()["or"]) == 500
    parse_filter(expression, FIELDS)  # not too deep


def test_and_or_and_not_raise_with_advice():
    one, other = F("lang") == "en", F("year") > 3
    with pytest.raises(TypeError, match=r"use & \| ~ instead of and, or, not"):
        one and other  # noqa: B018
    with pytest.raises(TypeError, match=r"use & \| ~ instead of and, or, not"):
        one or other  # noqa: B018
    with pytest.raises(TypeError, match=r"use & \| ~ instead of and, or, not"):
        not one  # noqa: B018


def test_chained_comparison_raises_with_advice():
    with pytest.raises(TypeError, match=r"\.between\(a, b\)"):
        1 <= F("year") <= 3  # noqa: B015


@pytest.mark.parametrize("other", [True, {"lang": "en"}, F("lang"), None])
def test_combining_with_something_else_raises_with_advice(other):
    with pytest.raises(TypeError, match="parentheses"):
        (F("lang") == "en") & other
    with pytest.raises(TypeError, match="parentheses"):
        (F("lang") == "en") | other


def test_forgotten_parentheses_raise():
    with pytest.raises(TypeError):
        F("lang") == "en" & F("year") > 3  # noqa: B015


def test_text_where_a_list_belongs_is_refused_not_split():
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(F("lang").isin("en"), FIELDS)
    assert caught.value.field == "filter.lang.in"
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(F("lang").has_all("en"), FIELDS)
    assert caught.value.field == "filter.lang.all"


def test_comparison_with_none_points_to_null():
    with pytest.raises(InvalidArgument, match="null"):
        parse_filter(F("lang") == None, FIELDS)  # noqa: E711


def test_field_named_as_a_combinator_cannot_pass_for_one():
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(F("and") == "en", FIELDS)
    assert caught.value.field == "filter.and"


def test_field_is_not_hashable():
    with pytest.raises(TypeError, match="unhashable"):
        {F("lang")}


def test_repr_shows_the_filter():
    assert repr(F("lang") == "en") == "Expression({'lang': {'eq': 'en'}})"
    assert repr(F("lang")) == "F('lang')"
