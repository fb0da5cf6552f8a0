"""How does a vector become a short code, and how far may an estimate from codes be off?

RaBitQ [arXiv 2405.12497] and its extension to several bits [arXiv 2409.09913], with our deviations:

1. Vectors are centred on the mean of their segment and rotated by three rounds of signs and fast
   Hadamard transforms in blocks, with permutations between (``rotate``), not by a dense matrix:
   the dimension is padded to a multiple of 64 only.
2. The query has 4 bits on a symmetric grid, compared by XOR: no popcount of the code is needed.
3. The most significant plane of the several-bit code is the one-bit code: the others are added
   later, and only for the shortlist (``planes``).
4. The error needs no third factor (``bounds``).

Codes are a function of the vectors, the mean and the quantizer, to the bit; nothing is trained.
"""

from __future__ import annotations

__all__ = ["warm"]


def warm() -> None:
    """Compile every kernel of this package once, or load it from numba's cache."""
    from .planes import warm_kernels

    warm_kernels()
