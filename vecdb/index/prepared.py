"""Queries as walks over several runs read them: about each run's own centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..quantize.planes import Encoder, Quantizer


class Centred(Protocol):
    """A run of codes: about what centre, and how far off the scan plane is."""

    @property
    def encoder(self) -> Encoder: ...
    @property
    def kappa(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """Of each query and run, for the scan plane and (8) for all planes.

    - ``planes``: uint64[queries, runs, words, 4, 1]; ``terms``: float32[queries, runs, 3]: delta,
      constant, 7.5 * padded
    - ``planes8``: uint64[queries, runs, 8, words]; ``terms8``: float32[queries, runs, 3]: delta8,
      constant, length
    - ``kappas``: float64[runs]
    """

    planes: NDArray[np.uint64]
    terms: NDArray[np.float32]
    planes8: NDArray[np.uint64]
    terms8: NDArray[np.float32]
    kappas: NDArray[np.float64]


def prepare(
    runs: Sequence[Centred], quantizer: Quantizer, queries: NDArray[np.float32]
) -> Prepared:
    """``queries``: float32[q, dim]."""
    count, words = len(queries), quantizer.words
    made = Prepared(
        planes=np.empty((count, len(runs), words, 4, 1), np.uint64),
        terms=np.empty((count, len(runs), 3), np.float32),
        planes8=np.empty((count, len(runs), 8, words), np.uint64),
        terms8=np.empty((count, len(runs), 3), np.float32),
        kappas=np.array([run.kappa for run in runs]),
    )
    rotated = quantizer.rotate_queries(queries)
    for number, run in enumerate(runs):
        planes = run.encoder.prepare(rotated)
        made.planes[:, number, :, :, 0] = planes.planes4.transpose(2, 0, 1)
        made.planes8[:, number] = planes.planes8
        made.terms[:, number, 0] = planes.delta4
        made.terms[:, number, 1] = planes.constant
        made.terms[:, number, 2] = 7.5 * quantizer.padded
        made.terms8[:, number, 0] = planes.delta8
        made.terms8[:, number, 1] = planes.constant
        made.terms8[:, number, 2] = planes.length
    return made
