"""Vectors for benchmarks that need no files: said to be synthetic in every result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LATENT = 24
CENTRES = 2_000


def clustered(
    n: int, dim: int, seed: int, queries: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(vectors [n, dim], queries [queries, dim]): a mixture of Gaussians of few latent dimensions.

    Queries are drawn from the same mixture and are not among the vectors.
    """
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((LATENT, dim), dtype=np.float32) / np.float32(np.sqrt(LATENT))
    centres = rng.standard_normal((CENTRES, LATENT), dtype=np.float32)
    total = n + queries
    made = np.empty((total, dim), np.float32)
    step = 100_000
    for start in range(0, total, step):
        stop = min(total, start + step)
        latent = centres[rng.integers(0, CENTRES, stop - start)]
        latent = latent + 0.6 * rng.standard_normal(latent.shape, dtype=np.float32)
        noise = rng.standard_normal((stop - start, dim), dtype=np.float32)
        made[start:stop] = latent @ spread + np.float32(0.25) * noise
    order = rng.permutation(total)
    return made[order[:n]], made[order[n:]]
