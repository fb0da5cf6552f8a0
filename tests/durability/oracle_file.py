"""What must be stored, kept outside the database: an append-only file, and its meaning.

Before a batch is sent its intent is written, after it was acknowledged a second line. The file is
not synced: only processes die here. A line that its process did not finish is no line.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workload import (
    UPSERTS,
    Batch,
    Id,
    Label,
    Shape,
    patch_of,
    payloads_of,
    scratch_name,
    text_of,
    vectors_of,
)


class Journal:
    """The writing end. Safe for any thread: one line is one call of ``write``."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def created(self, shape: Shape) -> None:
        self._put(created=_fields(shape))

    def intend(self, shape: Shape, batch: Batch) -> None:
        self._put(intent=_fields(batch), shape=_fields(shape))

    def done(self, batch: Batch, count: int = 0, sequence: int = 0) -> None:
        self._put(done=batch.label, count=count, sequence=sequence)

    def close(self) -> None:
        os.close(self._handle)

    def _put(self, **line: Any) -> None:
        os.write(self._handle, b"\n" + json.dumps(line).encode())


def _fields(value: Shape | Batch) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


@dataclass(frozen=True, slots=True)
class Record:
    """``sequence`` 0: of a batch that was not acknowledged, so not known."""

    vector: bytes
    payload: dict[str, Any] | None
    sequence: int


Records = dict[Id, Record]


def after(shape: Shape, seed: int, batch: Batch, records: Records, sequence: int = 0) -> Records:
    """``records``, those of the batch's writer, once the batch is applied."""
    changed = dict(records)
    if batch.kind in UPSERTS:
        vectors, payloads = vectors_of(shape, seed, batch), payloads_of(seed, batch)
        for id, vector, payload in zip(batch.ids, vectors, payloads, strict=True):
            changed[id] = Record(vector.tobytes(), payload, sequence)
    elif batch.kind == "delete":
        for id in batch.ids:
            changed.pop(id, None)
    elif batch.kind == "delete_where":
        changed = {id: one for id, one in records.items() if named_by(one) != batch.target}
    else:
        for id in batch.ids:
            old = {} if batch.kind == "replace" else records[id].payload or {}
            changed[id] = replace(
                records[id], payload={**old, **patch_of(batch)}, sequence=sequence
            )
    return changed


def count_of(batch: Batch, records: Records) -> int:
    """What its acknowledgement must tell."""
    if batch.kind == "delete":
        return sum(id in records for id in batch.ids)
    if batch.kind == "delete_where":
        return sum(named_by(one) == batch.target for one in records.values())
    return len(batch.ids)


def named_by(record: Record) -> str:
    """The label in its payload; "" for none."""
    return (record.payload or {}).get("batch", "")


@dataclass(slots=True)
class Answered:
    """A batch that was acknowledged, and how."""

    shape: Shape
    batch: Batch
    count: int
    sequence: int


@dataclass(slots=True)
class Oracle:
    """The reading end: one database's records as they must be, of each collection and writer.

    - ``pending``: batches that were sent and not acknowledged: whole or absent
    - ``applied``: which of the two, once the database was looked at
    - ``answered``: those of the last round that were acknowledged
    - ``scratch``: name -> whether the collection must be gone
    """

    path: Path
    seed: int
    records: defaultdict[tuple[Shape, int], Records] = field(
        default_factory=lambda: defaultdict(dict)
    )
    shapes: set[Shape] = field(default_factory=set)
    pending: dict[Label, tuple[Shape, Batch]] = field(default_factory=dict)
    scratch: dict[str, bool] = field(default_factory=dict)
    applied: dict[Label, bool] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    wrong_counts: list[str] = field(default_factory=list)
    _read: int = 0

    def read(self) -> int:
        """Take in what the file has got since; how many batches of it were acknowledged."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        before = len(self.answered)
        for text in data.split(b"\n"):
            try:
                line = json.loads(text)
            except ValueError:
                continue  # killed while it wrote
            self._take(line)
        return len(self.answered) - before

    def _take(self, line: dict[str, Any]) -> None:
        if "created" in line:
            self.shapes.add(Shape(**line["created"]))
            return
        if "intent" in line:
            values = line["intent"]
            values |= {"label": tuple(values["label"]), "ids": tuple(values["ids"])}
            batch = Batch(**values)
            self.pending[batch.label] = Shape(**line["shape"]), batch
            if batch.kind == "scratch":
                self.scratch[scratch_name(batch)] = False
            return
        shape, batch = self.pending.pop(tuple(line["done"]))
        if batch.kind == "scratch":
            self.scratch[scratch_name(batch)] = True
            return
        before = self.records[shape, batch.writer]
        expected = count_of(batch, before)
        if line["count"] != expected:
            self.wrong_counts.append(
                f"{batch.kind} {text_of(batch.label)} was answered with count {line['count']}, "
                f"expected {expected}"
            )
        self.records[shape, batch.writer] = after(shape, self.seed, batch, before, line["sequence"])
        self.answered.append(Answered(shape, batch, line["count"], line["sequence"]))

    def forget_scratch(self) -> None:
        """They have been looked at."""
        self.scratch.clear()
        for label in [label for label, (_, one) in self.pending.items() if one.kind == "scratch"]:
            del self.pending[label]

    def forget_round(self) -> None:
        """All pending batches are settled: ``records`` is what must be stored."""
        self.pending.clear()
        self.applied.clear()
        self.answered.clear()

    def names(self, shape: Shape) -> dict[int, dict[Id, str]]:
        """writer -> id -> label in the payload: what ``next_batch`` needs to know."""
        return {
            writer: {id: named_by(one) for id, one in records.items()}
            for (of, writer), records in self.records.items()
            if of == shape
        }
