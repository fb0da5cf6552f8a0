"""How far estimates from codes are off: one standard deviation, in the units of the estimate.

With t = <o, s> / sqrt(P) of a unit vector o and its signs, the error of an estimate has the
deviation mul |y| sqrt((1 - t^2) P / (P - 1)), and that of the 4-bit query adds 0.1116 mul |y|;
t^2 is 2 / pi but for a few percent, so one factor serves all vectors. Errors are Gaussian: 1.9
deviations hold 95 %, 3 hold 99.8 %. That is not certainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .planes import Encoder
from .query import QueryPlanes
from .rotate import below, stream

KAPPA = 0.613
"""Deviation of an estimate in units of mul |y|; more was never measured on rotated data."""

QUERY8 = 0.006
"""The same of the 8-bit query's own error."""

_QUERIES = 64


def sigma_1(mul: Any, length: Any, kappa: float = KAPPA) -> Any:
    """Deviation of estimates by the scan plane; arrays broadcast.

    - ``mul``: the scan plane's factor; ``length``: |y| of the query
    """
    return kappa * mul * length


def sigma_B(mul: Any, err: Any, length: Any) -> Any:
    """Deviation of estimates by all planes.

    - ``mul``: the scan plane's factor; ``err``: the refine planes'; ``length``: |y| of the query
    """
    return length * np.sqrt(err * err + (QUERY8 * mul) * (QUERY8 * mul))


def measure_kappa(
    encoder: Encoder,
    rows: NDArray[np.float32],
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    pairs: int = 4_096,
) -> float:
    """The deviation found on pairs of rows ([n, dim]; row i has slot i); 0.0 if none has an error.

    A segment records the larger of ``KAPPA`` and this.
    """
    count = len(rows)
    if count < 2:
        return 0.0
    words = stream(encoder.quantizer.seed, 1_000)
    each = max(1, pairs // _QUERIES)
    squares: list[NDArray[np.float64]] = []
    for _ in range(-(-pairs // each)):
        query = below(words, count)
        slots = np.array([below(words, count - 1) for _ in range(each)])
        slots += slots >= query  # never itself
        squares.append(_squared_errors(encoder, rows, codes, fac, query, slots))
    found = np.concatenate(squares)
    return float(np.sqrt(found.mean())) if len(found) else 0.0


def _squared_errors(
    encoder: Encoder,
    rows: NDArray[np.float32],
    codes: NDArray[np.uint64],
    fac: NDArray[np.float32],
    query: int,
    slots: NDArray[np.int64],
) -> NDArray[np.float64]:
    """((estimate - truth) / (mul |y|))^2 of the slots whose mul |y| is not 0."""
    quantizer = encoder.quantizer
    rotated = quantizer.rotate_queries(np.ascontiguousarray(rows[np.append(slots, query)]))
    planes = encoder.prepare(rotated[-1:])
    z = rotated[:-1].astype(np.float64) - encoder.rotated_mean
    y = rotated[-1].astype(np.float64) - encoder.rotated_mean
    factor = 2.0 if quantizer.squared_gap else 1.0
    mul = fac[slots // 8, 1, slots % 8].astype(np.float64)
    error = mul * sign_products(codes, slots, planes) - factor * (z @ y)
    scale = mul * float(planes.length[0])
    kept = scale > 0.0
    relative: NDArray[np.float64] = error[kept] / scale[kept]
    return relative * relative


def sign_products(
    codes: NDArray[np.uint64], slots: NDArray[np.int64], planes: QueryPlanes
) -> NDArray[np.float64]:
    """<s, y> of the first query of ``planes`` with the codes of the slots, y in its 4 bits."""
    code = codes[slots // 8, :, slots % 8]
    mismatches = np.zeros(len(slots))
    for plane in range(4):
        word = planes.planes4[:, plane, 0]
        mismatches += 2.0**plane * np.bitwise_count(code ^ word).sum(axis=1)
    padded = 64 * code.shape[1]
    products: NDArray[np.float64] = float(planes.delta4[0]) * (7.5 * padded - mismatches)
    return products
