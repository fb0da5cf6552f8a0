"""Payloads as JSON text: what is stored can always be read, merged and written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.collection.payload import (
    decode_payload,
    encode_payload,
    encode_payloads,
    merge_payload,
)
from vecdb.errors import InvalidArgument, LimitExceeded

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), values, max_size=5)


@pytest.mark.slow
@given(objects)
def test_object_comes_back_as_it_was(payload):
    text = encode_payload(payload, {}, "payload")
    assert decode_payload(text) == payload
    assert encode_payload(text, {}, "payload") == text
    escaped = json.dumps(payload).encode()  # with letters as \u escapes, pairs included
    assert decode_payload(encode_payload(escaped, {}, "payload")) == payload


@pytest.mark.slow
@given(objects, objects)
def test_merged_payload_can_be_stored_again(stored, patch):
    texts = [encode_payload(one, {}, "payload") for one in (stored, patch)]
    merged = merge_payload(*texts)
    assert encode_payload(merged, {}, "payload") == merged
    assert decode_payload(merged) == {**stored, **patch}


def test_merge_into_nothing_and_of_nothing():
    assert merge_payload(b"", b'{"a":1}') == b'{"a":1}'
    assert merge_payload(b"", b"{}") == b"{}"
    assert merge_payload(b'{"a":1}', b"{}") == b'{"a":1}'


def test_no_payload_is_no_text():
    assert encode_payload(None, {}, "payload") == encode_payload(b"", {}, "payload") == b""
    assert decode_payload(b"") is None
    assert encode_payloads(None, 5, {}) is None
    assert encode_payloads([None, {}], 2, {}) == [b"", b"{}"]


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1e999}',
        b'{"a":-1e999}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\uDBFF":1}',
        b'{"a":"\xed\xa0\x80"}',
        b"[]",
        b"1",
        b"",
        b" ",
    ],
)
def test_text_that_could_not_be_written_again_is_refused(text):
    if text == b"":
        assert encode_payload(text, {}, "payload") == b""
        return
    with pytest.raises(InvalidArgument) as caught:
        encode_payload(text, {}, "payloads[3]")
    assert caught.value.field == "payloads[3]"


def test_text_may_look_like_an_escape():
    for text in (b'{"a":"\\\\ud800"}', b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\\\\\\\ud800"}'):
        assert encode_payload(text, {}, "payload") == text


def test_declared_fields_are_checked_and_named():
    fields = {"year": "int"}
    assert encode_payload({"year": [1, 2]}, fields, "payload") == b'{"year":[1,2]}'
    for payload in ({"year": "1"}, b'{"year":"1"}'):
        with pytest.raises(InvalidArgument) as caught:
            encode_payloads([None, payload], 2, fields)
        assert caught.value.field == "payloads[1].year"


def test_depth_is_counted_in_objects_and_lists():
    deepest: object = 1
    for level in range(64):
        deepest = {"a": deepest} if level % 2 else [deepest]
    text = encode_payload({"a": deepest["a"][0]}, {}, "payload")  # type: ignore[index]
    assert text.count(b"[") + text.count(b"{") == 63
    assert encode_payload(deepest, {}, "payload")
    with pytest.raises(LimitExceeded) as caught:
        encode_payload({"a": deepest}, {}, "payload")
    assert caught.value.limit == 64
