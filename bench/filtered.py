"""Searches with filters that one record in a hundred passes, each filter used once.

Ours: a range of an int field, evaluated in the call. hnswlib: a filter function. faiss: IVF with a
bitmap selector. What the peers need of a filter, a bool for each row, is made inside the timer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

import vecdb

from .datasets import TRUE, Prepared, prepared
from .peer_env import peer_version
from .tenants import BEAMS, RECALL, ROWS, exact_reach, in_turns, make_graph, recall_of

SHARE = 0.01
VALUES = 1_000
"""Values of the field, each as frequent; a filter takes as many as make the share."""
PROBES = (4, 8, 16, 32, 64, 128, 256)
_LISTS = 1_024
_TUNED, _WARM, _TIMED = 40, 20, 200


def measure_filtered() -> Iterator[dict[str, Any]]:
    """One dict for each dataset."""
    for data in prepared():
        yield from _measure(data)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query and the least value of its filter."""

    query: NDArray[np.float32]
    low: int

    @property
    def high(self) -> int:
        return self.low + round(SHARE * VALUES)


def _measure(data: Prepared) -> Iterator[dict[str, Any]]:
    base = np.ascontiguousarray(np.load(data.base, mmap_mode="r")[:ROWS], np.float32)
    rng = np.random.default_rng(0)
    values = rng.integers(0, VALUES, len(base))
    queries = np.load(data.queries)[: _TUNED + _WARM + _TIMED]
    lows = rng.permutation(VALUES - round(SHARE * VALUES))[: len(queries)]
    asked = [_Asked(query, int(low)) for query, low in zip(queries, lows, strict=True)]
    tuned, warm, timed = np.split(np.array(asked, object), [_TUNED, _TUNED + _WARM])
    with tempfile.TemporaryDirectory(prefix="vecdb-bench-") as folder:
        sides = _Sides(base, values, folder)
        settings = {
            "ef": sides.tune("hnswlib", BEAMS, tuned),
            "probes": sides.tune("faiss", PROBES, tuned),
        }
        in_turns(sides.answers, warm)
        walls, cpus, found = in_turns(sides.answers, timed)
        recalls = {name: sides.recall(timed, answers) for name, answers in found.items()}
        path = sides.path(timed[0])
        sides.close()
    yield (
        data.about
        | settings
        | {
            "n": len(base),
            "share": SHARE,
            "path": path,
            "peers": f"{peer_version('hnswlib')}, faiss {faiss.__version__}",
            "short": sum(len(one) < TRUE for one in found["vecdb"]),
            **{f"{side}_us": 1e6 * float(np.median(times)) for side, times in walls.items()},
            **{f"{side}_cpu_us": 1e6 * spent for side, spent in cpus.items()},
            **{f"{side}_recall": one for side, one in recalls.items()},
        }
    )


class _Sides:
    """The three of them, over the same rows."""

    def __init__(self, base: NDArray[np.float32], values: NDArray[np.int64], folder: str) -> None:
        self._base, self._values = base, values
        self._db = vecdb.open(Path(folder) / "db", threads=1)
        self._docs = self._db.create_collection(
            "docs", dim=base.shape[1], metric="l2", fields={"value": "int"}
        )
        payloads = [{"value": one} for one in values.tolist()]
        self._docs.upload(base, payloads=payloads, progress=False)
        self._docs.seal()
        self._docs.compact()
        self._graph = make_graph(base, np.arange(len(base)), folder)[0]
        coarse = faiss.IndexFlatL2(base.shape[1])
        self._lists = faiss.IndexIVFFlat(coarse, base.shape[1], _LISTS)
        self._lists.train(base)
        self._lists.add(base)
        faiss.omp_set_num_threads(1)
        self._setting = 0
        self.answers = {
            "vecdb": self._ours,
            "hnswlib": self._by_function,
            "faiss": self._by_selector,
        }

    def close(self) -> None:
        self._db.close()

    def path(self, one: _Asked) -> str:
        """How ours answers."""
        mode: str = self._docs.explain(one.query, TRUE, filter=self._filter(one)).mode
        return mode

    def tune(self, side: str, settings: Sequence[int], asked: Sequence[_Asked]) -> int:
        """The least setting that has the recall, or the last; it stays set."""
        for setting in settings:
            if side == "hnswlib":
                self._graph.set_ef(setting)
            else:
                self._lists.nprobe = setting
            if self.recall(asked, [self.answers[side](one) for one in asked]) >= RECALL:
                break
        return setting

    def recall(self, asked: Sequence[_Asked], answers: list[NDArray[np.int64]]) -> float:
        each = [
            recall_of(
                self._base,
                one.query[None],
                [answer],
                exact_reach(self._base, np.flatnonzero(self._passes(one)), one.query[None]),
            )
            for one, answer in zip(asked, answers, strict=True)
        ]
        return float(np.mean(each))

    def _passes(self, one: _Asked) -> NDArray[np.bool_]:
        passes: NDArray[np.bool_] = (self._values >= one.low) & (self._values < one.high)
        return passes

    @staticmethod
    def _filter(one: _Asked) -> dict[str, Any]:
        return {"value": {"gte": one.low, "lt": one.high}}

    def _ours(self, one: _Asked) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self._docs.search(
            one.query, TRUE, filter=self._filter(one), with_payload=False
        ).ids
        return ids

    def _by_function(self, one: _Asked) -> NDArray[np.int64]:
        passes = self._passes(one).tolist()
        try:
            ids = self._graph.knn_query(one.query, TRUE, num_threads=1, filter=passes.__getitem__)[
                0
            ]
        except RuntimeError:  # it found fewer than asked for
            return np.empty(0, np.int64)
        found: NDArray[np.int64] = ids[0].astype(np.int64)
        return found

    def _by_selector(self, one: _Asked) -> NDArray[np.int64]:
        bits = np.packbits(self._passes(one), bitorder="little")
        options = faiss.SearchParametersIVF(
            sel=faiss.IDSelectorBitmap(bits), nprobe=self._lists.nprobe
        )
        ids = self._lists.search(one.query[None], TRUE, params=options)[1][0]
        found: NDArray[np.int64] = ids[ids >= 0]
        return found
