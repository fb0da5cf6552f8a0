"""What a score means: relevance on a fixed scale, and surprise against a background.

Relevance is the information-theoretic score (ITS) of two sign codes that agree as often as those of
vectors at this angle are expected to: sqrt(1 - H2(p)), p = 1 - angle / pi. It orders as the cosine
does, means the same at every code width, and carries no noise of bits. The scale and its labels
follow arXiv 2601.11557 and its authors' product. One model's labels do not hold for another's
vectors; surprise does: how many bits of luck it takes to find so good a score among random pairs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataCorruption, UnsupportedFormat
from ..kernels.exact import score_pairs
from .rotate import below, stream

LEAST_RECORDS = 1_000
SAMPLED_RECORDS = 2_048
KEPT_SCORES = 2_048  # of the largest ones, and again of quantiles below them

_STREAM = 2_000  # of the random words that draw the sample
_HEADER = struct.Struct("<IIIIQ")  # version, top, quantiles, reserved, pairs
_VERSION = 1


def relevance(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relevance of each cosine: 0 .. 1, rounded to 6 decimals; 0 for none above 0."""
    # 1 - H2((1 + d) / 2) with d = 1 - 2 angle / pi: no cancellation near 0.
    d = np.minimum(2.0 / np.pi * np.arcsin(np.clip(cosines, 0.0, 1.0)), 1.0)
    low = (1.0 - d) * np.log1p(-np.minimum(d, 1.0 - 2.0**-53))
    information = ((1.0 + d) * np.log1p(d) + low) / (2.0 * np.log(2.0))
    result: NDArray[np.float64] = np.round(np.sqrt(np.clip(information, 0.0, 1.0)), 6)
    return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Background:
    """Scores of ``pairs`` random pairs of a collection.

    - ``top``: the largest, best first
    - ``quantiles``: of the other scores, best first: the first, the last, and evenly between
    """

    top: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    pairs: int

    @classmethod
    def build(cls, scores: NDArray[np.float64]) -> Background:
        ordered = np.sort(np.asarray(scores, np.float64))[::-1]
        top, others = ordered[:KEPT_SCORES].copy(), ordered[KEPT_SCORES:]
        places = _even_places(len(others), min(len(others), KEPT_SCORES))
        return cls(top=top, quantiles=others[places], pairs=len(ordered))

    def count_above(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many of the pairs score as high or higher; below ``top`` interpolated."""
        exact = len(self.top) - np.searchsorted(self.top[::-1], scores, side="left")
        if len(self.quantiles) == 0:
            return exact.astype(np.float64)
        places = _even_places(self.pairs - len(self.top), len(self.quantiles))
        # Of equal quantiles the worst placed one counts all that are equal.
        values, first = np.unique(self.quantiles[::-1], return_index=True)
        counts = (places[::-1][first] + 1).astype(np.float64)
        others = np.interp(scores, values, counts, left=self.pairs - len(self.top), right=0.0)
        result: NDArray[np.float64] = exact + others
        return result

    def to_bytes(self) -> bytes:
        header = _HEADER.pack(_VERSION, len(self.top), len(self.quantiles), 0, self.pairs)
        return header + self.top.astype("<f8").tobytes() + self.quantiles.astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Background:
        if len(data) < _HEADER.size:
            raise _damaged(f"expected {_HEADER.size} bytes or more, got {len(data)}")
        version, top, quantiles, reserved, pairs = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise UnsupportedFormat(
                f"score background: version {version}, this program reads {_VERSION}",
                found=version,
                supported=_VERSION,
                hint="Compact the collection to make a new one",
            )
        expected = _HEADER.size + 8 * (top + quantiles)
        if len(data) != expected or reserved != 0 or pairs < top + quantiles:
            raise _damaged(f"{top} and {quantiles} of {pairs} scores in {len(data)} bytes")
        scores = np.frombuffer(data, "<f8", offset=_HEADER.size).astype(np.float64)
        if not (np.diff(scores) <= 0.0).all():
            raise _damaged("its scores are not ordered")
        return cls(top=scores[:top], quantiles=scores[top:], pairs=pairs)


def surprise_bits(scores: NDArray[np.float64], background: Background) -> NDArray[np.float64]:
    """-log2 of the chance that a random pair scores as high; at most 21, for a score above all.

    Among n records, n 2^-bits matches as good are expected by chance.
    """
    bits: NDArray[np.float64] = -np.log2(
        (background.count_above(np.asarray(scores)) + 1.0) / (background.pairs + 1.0)
    )
    return bits


def draw_sample(count: int, seed: int) -> NDArray[np.int64]:
    """Which of ``count`` live records make the background, ascending; none if they are too few."""
    if count < LEAST_RECORDS:
        return np.empty(0, np.int64)
    # Floyd's: each set of this size is as likely as any other.
    words = stream(seed, _STREAM)
    chosen: set[int] = set()
    for last in range(max(0, count - SAMPLED_RECORDS), count):
        place = below(words, last + 1)
        chosen.add(last if place in chosen else place)
    return np.array(sorted(chosen), np.int64)


def background_of(vectors: NDArray[np.float32], metric: str) -> Background | None:
    """The background of a sample ([s, dim], as stored, made float32); None if it is too small.

    Scores are those that a search gives, to the bit.
    """
    count = len(vectors)
    if count < LEAST_RECORDS:
        return None
    vectors = np.ascontiguousarray(vectors, np.float32)
    rows = np.arange(count)
    norms = np.empty(count)
    score_pairs(False, vectors, vectors, rows, rows, norms)
    norms = np.sqrt(norms)
    scores = np.empty(count * (count - 1) // 2)
    start = 0
    for row in range(count - 1):
        raw = scores[start : start + count - 1 - row]
        score_pairs(metric == "l2", vectors, vectors, np.full(len(raw), row), rows[row + 1 :], raw)
        if metric == "l2":
            raw[:] = 0.0 - np.sqrt(raw)
        elif metric == "cosine":
            lengths = norms[row + 1 :] * norms[row]
            np.divide(raw, lengths, out=raw, where=lengths > 0.0)
            np.clip(raw, -1.0, 1.0, out=raw)
        start += len(raw)
    return Background.build(scores)


def _even_places(count: int, wanted: int) -> NDArray[np.int64]:
    """``wanted`` <= ``count`` places of 0 .. ``count`` - 1, the first and last among them."""
    return np.arange(wanted, dtype=np.int64) * (count - 1) // max(1, wanted - 1)


def _damaged(reason: str) -> DataCorruption:
    return DataCorruption(
        f"score background: {reason}", hint="Compact the collection to make a new one"
    )
