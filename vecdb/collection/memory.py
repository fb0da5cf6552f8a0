"""How much memory a collection takes; docs/memory.md explains the formula."""

from __future__ import annotations

from ..index.entries import SAMPLE_STEP
from ..quantize.planes import LANES, Quantizer
from ..schema import CollectionSchema
from .levels import GRAPH_DEGREE, GRAPH_SLOTS, NORM_BYTES, ORIGIN_BYTES, resident
from .snapshot import Snapshot
from .tail import block_rows, row_bytes

PARTS = (
    "tail",
    "codes",
    "refine",
    "graph",
    "entries",
    "vectors",
    "ids",
    "origins",
    "norms",
    "masks",
    "pages",
)


def predict_memory(
    schema: CollectionSchema,
    sealed: int,
    tail: int,
    *,
    text_bytes: float | None = None,
    exact: bool = True,
    level: str = "all",
) -> dict[str, int]:
    """Bytes by part (``PARTS``) of a collection that is loaded.

    - ``sealed``: records in segments, deleted ones that no compaction has dropped included;
      ``tail``: the others
    - ``text_bytes``: the mean length of the ids in UTF-8; None: they are integers
    - ``exact``: an exact search has been made, which wants the length of every vector
    - ``level``: what a memory budget leaves of it; the pages in its cache come on top
    """
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    code = 8 * quantizer.words + 8
    blocks = -(-sealed // LANES)
    degree = GRAPH_DEGREE if sealed >= GRAPH_SLOTS else 0
    entries = -(-sealed // SAMPLE_STEP) if degree else 0
    codes, links, vectors = (resident(part, level) for part in ("codes", "links", "vectors"))
    room = -(-tail // block_rows(schema)) * block_rows(schema)
    return {
        "tail": room * row_bytes(schema),
        "codes": blocks * LANES * code if codes else 0,
        "refine": sealed * 8 * quantizer.refine_words if codes else 0,
        "graph": 4 * degree * sealed if links else 0,
        "entries": -(-entries // LANES) * LANES * code + 8 * entries,
        "vectors": sealed * schema.row_bytes if vectors else 0,
        "ids": sealed * 8 + int(sealed * (text_bytes or 0.0)),
        "origins": sealed * ORIGIN_BYTES,
        "norms": sealed * NORM_BYTES if exact and vectors else 0,
        "masks": blocks,
        "pages": 0,
    }


def measure_memory(snapshot: Snapshot | None, cache_bytes: int = 0) -> dict[str, int]:
    """Bytes by part of what is loaded (None: nothing is), and of the cache of pages."""
    total = dict.fromkeys(PARTS, 0)
    if snapshot is None:
        return total
    total["pages"] = cache_bytes
    total["tail"] = snapshot.tail.memory_bytes
    for sealed in snapshot.segments:
        total["masks"] += sealed.mask.nbytes
        for part, size in sealed.segment.memory_bytes().items():
            total[part] += size
    return total
