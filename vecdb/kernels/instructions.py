"""Vector instructions that numba has no words for, as functions that emit LLVM's.

numba's own loops stay at half the width of AVX-512. An intrinsic built from these uses all of it,
and runs anywhere: LLVM splits vectors that are too wide for a processor.

After an edit of this file, numba goes on with cached kernels of others that emit its instructions:
the tests choose their cache folder by a hash of all kernels, by hand clear ``__pycache__``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numba import extending
from numba.core import cgutils

ir: Any = cgutils.ir  # type: ignore[attr-defined]
"""LLVM's types and constants, in the version that numba works with."""

I8, I16, I32, I64, F32 = (*(ir.IntType(bits) for bits in (8, 16, 32, 64)), ir.FloatType())
BYTES, WORDS = ir.VectorType(I8, 64), ir.VectorType(I64, 8)

intrinsic: Any = extending.intrinsic
"""numba's own, without its types: they count the typing context among the arguments of a call."""

PREFETCH_BYTES = 32 * 1024
"""How far ahead of a scan memory is asked for, into the second cache; 16 to 128 KiB do as well.

A scan of 1M x 768 bits took 3.1 ms with it, as long as only reading; 8 ms when the first cache was
asked to fetch, 19 ms where the processor was left to guess.
"""


def splat(kind: Any, value: Any) -> Any:
    """The constant vector whose elements all are ``value``."""
    return ir.Constant(kind, [value] * kind.count)


def spread(builder: Any, value: Any, kind: Any) -> Any:
    """A vector whose elements all are ``value``."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, I32(0))
    return shuffle(builder, (one, one), [0] * kind.count)


def shuffle(builder: Any, pair: Sequence[Any], places: Iterable[int]) -> Any:
    """The elements at ``places`` of two vectors, the second behind the first."""
    order = list(places)
    return builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(I32, len(order)), order))


def data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """The address of the first byte of an array."""
    found = context.make_array(kind)(context, builder, array)
    return builder.bitcast(found.data, I8.as_pointer())


def extent(context: Any, builder: Any, kind: Any, array: Any, axis: int) -> Any:
    """The length of an axis of an array."""
    return builder.extract_value(context.make_array(kind)(context, builder, array).shape, axis)


def load(builder: Any, base: Any, byte: Any, kind: Any) -> Any:
    """What stands ``byte`` bytes behind ``base``; no alignment is needed."""
    place = builder.bitcast(builder.gep(base, [byte]), kind.as_pointer())
    return builder.load(place, align=1)


def store(builder: Any, base: Any, byte: Any, value: Any) -> None:
    """Write ``value`` there; no alignment is needed."""
    place = builder.bitcast(builder.gep(base, [byte]), value.type.as_pointer())
    builder.store(value, place, align=1)


def prefetch(builder: Any, base: Any, byte: Any) -> None:
    """Ask for the line of memory there, into the second cache. Any address will do."""
    shape = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    ask = builder.module.declare_intrinsic("llvm.prefetch.p0", (), shape)
    builder.call(ask, [builder.gep(base, [byte]), I32(0), I32(2), I32(1)])


def popcount(builder: Any, words: Any) -> Any:
    """The number of ones in each of 8 words."""
    shape = ir.FunctionType(WORDS, [WORDS])
    return builder.call(builder.module.declare_intrinsic("llvm.ctpop.v8i64", (), shape), [words])


def add_all(builder: Any, words: Any) -> Any:
    """The sum of 8 words."""
    shape = ir.FunctionType(I64, [WORDS])
    ask = builder.module.declare_intrinsic("llvm.vector.reduce.add.v8i64", (), shape)
    return builder.call(ask, [words])


def sums(builder: Any, kind: Any, count: int) -> list[Any]:
    """Places for vectors that start at zero; LLVM keeps them in registers."""
    make: Any = cgutils.alloca_once
    places = [make(builder, kind) for _ in range(count)]
    for place in places:
        builder.store(ir.Constant(kind, None), place)
    return places


def add_to(builder: Any, place: Any, value: Any) -> None:
    builder.store(builder.add(builder.load(place), value), place)


def has_tables(context: Any) -> bool:
    """Whether the processor that code is made for looks up 64 bytes at once."""
    features = context.codegen().magic_tuple()[2].split(",")
    return {"+avx512bw", "+avx512vbmi"} <= set(features)


def look_up(builder: Any, tables: Any, places: Any) -> Any:
    """64 look-ups: 16 bytes of ``places`` are indices into the same 16 bytes of ``tables``."""
    shape = ir.FunctionType(BYTES, [BYTES, BYTES])
    ask = builder.module.declare_intrinsic("llvm.x86.avx512.pshuf.b.512", (), shape)
    return builder.call(ask, [tables, places])
