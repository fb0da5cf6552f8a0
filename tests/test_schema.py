"""A schema is valid or does not exist; its stored form reads back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vecdb.errors import InvalidArgument
from vecdb.schema import CollectionSchema


def test_stored_form_reads_back():
    schema = CollectionSchema(
        dim=8, metric="dot", dtype="uint8", fields={"a": "int"}, code_bits=8, page_bytes=16_384
    )
    assert CollectionSchema.from_json(schema.to_json()) == schema
    assert CollectionSchema.from_json(CollectionSchema(dim=3).to_json()).page_bytes is None


def test_form_stored_before_there_were_codes_has_the_defaults():
    text = b'{"dim":4,"dtype":"float32","fields":{},"metric":"l2"}'
    assert CollectionSchema.from_json(text) == CollectionSchema(dim=4, metric="l2")


def test_numbers_of_numpy_are_stored_as_numbers():
    schema = CollectionSchema(dim=np.int64(4), code_bits=np.uint8(2), page_bytes=np.int32(4096))
    stored = json.loads(schema.to_json())
    assert (stored["dim"], stored["code_bits"], stored["page_bytes"]) == (4, 2, 4096)


@pytest.mark.parametrize("bits", [0, 3, 16, -1, True, 4.0, "4", None, 2**70])
def test_code_bits_are_one_of_four(bits):
    with pytest.raises(InvalidArgument, match="one of 1, 2, 4, 8; got") as caught:
        CollectionSchema(dim=4, code_bits=bits)
    assert caught.value.field == "code_bits"


@pytest.mark.parametrize("size", [0, 4095, 65_536, True, 4096.0, "4096"])
def test_page_bytes_are_one_of_three(size):
    with pytest.raises(InvalidArgument, match="one of 4096, 8192, 16384; got") as caught:
        CollectionSchema(dim=4, page_bytes=size)
    assert caught.value.field == "page_bytes"
