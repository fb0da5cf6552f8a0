"""Filters from the wire: the same meaning, the same shape, the same paths in errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.errors import InvalidArgument
from vecdb.filters.parse import parse_filter
from vecdb_client.errors import InvalidArgument as ClientInvalidArgument
from vecdb_client.filter_messages import filter_to_wire
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server.filters import filter_from_wire

FIELDS = {"lang": "keyword", "year": "int", "score": "float", "ok": "bool", "at": "datetime"}


def compare(field: str, operator: int, *values: pb.Value) -> pb.Filter:
    return pb.Filter(compare=pb.Comparison(field=field, operator=operator, values=values))


def all_of(*filters: pb.Filter) -> pb.Filter:
    return pb.Filter(all_of=pb.Filters(filters=filters))


EN = compare("lang", pb.EQ, pb.Value(text="en"))
DE = compare("lang", pb.EQ, pb.Value(text="de"))
NEW = compare("year", pb.GTE, pb.Value(integer=2020))
OLD = compare("year", pb.LT, pb.Value(integer=2024))
SOME = pb.Filter(any_of=pb.Filters(filters=[EN, NEW]))
NOT = pb.Filter(negate=EN)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (EN, {"lang": {"eq": "en"}}),
        (all_of(EN, NEW), {"lang": {"eq": "en"}, "year": {"gte": 2020}}),
        (all_of(NEW, OLD), {"year": {"gte": 2020, "lt": 2024}}),
        (all_of(EN, DE), {"and": [{"lang": {"eq": "en"}}, {"lang": {"eq": "de"}}]}),
        (
            all_of(all_of(EN), all_of(NEW)),
            {"and": [{"lang": {"eq": "en"}}, {"year": {"gte": 2020}}]},
        ),
        (all_of(), {}),
        (SOME, {"or": [{"lang": {"eq": "en"}}, {"year": {"gte": 2020}}]}),
        (NOT, {"not": {"lang": {"eq": "en"}}}),
        (
            all_of(EN, SOME, NOT),
            {
                "lang": {"eq": "en"},
                "or": [{"lang": {"eq": "en"}}, {"year": {"gte": 2020}}],
                "not": {"lang": {"eq": "en"}},
            },
        ),
        (all_of(EN, all_of(NEW)), {"and": [{"lang": {"eq": "en"}}, {"year": {"gte": 2020}}]}),
        (
            all_of(EN, all_of(all_of(NEW), all_of(OLD))),
            {"lang": {"eq": "en"}, "and": [{"year": {"gte": 2020}}, {"year": {"lt": 2024}}]},
        ),
        (all_of(NOT, NOT), {"and": [{"not": {"lang": {"eq": "en"}}}] * 2}),
        (compare("year", pb.IN), {"year": {"in": []}}),
        (compare("ok", pb.EXISTS, pb.Value(flag=False)), {"ok": {"exists": False}}),
        (compare("score", pb.NE, pb.Value(number=0.0)), {"score": {"ne": 0.0}}),
        (
            compare("year", pb.BETWEEN, pb.Value(integer=1), pb.Value(integer=2)),
            {"year": {"between": [1, 2]}},
        ),
        (
            compare("where", pb.WITHIN, *(pb.Value(number=one) for one in (1.0, 2.0, 3.0))),
            {"where": {"within": {"lat": 1.0, "lon": 2.0, "radius_m": 3.0}}},
        ),
        (
            compare("where", pb.BOX, *(pb.Value(integer=one) for one in (1, 2, 3, 4))),
            {"where": {"box": {"top": 1, "left": 2, "bottom": 3, "right": 4}}},
        ),
        (compare("body", pb.MATCH_ANY, pb.Value(text="a b")), {"body": {"match_any": "a b"}}),
    ],
)
def test_shape(message, expected):
    assert filter_from_wire(message) == expected


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Filter(), "filter"),
        (all_of(EN, pb.Filter()), "filter"),
        (pb.Filter(negate=pb.Filter()), "filter.not"),
        (pb.Filter(any_of=pb.Filters(filters=[EN, pb.Filter()])), "filter.or[1]"),
        (compare("lang", 0, pb.Value(text="x")), "filter.lang"),
        (compare("lang", 99, pb.Value(text="x")), "filter.lang"),
        (compare("lang", pb.EQ), "filter.lang.eq"),
        (compare("where", pb.WITHIN, pb.Value(number=1.0)), "filter.where.within"),
        (compare("where", pb.BOX), "filter.where.box"),
        (compare("body", pb.PHRASE), "filter.body.phrase"),
        (compare("year", pb.GTE, pb.Value(), pb.Value()), "filter.year.gte[0]"),
        (compare("lang", pb.EQ, pb.Value(text="x"), pb.Value(text="y")), "filter.lang.eq"),
        (compare("lang", pb.IN, pb.Value(text="x"), pb.Value()), "filter.lang.in[1]"),
        (compare("and", pb.EQ, pb.Value(text="x")), "filter.and"),
        (compare("not", pb.EQ, pb.Value(text="x")), "filter.not"),
    ],
)
def test_malformed_message_is_refused_by_path(message, field):
    with pytest.raises((InvalidArgument, ClientInvalidArgument)) as caught:
        filter_from_wire(message)
    assert caught.value.field == field


def test_deep_nesting_takes_time_in_proportion_to_its_size():
    message = EN
    for _ in range(40):  # to decode each level twice would take 2**40 steps
        message = all_of(EN, EN, message)
    tree = filter_from_wire(message)
    depth = 0
    while "and" in tree:
        tree, depth = tree["and"][-1], depth + 1
    assert depth == 40


values = {
    "lang": st.text(max_size=5),
    "year": st.integers(-(2**63), 2**63 - 1),
    "score": st.floats(allow_nan=False, allow_infinity=False),
    "ok": st.booleans(),
}


def comparisons():
    def of(field):
        value = values[field]
        single = st.sampled_from(["eq", "ne"])
        return st.one_of(
            st.builds(lambda op, v: {field: {op: v}}, single, value),
            st.builds(lambda v: {field: v}, value),
            st.builds(lambda v: {field: {"in": v}}, st.lists(value, max_size=3)),
            st.builds(lambda v: {field: {"all": v}}, st.lists(value, max_size=3)),
            st.builds(lambda v: {field: {"exists": v}}, st.booleans()),
            st.just({field: None}),
        )

    return st.sampled_from(sorted(values)).flatmap(of)


filters = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"and": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda a, b: {**a, **b}, inner, inner),
    ),
    max_leaves=8,
)


@given(filters)
def test_what_a_client_sends_means_what_was_written(written):
    message = pb.Filter.FromString(filter_to_wire(written).SerializeToString())
    assert parse_filter(filter_from_wire(message), FIELDS) == parse_filter(written, FIELDS)
