"""What a collection should hold and answer: a dict of records, and the oracle over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..schema import DTYPES
from .oracle import nearest_rows

__all__ = ["Kept", "Model", "Predicate"]

Id = int | str
Predicate = Callable[[Mapping[str, Any]], bool]
"""Whether a payload ({} where a record has none) matches; None stands for "every record"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One record. ``sequence``: what the write that changed it last was answered."""

    vector: NDArray[Any]
    payload: dict[str, Any] | None
    sequence: int


class Model:
    """One collection; ``check`` compares a real one with it. Not safe for threads."""

    def __init__(self, *, dim: int, metric: str = "cosine", dtype: str = "float32") -> None:
        self.dim = dim
        self.metric = metric
        self.dtype = DTYPES[dtype]
        self.records: dict[Any, Kept] = {}
        self.id_kind: str | None = None

    def __len__(self) -> int:
        return len(self.records)

    # ----------------------------------------------------------------------------- writes

    def upsert(
        self,
        ids: Sequence[Any],
        vectors: ArrayLike,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        sequence: int = 0,
    ) -> None:
        matrix = np.asarray(vectors, np.float32).astype(self.dtype)
        for row, id in enumerate(ids):
            payload = None if payloads is None else payloads[row]
            self.records[id] = Kept(
                vector=matrix[row],
                payload=None if payload is None else dict(payload),
                sequence=sequence,
            )
            self.id_kind = "str" if isinstance(id, str) else "int"

    def delete(self, ids: Sequence[Any]) -> int:
        """How many of them there were."""
        return sum(self.records.pop(id, None) is not None for id in set(ids))

    def set_payload(
        self, ids: Sequence[Any], payload: Mapping[str, Any], *, merge: bool, sequence: int = 0
    ) -> None:
        for id in ids:
            kept = self.records[id]
            before = (kept.payload or {}) if merge else {}
            self.records[id] = replace(kept, payload={**before, **payload}, sequence=sequence)

    # ------------------------------------------------------------------------------ reads

    def matching(self, predicate: Predicate | None = None) -> list[Any]:
        """The ids of the matching records, ascending (text: by code point)."""
        return sorted(
            id
            for id, kept in self.records.items()
            if predicate is None or predicate(kept.payload or {})
        )

    def search(
        self,
        query: NDArray[Any],
        k: int,
        predicate: Predicate | None = None,
        min_score: float | None = None,
    ) -> tuple[list[Any], NDArray[np.float32], NDArray[np.float32]]:
        """(ids, scores, distances) of the ``k`` best."""
        ids = self.matching(predicate)
        if not ids:
            return [], np.empty(0, np.float32), np.empty(0, np.float32)
        vectors = np.stack([self.records[id].vector for id in ids])
        rows, scores = nearest_rows(
            self.metric, vectors, np.asarray(query, np.float32), k, ids=ids, min_score=min_score
        )
        distances = (1.0 if self.metric == "cosine" else 0.0) - scores
        with np.errstate(over="ignore"):  # a product may be beyond float32
            return [ids[row] for row in rows], scores.astype("<f4"), distances.astype("<f4")

    # ---------------------------------------------------------------------------- compare

    def check(self, collection: Any) -> None:
        """Count, scroll and describe of a real collection must be those of the model."""
        info = collection.describe()
        assert (info.count, info.id_kind) == (len(self), self.id_kind)
        assert collection.count() == len(self)
        after, seen = None, 0
        ids = self.matching()
        while True:
            page = collection.scroll(after=after, limit=1_000, with_vector=True)
            self.check_records(page, ids[seen : seen + len(page)])
            seen += len(page)
            after = page.next
            if after is None:
                break
        assert seen == len(ids)

    def check_records(self, records: Any, ids: Sequence[Any]) -> None:
        """``records`` (with payloads and vectors) are those of ``ids``, in that order."""
        kept = [self.records[id] for id in ids]
        assert list(records.ids) == list(ids)
        assert records.payloads == [one.payload for one in kept]
        assert records.sequences.tolist() == [one.sequence for one in kept]
        expected = np.array([one.vector for one in kept], self.dtype).reshape(-1, self.dim)
        assert records.vectors.dtype == self.dtype
        assert records.vectors.shape == expected.shape
        assert records.vectors.tobytes() == expected.tobytes()

    def check_search(
        self,
        collection: Any,
        query: NDArray[Any],
        k: int,
        *,
        filter: Any = None,
        predicate: Predicate | None = None,
        min_score: float | None = None,
    ) -> None:
        """A search must equal the oracle's to the bit; ``predicate`` is what ``filter`` means."""
        found = collection.search(query, k, filter=filter, min_score=min_score, with_vector=True)
        self.check_matches(found, query, k, predicate=predicate, min_score=min_score)

    def check_matches(
        self,
        found: Any,
        query: NDArray[Any],
        k: int,
        *,
        predicate: Predicate | None = None,
        min_score: float | None = None,
    ) -> None:
        """``found`` (with payloads and vectors) must be the oracle's answer to ``query``."""
        ids, scores, distances = self.search(query, k, predicate, min_score)
        assert list(found.ids) == ids
        assert (found.scores.dtype, found.distances.dtype) == (np.float32, np.float32)
        assert found.scores.tobytes() == scores.tobytes()
        assert found.distances.tobytes() == distances.tobytes()
        assert found.payloads == [self.records[id].payload for id in ids]
        expected = np.array([self.records[id].vector for id in ids], self.dtype)
        assert found.vectors.dtype == self.dtype
        assert found.vectors.tobytes() == expected.tobytes()
