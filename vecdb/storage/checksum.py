"""crc32c over table, key and value, at the end of every value that we store.

LMDB's pages carry no checksum: without this a flipped bit in a value is returned as an answer. The
table's name is in it because tables have keys in common: a pointer into another table's pages
would find a value there that was whole.
"""

from __future__ import annotations

import struct
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ..errors import DataCorruption
from .format import CHECKSUM_BYTES, TABLES

_CRC = struct.Struct("<I")
_extend = google_crc32c.extend
_SEEDS: dict[str, int] = {table: _extend(0, table.encode()) for table in TABLES}


def crc32c(*parts: bytes) -> int:
    """crc32c of the concatenation of ``parts``."""
    crc = 0
    for part in parts:
        crc = _extend(crc, part)
    return crc


def crc32c_of(memory: NDArray[np.uint8], crc: int = 0) -> int:
    """crc32c of what ``crc`` is of, then ``memory`` (contiguous)."""
    return int(_extend(crc, memory))


def seal(table: str, key: bytes, value: bytes) -> bytes:
    """``value`` with its checksum: what is stored under ``key``."""
    return value + _CRC.pack(_extend(_extend(_SEEDS[table], key), value))


def seal_parts(table: str, key: bytes, parts: list[bytes]) -> bytes:
    """As ``seal``, of a value in several pieces, copied once."""
    return b"".join([*parts, _CRC.pack(crc32c(table.encode(), key, *parts))])


def unseal(table: str, key: bytes, stored: bytes) -> bytes:
    """The value stored under ``key``; ``DataCorruption`` if it is not what was written."""
    value = stored[:-CHECKSUM_BYTES]
    if len(stored) < CHECKSUM_BYTES or stored[-CHECKSUM_BYTES:] != _CRC.pack(
        _extend(_extend(_SEEDS[table], key), value)
    ):
        raise damaged(table, key, "its checksum does not match")
    return value


def pack(dtype: np.dtype[Any], **fields: Any) -> bytes:
    """One element of ``dtype``; fields not named are zero."""
    element = np.zeros(1, dtype)
    for name, value in fields.items():
        element[name] = np.void(value) if isinstance(value, bytes) else value
    return element.tobytes()


def unpack(table: str, key: bytes, value: bytes, dtype: np.dtype[Any]) -> Any:
    """The head of ``value`` as one element of ``dtype``; reserved bytes must be zero."""
    if len(value) < dtype.itemsize:
        raise damaged(table, key, f"it has {len(value)} bytes, expected {dtype.itemsize}")
    element = np.frombuffer(value, dtype, count=1)[0]
    if "reserved" in (dtype.names or ()) and element["reserved"].tobytes().strip(b"\0"):
        raise damaged(table, key, "its reserved bytes are not zero")
    return element


def damaged(table: str, key: bytes, reason: str) -> DataCorruption:
    """The error for a value that cannot be believed; the key is shown as hex, shortened."""
    return DataCorruption(
        f"the value of key {key[:24].hex()} in table {table!r} is damaged: {reason}",
        path="data.mdb",
        hint="Run `vecdb check` on the directory and restore what it names from a backup",
    )
