"""crc32c of many pages: by the processor's instruction where it has one, else by tables.

Pages are taken three at a time: the instruction takes three cycles, and one can begin each cycle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from .addresses import words_at
from .instructions import I64, intrinsic, ir

_POLYNOMIAL = 0x82F63B78
_ADDRESSES = types.Array(types.int64, 1, "C", readonly=True)


def _make_tables() -> NDArray[np.uint32]:
    """[8, 256]: a byte's share in the checksum when 0 .. 7 bytes follow it."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        tables[0, byte] = value
    for row in range(1, 8):
        before = tables[row - 1]
        tables[row] = before >> 8 ^ tables[0][before & 0xFF]
    return tables


_TABLES = _make_tables()


@intrinsic
def _has_instruction(typing_context: Any) -> Any:
    """Whether the processor that code is made for has ``crc32``."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        features = context.codegen().magic_tuple()[2].split(",")
        return ir.Constant(ir.IntType(1), int("+sse4.2" in features))

    return types.boolean(), lower


@intrinsic
def _step(typing_context: Any, checksum: Any, word: Any) -> Any:
    """The checksum with 8 more bytes, by the instruction; 0 where there is none."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if "+sse4.2" not in context.codegen().magic_tuple()[2].split(","):
            return I64(0)
        shape = ir.FunctionType(I64, [I64, I64])
        ask = builder.module.declare_intrinsic("llvm.x86.sse42.crc32.64.64", (), shape)
        return builder.call(ask, arguments)

    return types.uint64(types.uint64, types.uint64), lower


@njit(nogil=True, cache=True)
def _by_tables(words: NDArray[np.uint64], tables: NDArray[np.uint32]) -> np.uint64:
    checksum = np.uint64(0xFFFFFFFF)
    for i in range(words.shape[0]):
        word = words[i] ^ checksum
        checksum = np.uint64(0)
        for byte in range(8):
            part = word >> np.uint64(8 * byte) & np.uint64(0xFF)
            checksum ^= np.uint64(tables[7 - byte, part])
    return checksum


@njit(
    types.void(_ADDRESSES, types.int64, types.int64, types.uint32[::1]),
    nogil=True,
    cache=True,
)
def _sum_pages(
    addresses: NDArray[np.int64], nbytes: int, skip: int, out: NDArray[np.uint32]
) -> None:
    count = (nbytes - skip) // 8
    whole = np.uint64(0xFFFFFFFF)
    if not _has_instruction():
        for i in range(addresses.shape[0]):
            out[i] = np.uint32(_by_tables(words_at(addresses[i] + skip, count), _TABLES) ^ whole)
        return
    last = addresses.shape[0] - 1
    for i in range(0, addresses.shape[0], 3):
        second, third = min(i + 1, last), min(i + 2, last)
        x = words_at(addresses[i] + skip, count)
        y = words_at(addresses[second] + skip, count)
        z = words_at(addresses[third] + skip, count)
        a, b, c = whole, whole, whole
        for j in range(count):
            a, b, c = _step(a, x[j]), _step(b, y[j]), _step(c, z[j])
        out[i] = np.uint32(a ^ whole)
        out[second] = np.uint32(b ^ whole)
        out[third] = np.uint32(c ^ whole)


def page_checksums(
    addresses: NDArray[np.int64], nbytes: int, skip: int, out: NDArray[np.uint32]
) -> None:
    """out[i] = crc32c of the bytes from ``skip`` to before ``nbytes`` at address i.

    ``addresses``, ``nbytes`` and ``skip`` are multiples of 8.
    """
    if nbytes % 8 or skip % 8:
        raise AssertionError(f"pages of {nbytes} bytes from {skip} on are not whole words")
    _sum_pages(addresses, nbytes, skip, out)
