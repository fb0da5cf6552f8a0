"""How much memory a collection takes; docs/memory.md explains the formula."""

from __future__ import annotations

from ..quantize.planes import LANES, Quantizer
from ..schema import CollectionSchema
from .snapshot import Snapshot
from .tail import block_rows

PARTS = ("tail", "codes", "refine", "vectors", "ids", "origins", "norms", "masks")

_ORIGIN = 8 + 8 + 4  # by slot; sorted; and the slot of each of the sorted ones
_NORM = 8


def predict_memory(
    schema: CollectionSchema,
    sealed: int,
    tail: int,
    *,
    text_bytes: float | None = None,
    exact: bool = True,
) -> dict[str, int]:
    """Bytes by part (``PARTS``) of a collection that is loaded.

    - ``sealed``: records in segments, deleted ones that no compaction has dropped included;
      ``tail``: the others
    - ``text_bytes``: the mean length of the ids in UTF-8; None: they are integers
    - ``exact``: an exact search has been made, which wants the length of every vector
    """
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    code = 8 * quantizer.words + 8
    blocks = -(-sealed // LANES)
    room = -(-tail // block_rows(schema)) * block_rows(schema)
    return {
        "tail": room * (schema.row_bytes + code + _NORM + 8 + 1),
        "codes": blocks * LANES * code,
        "refine": sealed * 8 * quantizer.refine_words,
        "vectors": sealed * schema.row_bytes,
        "ids": sealed * 8 + int(sealed * (text_bytes or 0.0)),
        "origins": sealed * _ORIGIN,
        "norms": sealed * _NORM if exact else 0,
        "masks": blocks,
    }


def measure_memory(snapshot: Snapshot | None) -> dict[str, int]:
    """Bytes by part of what is loaded; None: nothing is."""
    total = dict.fromkeys(PARTS, 0)
    if snapshot is None:
        return total
    total["tail"] = snapshot.tail.memory_bytes
    for sealed in snapshot.segments:
        total["masks"] += sealed.mask.nbytes
        for part, size in sealed.segment.memory_bytes().items():
            total[part] += size
    return total
