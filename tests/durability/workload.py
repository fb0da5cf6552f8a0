"""What a crash round writes: batches that a seed decides, and how one of them is sent.

A batch has a label, (round, writer, number). Its vectors and payloads follow from the seed and the
label alone, so nothing but labels and ids has to be kept to know what must be stored.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Id = int | str
Label = tuple[int, int, int]

WRITERS = 6
"""The most threads that write at once; each has ids of its own."""
IDS = 200
"""Ids of one writer."""
FIELDS = {"batch": "keyword", "row": "int"}

# kind -> how often
KINDS = {
    "insert": 25,
    "overwrite": 30,
    "mixed": 10,
    "delete": 10,
    "delete_where": 5,
    "merge": 10,
    "replace": 5,
    "scratch": 5,
    "seal": 5,
    "compact": 4,
}
UPSERTS = ("insert", "overwrite", "mixed")
BUILDS = ("seal", "compact")
"""These change no record, whether they are done or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a collection holds; its name tells all of it."""

    dim: int
    metric: str
    dtype: str
    id_kind: str

    @property
    def name(self) -> str:
        return f"{self.dtype}-{self.metric}-{self.id_kind}-{self.dim}"


def draw_shape(rng: random.Random, dims: tuple[int, ...] = (3, 8, 33, 96)) -> Shape:
    return Shape(
        dim=rng.choice(dims),
        metric=rng.choice(("cosine", "dot", "l2")),
        dtype=rng.choice(("float32", "float16", "uint8")),
        id_kind=rng.choice(("int", "str")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One write.

    - ``target``: of a delete_where: the text of the label that its filter asks for
    - ``keyed``: sent with an idempotency key, which the label gives
    """

    label: Label
    kind: str
    ids: tuple[Id, ...] = ()
    target: str = ""
    keyed: bool = False

    @property
    def writer(self) -> int:
        return self.label[1]


def text_of(label: Label) -> str:
    return ".".join(map(str, label))


def make_id(shape: Shape, writer: int, number: int) -> Id:
    if shape.id_kind == "int":
        return (number - IDS // 2) * WRITERS + writer
    return f"{writer}/{number}-é"


def owner(id: Id) -> int:
    """The writer whose id it is."""
    return id % WRITERS if isinstance(id, int) else int(id[0])


def vectors_of(shape: Shape, seed: int, batch: Batch) -> NDArray[Any]:
    """[n, dim] in the collection's dtype; no row is zero."""
    rng = np.random.default_rng((seed, *batch.label))
    size = (len(batch.ids), shape.dim)
    if shape.dtype == "uint8":
        return rng.integers(1, 256, size, np.uint8)
    return rng.standard_normal(size, np.float32).astype(shape.dtype)


def payloads_of(seed: int, batch: Batch) -> list[dict[str, Any] | None]:
    rng = random.Random(f"payloads {seed} {batch.label}")
    return [
        None
        if row % 7 == 3
        else {"batch": text_of(batch.label), "row": row, "text": "ü" * rng.randrange(100)}
        for row in range(len(batch.ids))
    ]


def patch_of(batch: Batch) -> dict[str, Any]:
    """The payload of a merge or a replace."""
    return {"row": batch.label[2], "patch": text_of(batch.label)}


def key_of(seed: int, batch: Batch) -> bytes | None:
    return f"{seed}/{text_of(batch.label)}".encode() if batch.keyed else None


def next_batch(
    shape: Shape, seed: int, label: Label, stored: Mapping[Id, str], rows_max: int
) -> Batch:
    """The batch of that label; ``stored``: the writer's records -> label of the batch they name."""
    rng = random.Random(f"batch {seed} {label}")
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    here = sorted(stored)
    free = [id for n in range(IDS) if (id := make_id(shape, label[1], n)) not in stored]
    rows = rng.randint(1, rows_max)
    if kind == "scratch" or kind in BUILDS:
        return Batch(label=label, kind=kind)
    if kind == "insert" and free:
        ids = rng.sample(free, min(rows, len(free)))
    elif kind == "mixed" or not here:
        kind = "mixed"
        every = here + free
        ids = rng.sample(every, min(rows, len(every)))
    else:
        kind = "overwrite" if kind == "insert" else kind
        ids = rng.sample(here, min(rows, len(here)))
    keyed = rng.random() < 0.5
    if kind == "delete_where" and stored[ids[0]]:
        return Batch(label=label, kind=kind, target=stored[ids[0]], keyed=keyed)
    kind = "delete" if kind == "delete_where" else kind
    return Batch(label=label, kind=kind, ids=tuple(ids), keyed=keyed)


def send(db: Any, shape: Shape, seed: int, batch: Batch) -> Any:
    """Write the batch into a database, embedded or remote; returns the ``WriteResult``."""
    collection, ids, key = db.collection(shape.name), list(batch.ids), key_of(seed, batch)
    if batch.kind in UPSERTS:
        return collection.upsert(
            ids,
            vectors_of(shape, seed, batch),
            payloads_of(seed, batch),
            condition={"if_absent": True} if batch.kind == "insert" else None,
            idempotency_key=key,
        )
    if batch.kind == "delete":
        return collection.delete(ids, idempotency_key=key)
    if batch.kind == "delete_where":
        return collection.delete(filter={"batch": batch.target}, idempotency_key=key)
    return collection.set_payload(
        ids, patch_of(batch), replace=batch.kind == "replace", idempotency_key=key
    )


def build(db: Any, shape: Shape, batch: Batch) -> None:
    """Seal or compact; every other time the writer goes on writing meanwhile."""
    collection = db.collection(shape.name)
    wait = batch.label[2] % 2 == 0
    if batch.kind == "seal":
        collection.seal(wait=wait)
    else:
        collection.compact(wait=wait)


def scratch_name(batch: Batch) -> str:
    return f"scratch-{text_of(batch.label)}"


SCRATCH_ROWS = 300


def fill_and_drop(db: Any, batch: Batch) -> None:
    """Make a collection, write into it and delete it: its space is given back in many steps."""
    name = scratch_name(batch)
    scratch = db.create_collection(name, dim=4, metric="l2")
    ids = list(range(SCRATCH_ROWS))
    scratch.upsert(ids, np.ones((SCRATCH_ROWS, 4), np.float32), [{"row": row} for row in ids])
    db.delete_collection(name)
