"""Small sets of vectors, and all records of a data set at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from vecdb.datasets import Dataset
from vecdb.errors import InvalidArgument


class Records(NamedTuple):
    ids: list[Any]
    vectors: NDArray[Any]
    payloads: list[Any]


@pytest.fixture
def draw() -> Callable[..., NDArray[Any]]:
    """``draw(n, dim, dtype)``: the same numbers in each test."""
    rng = np.random.default_rng(7)

    def draw(count: int = 50, dim: int = 6, dtype: str = "float32") -> NDArray[Any]:
        if np.dtype(dtype).kind in "iu":
            return rng.integers(0, 100, (count, dim)).astype(dtype)
        return rng.standard_normal((count, dim)).astype(dtype)

    return draw


@pytest.fixture
def read_all() -> Callable[..., Records]:
    """Every record, read by few rows at a time so that there are several batches."""

    def read_all(dataset: Dataset, rows: int = 7, start: int = 0) -> Records:
        batches = list(dataset.batches(rows, start))
        for batch in batches:
            assert 1 <= len(batch) <= rows
            assert batch.vectors.shape == (len(batch), dataset.dim)
            assert batch.vectors.dtype == np.dtype(dataset.dtype)
            assert batch.payloads is None or len(batch.payloads) == len(batch)
            assert isinstance(batch.ids, list) or batch.ids.dtype == np.int64
        return Records(
            [one for batch in batches for one in list(batch.ids)],
            np.concatenate(
                [np.empty((0, dataset.dim), dataset.dtype)] + [batch.vectors for batch in batches]
            ),
            [one for batch in batches for one in batch.payloads or [None] * len(batch)],
        )

    return read_all


@pytest.fixture
def refusal_of() -> Callable[..., InvalidArgument]:
    """The error of a call that has to be refused; it names a path."""

    def refusal_of(call: Callable[..., Any], *arguments: Any, **named: Any) -> InvalidArgument:
        with pytest.raises(InvalidArgument) as caught:
            call(*arguments, **named)
        return caught.value

    return refusal_of
