"""Single arguments: what is taken and how the rest is named."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.collection.arguments import check_flag, check_key, check_lookup
from vecdb.errors import InvalidArgument
from vecdb.schema import check_integer


@pytest.mark.parametrize("value", [True, False, np.bool_(True)])
def test_flags_are_bools(value):
    assert check_flag("wait", value) is bool(value)


@pytest.mark.parametrize("value", [0, 1, None, "yes", []])
def test_nothing_else_is_a_flag(value):
    with pytest.raises(InvalidArgument) as caught:
        check_flag("wait", value)
    assert caught.value.field == "wait"


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7)])
def test_whole_numbers_in_bounds_are_taken(value):
    assert check_integer("k", value, 7) == value
    assert type(check_integer("k", value, 7)) is int


@pytest.mark.parametrize("value", [0, 8, -1, 2**70, 1.0, "1", True, None, np.float64(1)])
def test_number_outside_its_bounds_is_named_with_them(value):
    with pytest.raises(InvalidArgument, match="from 1 to 7") as caught:
        check_integer("k", value, 7)
    assert caught.value.field == "k"


def test_key_is_1_to_64_bytes():
    assert check_key(b"k") == b"k"
    assert check_key(b"k" * 64) == b"k" * 64
    for key in (b"", b"k" * 65, "k", None, bytearray(b"k")):
        with pytest.raises(InvalidArgument) as caught:
            check_key(key)
        assert caught.value.field == "idempotency_key"


def test_any_text_may_be_looked_up():
    for name in ("docs", "a/b", "é", "a" * 10_000, " "):
        assert check_lookup(name) == name
    for name in ("", None, 5, b"docs", "\ud800"):
        with pytest.raises(InvalidArgument) as caught:
            check_lookup(name, "alias")
        assert caught.value.field == "alias"
