"""What was not written is not believed."""

from __future__ import annotations

import pytest

from vecdb.errors import DataCorruption
from vecdb.storage import format
from vecdb.storage.checksum import crc32c, damaged, pack, seal, seal_parts, unpack, unseal

KEY, VALUE = b"\x00\x00\x00\x01key", b"some bytes"


def flipped(data: bytes) -> list[bytes]:
    """Copies of ``data``, each with one bit flipped; every byte gets its turn."""
    return [
        data[:place] + bytes([byte ^ (1 << place % 8)]) + data[place + 1 :]
        for place, byte in enumerate(data)
    ]


def test_crc32c_is_the_castagnoli_polynomial():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"1234", b"", b"56789") == 0xE3069283


def test_value_comes_back():
    assert unseal("records", KEY, seal("records", KEY, VALUE)) == VALUE
    assert unseal("dropped", KEY, seal("dropped", KEY, b"")) == b""


def test_value_in_pieces_is_stored_as_the_whole():
    assert seal_parts("operations", KEY, [b"some", b"", b" bytes"]) == seal(
        "operations", KEY, VALUE
    )


def test_checksum_is_over_table_key_and_value():
    stored = seal("records", KEY, VALUE)
    assert stored[:-4] == VALUE
    assert stored[-4:] == crc32c(b"records" + KEY + VALUE).to_bytes(4, "little")


def test_flip_in_any_byte_of_the_value_is_noticed():
    for stored in flipped(seal("records", KEY, VALUE)):
        with pytest.raises(DataCorruption, match=r"table 'records'.*checksum"):
            unseal("records", KEY, stored)


def test_flip_in_any_byte_of_the_key_is_noticed():
    stored = seal("records", KEY, VALUE)
    for key in flipped(KEY):
        with pytest.raises(DataCorruption):
            unseal("records", key, stored)


def test_value_of_another_table_is_noticed():
    with pytest.raises(DataCorruption):
        unseal("payloads", KEY, seal("records", KEY, VALUE))


@pytest.mark.parametrize("size", range(4))
def test_value_without_room_for_a_checksum_is_noticed(size):
    with pytest.raises(DataCorruption):
        unseal("records", KEY, bytes(size))


def test_fields_come_back_and_the_others_are_zero():
    value = pack(format.STATE, sequence=7, count=2**63, id_kind=format.ID_STR)
    row = unpack("states", KEY, value, format.STATE)
    assert (row["sequence"], row["count"], row["id_kind"]) == (7, 2**63, format.ID_STR)
    assert row["next_slot"] == 0
    assert value[-7:] == bytes(7)


def test_bytes_behind_the_head_are_left_to_the_caller():
    value = pack(format.COLLECTION, number=3) + b"{}"
    assert unpack("collections", KEY, value, format.COLLECTION)["number"] == 3


def test_number_that_does_not_fit_is_not_cut():
    with pytest.raises(OverflowError):
        pack(format.COLLECTION, number=2**32)


def test_short_value_is_damaged():
    value = pack(format.STATE)[:-1]
    with pytest.raises(DataCorruption, match="63 bytes, expected 64"):
        unpack("states", KEY, value, format.STATE)


@pytest.mark.parametrize("name", [n for n, d in format.DTYPES.items() if "reserved" in d.names])
def test_reserved_bytes_must_be_zero(name):
    dtype = format.DTYPES[name]
    part, at = dtype.fields["reserved"][:2]
    for place in range(at, at + part.itemsize):
        value = bytearray(dtype.itemsize)
        value[place] = 1
        with pytest.raises(DataCorruption, match="reserved"):
            unpack("database", KEY, bytes(value), dtype)


def test_error_shows_the_head_of_the_key_and_what_to_do():
    error = damaged("records", bytes(range(60)), "it is odd")
    assert bytes(range(24)).hex() in str(error)
    assert bytes(range(25)).hex() not in str(error)
    assert "vecdb check" in error.hint
    assert error.path == "data.mdb"
