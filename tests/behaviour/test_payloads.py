"""Payloads: any JSON object, kept as it was given."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

KINDS = ("embedded", "remote")

ONE = np.array([[1, 2, 3, 4]], np.float32)

PAYLOADS = [
    {},
    {"": ""},
    {"null": None, "yes": True, "no": False},
    {"int": 0, "big": 2**70, "small": -(2**70), "wide": 10**400},
    {"float": 0.1, "tiny": 5e-324, "huge": 1.7976931348623157e308, "minus": -0.0},
    {"list": [], "nested": [[[]], {"a": [1, "b", None]}]},
    {"unicode": "Ünïcödé \U0001f600 \u2028 \x00 \x7f \ufffe", "\U0001f600": "key"},
    {'"\\/\b\f\n\r\t': "<script>&'"},
    {"lang": "not declared", "and": 1, "or": 2, "not": 3},
    {str(number): number for number in range(2_000)},
]


def chain(depth: int, *, lists: bool) -> dict:
    """A payload nested that deep."""
    inner: object = {} if not lists else []
    for _ in range(depth - 2):
        inner = [inner] if lists else {"a": inner}
    return {"a": inner}


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_json_object_comes_back_as_it_was(api, payload):
    docs = api.create()
    docs.upsert([1], ONE, [payload])
    docs.upsert([2], ONE, [json.dumps(payload).encode()])
    docs.upsert(rows=[{"id": 3, "vector": ONE[0], "payload": payload}])
    assert docs.get([1, 2, 3]).payloads == [payload] * 3
    assert docs.search(ONE[0]).payloads == [payload] * 3
    assert [one.payload for one in docs.scroll()] == [payload] * 3


def test_record_without_payload_has_none(api):
    docs = api.create()
    docs.upsert([1, 2, 3, 4], np.tile(ONE, (4, 1)), [None, {}, b"", {"a": 1}])
    docs.upsert([5], ONE)
    assert docs.get([1, 2, 3, 4, 5]).payloads == [None, {}, None, {"a": 1}, None]
    assert docs.search(ONE[0]).payloads == [None, {}, None, {"a": 1}, None]


def test_upsert_replaces_the_whole_payload(api):
    docs = api.create()
    docs.upsert([1, 2, 3], np.tile(ONE, (3, 1)), [{"a": 1}, {"a": 2}, {"a": 3}])
    docs.upsert([1], ONE, [{"b": 1}])
    docs.upsert([2], ONE, [None])
    docs.upsert([3], ONE)
    assert docs.get([1, 2, 3]).payloads == [{"b": 1}, None, None]


@pytest.mark.parametrize("lists", [False, True], ids=["objects", "lists"])
def test_payload_nests_64_deep_and_no_deeper(api, lists):
    docs = api.create()
    deepest = chain(64, lists=lists)
    docs.upsert([1], ONE, [deepest])
    assert docs.get([1]).payloads == [deepest]
    for payload in (chain(65, lists=lists), json.dumps(chain(65, lists=lists)).encode()):
        with api.refuses("LimitExceeded", "payloads[1]") as caught:
            docs.upsert([1, 2], np.tile(ONE, (2, 1)), [{}, payload])
        assert caught.value.limit == 64
    assert docs.get([1, 2]).payloads == [deepest]


def test_many_brackets_side_by_side_are_not_deep(api):
    docs = api.create()
    payload = {"a": [[] for _ in range(1_000)], "b": "[{" * 1_000}
    docs.upsert([1], ONE, [payload])
    assert docs.get([1]).payloads == [payload]


@pytest.mark.parametrize("text", [b'{"a":' * 9_000 + b"1" + b"}" * 9_000, b"[" * 50_000])
def test_text_nested_beyond_all_bounds_is_refused(api, text):
    docs = api.create()
    with api.refuses("InvalidArgument", "payloads[0]"):
        docs.upsert([1], ONE, [text])
    assert docs.count() == 0


def test_payload_of_one_mebibyte_is_the_largest(api):
    docs = api.create()
    largest = {"a": "x" * (2**20 - len('{"a":""}'))}
    docs.upsert([1], ONE, [largest])
    assert docs.get([1]).payloads == [largest]
    too_large = {"a": largest["a"] + "x"}
    for payload in (too_large, json.dumps(too_large).encode()):
        with api.refuses("LimitExceeded", "payloads[0]") as caught:
            docs.upsert([2], ONE, [payload])
        assert caught.value.limit == 2**20
    with api.refuses("LimitExceeded", "payloads[0]"):
        docs.upsert([2], ONE, [{"a": "é" * 2**19}])  # bytes count, not letters
    assert docs.count() == 1


@pytest.mark.parametrize(
    "payload",
    [
        [1],
        "text",
        5,
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": np.float32(1)},
        {"a": np.arange(3)},
        {(1, 2): "key"},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": 10**5_000},
        b"[1]",
        b"null",
        b'"text"',
        b'{"a":',
        b'{"a":1} {}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"\\uDFFF":1}',
        b"\xff\xfe",
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_object_is_refused_by_its_position(api, payload):
    docs = api.create()
    docs.upsert([1], ONE, [{"kept": 1}])
    with api.refuses("InvalidArgument", "payloads[1]"):
        docs.upsert([1, 2], np.tile(ONE, (2, 1)), [{}, payload])
    with api.refuses("InvalidArgument", "payload"):
        docs.set_payload([1], payload)
    assert docs.scroll().payloads == [{"kept": 1}]


def test_payload_that_holds_itself_is_refused(api):
    docs = api.create()
    payload: dict = {}
    payload["a"] = [payload]
    with api.refuses("InvalidArgument", "payloads[0]"):
        docs.upsert([1], ONE, [payload])


def test_error_does_not_tell_the_payload(api):
    docs = api.create(fields={"lang": "keyword"})
    for payload in ({"a": "secret\ud800"}, {"lang": ["secret", 5]}, b'{"secret": tru}'):
        with api.refuses("InvalidArgument") as caught:
            docs.upsert([1], ONE, [payload])
        assert "secret" not in str(caught.value)


def test_pair_of_surrogates_in_json_text_is_one_letter(api):
    docs = api.create()
    docs.upsert([1], ONE, [b'{"a":"\\ud83d\\ude00"}'])
    docs.set_payload([1], {"b": 1})
    assert docs.get([1]).payloads == [{"a": "\U0001f600", "b": 1}]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"lang": 5}, "payloads[1].lang"),
        ({"lang": "x" * 257}, "payloads[1].lang"),
        ({"year": "1999"}, "payloads[1].year"),
        ({"year": 1999.0}, "payloads[1].year"),
        ({"year": True}, "payloads[1].year"),
        ({"year": 2**63}, "payloads[1].year"),
        ({"year": [1, "2"]}, "payloads[1].year[1]"),
        ({"year": [1, None]}, "payloads[1].year[1]"),
        ({"year": [[1]]}, "payloads[1].year[0]"),
        ({"year": {"a": 1}}, "payloads[1].year"),
        ({"price": "1.5"}, "payloads[1].price"),
        ({"ok": 1}, "payloads[1].ok"),
        ({"at": "2024-05-01T12:00:00"}, "payloads[1].at"),
        ({"at": "yesterday"}, "payloads[1].at"),
        ({"at": 0}, "payloads[1].at"),
    ],
)
def test_value_of_a_declared_field_must_be_of_its_type(api, payload, field):
    fields = {"lang": "keyword", "year": "int", "price": "float", "ok": "bool", "at": "datetime"}
    docs = api.create(fields=fields)
    kind = "LimitExceeded" if payload == {"lang": "x" * 257} else "InvalidArgument"
    with api.refuses(kind, field):
        docs.upsert([1, 2], np.tile(ONE, (2, 1)), [{}, payload])
    docs.upsert([1], ONE, [{"lang": "en"}])
    with api.refuses(kind, field.replace("payloads[1]", "payload")):
        docs.set_payload([1], payload)
    assert docs.scroll().payloads == [{"lang": "en"}]


def test_declared_fields_take_lists_null_and_nothing(api):
    docs = api.create(fields={"lang": "keyword", "at": "datetime", "price": "float"})
    payloads = [
        {"lang": ["en", "de"], "at": ["2024-05-01T12:00:00Z", "2024-05-01T12:00:00+02:00"]},
        {"lang": None, "price": 3},
        {"lang": [], "other": object.__name__},
    ]
    docs.upsert([1, 2, 3], np.tile(ONE, (3, 1)), payloads)
    assert docs.get([1, 2, 3]).payloads == payloads
