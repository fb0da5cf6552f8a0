"""A collection's quantizer, and the encoder of one segment.

==========  =====================  ====================================================
array       shape                  content
==========  =====================  ====================================================
``codes``   u64[blocks, W, 8]      lane l of block b is slot 8b + l; bit i of a vector
                                   is bit i % 64 of word i // 64
``fac``     f32[blocks, 2, 8]      add, mul
``refine``  u64[n, (B-1) W + 1]    planes B-2 .. 0; the last word is mul_B (low half)
                                   and err_B
==========  =====================  ====================================================

An estimate is e = (add + mul <s, y>) + constant, with s = +-1 from the code; with all planes
e_B = (add + mul_B <g, y>) + constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InvalidArgument
from ..kernels.encode import encode_rows
from ..schema import METRICS, check_integer
from .center import mean_of, normalise
from .query import QueryPlanes, make_planes
from .rotate import Rotation

BITS = (1, 2, 4, 8)
LANES = 8
LINE_BYTES = 64

_SCRATCH_BYTES = 512 * 1024  # of rotated vectors


@dataclass(frozen=True)
class Quantizer:
    """How the vectors of one collection are coded: fixed for its life.

    - ``seed``: of the rotation, 0 .. 2^64 - 1
    - ``bits``: a dimension, in all: one in the scan plane, the others in refine planes
    """

    VERSION: ClassVar[int] = 1

    dim: int
    metric: str
    seed: int
    bits: int = 4
    rotation: Rotation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_integer("dim", self.dim, limits.DIM)
        if self.metric not in METRICS:
            raise InvalidArgument(
                f"metric must be one of {', '.join(METRICS)}; got {self.metric!r}", field="metric"
            )
        if self.bits not in BITS:
            raise InvalidArgument(
                f"bits must be one of {', '.join(map(str, BITS))}; got {self.bits!r}", field="bits"
            )
        if not 0 <= self.seed < 2**64:
            raise InvalidArgument(f"seed must be from 0 to 2^64 - 1; got {self.seed}", field="seed")
        object.__setattr__(self, "rotation", Rotation(self.dim, self.seed))

    @property
    def padded(self) -> int:
        return self.rotation.padded

    @property
    def words(self) -> int:
        """Words of 64 bits in a plane."""
        return self.rotation.words

    @property
    def refine_words(self) -> int:
        """Words of a row of refine planes; 0: there are none."""
        return (self.bits - 1) * self.words + 1 if self.bits > 1 else 0

    @property
    def unit(self) -> bool:
        """Whether vectors are coded at length 1."""
        return self.metric == "cosine"

    @property
    def squared_gap(self) -> bool:
        """Whether estimates are of -|x - q|^2; else of <x, q>."""
        return self.metric == "l2"

    def rotate_queries(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """[Q, padded]: made of length 1 under cosine, and rotated; once for all segments."""
        return self.rotation.apply(queries, unit=self.unit)

    def empty_codes(
        self, slots: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.uint64] | None]:
        """Zeroed codes, fac and refine (None with 1 bit) of so many slots, on cache lines."""
        blocks = -(-slots // LANES)
        codes = _zeros((blocks, self.words, LANES), np.dtype(np.uint64))
        fac = _zeros((blocks, 2, LANES), np.dtype(np.float32))
        if self.bits == 1:
            return codes, fac, None
        return codes, fac, _zeros((slots, self.refine_words), np.dtype(np.uint64))


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


class Encoder:
    """A quantizer about one mean. Immutable; its calls release the GIL.

    - ``mean``: f32[dim], of vectors at length 1 under cosine; None: codes are about the origin
    """

    def __init__(self, quantizer: Quantizer, mean: NDArray[np.float32] | None) -> None:
        if mean is None:
            mean = np.zeros(quantizer.dim, np.float32)
        self.quantizer = quantizer
        self.mean = np.array(mean, np.float32)
        self.rotated_mean = quantizer.rotation.apply(self.mean[None, :])[0]
        self.mean.setflags(write=False)
        self.rotated_mean.setflags(write=False)

    def encode(
        self,
        rows: NDArray[np.float32],
        first: int,
        codes: NDArray[np.uint64],
        fac: NDArray[np.float32],
        refine: NDArray[np.uint64] | None = None,
    ) -> None:
        """Write the codes of stored vectors ([n, dim], not normalised) to slots ``first`` ...

        Other lanes of a block are left alone, so threads may write beside each other. The same
        bytes however the rows are cut into calls. Without ``refine`` the refine planes are not
        computed.
        """
        quantizer = self.quantizer
        if refine is None or quantizer.bits == 1:
            refine = np.empty((0, 1), np.uint64)
        step = max(1, _SCRATCH_BYTES // (4 * quantizer.padded))
        scratch = np.empty((min(step, len(rows)), quantizer.padded), np.float32)
        for start in range(0, len(rows), step):
            part = np.ascontiguousarray(rows[start : start + step])
            rotated = scratch[: len(part)]
            quantizer.rotation.apply(part, rotated, unit=quantizer.unit)
            encode_rows(
                rotated,
                self.rotated_mean,
                quantizer.squared_gap,
                quantizer.bits,
                first + start,
                codes,
                fac,
                refine,
            )

    def prepare(self, rotated: NDArray[np.float32]) -> QueryPlanes:
        """Queries of ``Quantizer.rotate_queries`` against this centre."""
        return make_planes(rotated, self.rotated_mean, squared_gap=self.quantizer.squared_gap)


def warm_kernels() -> None:
    """Run every kernel of this package once."""
    quantizer = Quantizer(dim=1, metric="cosine", seed=0, bits=2)
    row = np.ones((1, 1), np.float32)
    encoder = Encoder(quantizer, mean_of([normalise(row)]))
    encoder.encode(row, 0, *quantizer.empty_codes(1))
    encoder.prepare(quantizer.rotate_queries(row))
