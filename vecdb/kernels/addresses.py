"""Memory by its address: kernels that follow many arrays, or pages wherever they were read to.

The caller keeps that memory alive, and within bounds, until the kernel has returned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils

from .instructions import intrinsic


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """The address as a pointer."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), lower


@njit(nogil=True, cache=True)
def bytes_at(address: int, count: int) -> Any:
    """uint8[count]."""
    return carray(_pointer(address), (count,), np.uint8)


@njit(nogil=True, cache=True)
def floats_at(address: int, count: int) -> Any:
    """float32[count]; the address is a multiple of 4."""
    return carray(_pointer(address), (count,), np.float32)


@njit(nogil=True, cache=True)
def halves_at(address: int, count: int) -> Any:
    """uint16[count]: the bits of float16 numbers; the address is a multiple of 2."""
    return carray(_pointer(address), (count,), np.uint16)


@njit(nogil=True, cache=True)
def slots_at(address: int, count: int) -> Any:
    """uint32[count]; the address is a multiple of 4."""
    return carray(_pointer(address), (count,), np.uint32)


@njit(nogil=True, cache=True)
def links_at(address: int, count: int, degree: int) -> Any:
    """uint32[count, degree]."""
    return carray(_pointer(address), (count, degree), np.uint32)


@njit(nogil=True, cache=True)
def codes_at(address: int, blocks: int, words: int) -> Any:
    """uint64[blocks, words, 8]: a scan plane; the address is a multiple of 8."""
    return carray(_pointer(address), (blocks, words, 8), np.uint64)


@njit(nogil=True, cache=True)
def factors_at(address: int, blocks: int) -> Any:
    """float32[blocks, 2, 8]: the factors of a scan plane."""
    return carray(_pointer(address), (blocks, 2, 8), np.float32)


@njit(nogil=True, cache=True)
def rows_of_floats_at(address: int, count: int, dim: int) -> Any:
    """float32[count, dim]; the address is a multiple of 4."""
    return carray(_pointer(address), (count, dim), np.float32)


@njit(nogil=True, cache=True)
def rows_at(address: int, count: int, words: int) -> Any:
    """uint64[count, words]: refine planes."""
    return carray(_pointer(address), (count, words), np.uint64)


@njit(nogil=True, cache=True)
def words_at(address: int, count: int) -> Any:
    """uint64[count]; the address is a multiple of 8."""
    return carray(_pointer(address), (count,), np.uint64)
