"""The vectors of one scope and category: no lookup reads any other.

Slots are only ever appended; what is dead has its live bit taken away, and once half of them are
dead the living are copied into new arrays. So who still reads older arrays never meets a slot that
means something else now. One thread at a time writes, under the index's lock; anybody reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..quantize.planes import Encoder
from .graph import Graph

EXACT_ROWS = 256
"""Up to this size products are faster than codes, which take 30 us to begin with."""
CODED_AT_ONCE = 64
"""Newer slots than so many are coded together: alone each would take 25 us, so they take one."""
RING = 64
_LEAST = 4
_DEAD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a lookup reads; arrays have room for slots to come.

    - ``vectors``: f32[n, dim], of length 1; ``live``: u8[n]; ``rows``, ``entries``: i64[n]
    - ``codes``, ``factors``, ``mask``: as the engine's scan has them, of the slots below
      ``coded``; None while it is small
    - ``ring``: i64[RING], slots that were hit last, -1: none
    - ``graph``: of the slots below ``linked``; None: there is none
    """

    size: int
    vectors: NDArray[np.float32]
    live: NDArray[np.uint8]
    rows: NDArray[np.int64]
    entries: NDArray[np.int64]
    ring: NDArray[np.int64]
    codes: NDArray[np.uint64] | None = None
    factors: NDArray[np.float32] | None = None
    mask: NDArray[np.uint8] | None = None
    coded: int = 0
    graph: Graph | None = None
    linked: int = 0


class Partition:
    """``number``: its place in the index; ``tenant``: of its scope."""

    def __init__(
        self, number: int, fingerprint: bytes, scope: bytes, category: str, tenant: str, dim: int
    ) -> None:
        self.number = number
        self.fingerprint = fingerprint
        self.scope = scope
        self.category = category
        self.tenant = tenant
        self.count = 0  # of live slots
        self.building = False  # somebody makes a graph of it
        self._ring_at = 0
        self.view = _empty(_LEAST, dim)

    @property
    def nbytes(self) -> int:
        view = self.view
        some = (view.vectors, view.live, view.rows, view.entries, view.codes, view.factors)
        total = sum(one.nbytes for one in some if one is not None)
        return total + (0 if view.graph is None else view.graph.nbytes)

    def append(self, row: int, entry: int, vector: NDArray[np.float32], encoder: Encoder) -> int:
        """Take a vector in; its slot."""
        view = self.view
        if view.size == len(view.live):
            view = _grown(view, 2 * view.size)
        slot = view.size
        view.vectors[slot] = vector
        view.rows[slot] = row
        view.entries[slot] = entry
        view.live[slot] = 1  # after all that a reader will look at
        self.count += 1
        view = replace(view, size=slot + 1)
        if view.size > EXACT_ROWS and view.size - view.coded >= CODED_AT_ONCE:
            view = _coded(view, encoder)
        self.view = view
        return slot

    def kill(self, slot: int) -> None:
        view = self.view
        view.live[slot] = 0
        if view.mask is not None and slot < view.coded:
            view.mask[slot >> 3] &= ~np.uint8(1 << (slot & 7))
        self.count -= 1

    @property
    def is_sparse(self) -> bool:
        dead = self.view.size - self.count
        return dead >= 64 and dead > _DEAD * self.view.size

    def compact(self, encoder: Encoder) -> NDArray[np.int64]:
        """Copy what lives; the rows whose slots are now 0, 1, 2, ..."""
        old = self.view
        kept = np.flatnonzero(old.live[: old.size])
        view = _empty(max(_LEAST, 2 * len(kept)), old.vectors.shape[1])
        view.vectors[: len(kept)] = old.vectors[kept]
        view.rows[: len(kept)] = old.rows[kept]
        view.entries[: len(kept)] = old.entries[kept]
        view.live[: len(kept)] = 1
        view = replace(view, size=len(kept))
        if len(kept) > EXACT_ROWS:
            view = _coded(view, encoder)
        self.count = len(kept)
        self.view = view
        return view.rows[: view.size]

    def note_hit(self, view: View, slot: int) -> None:
        """Remember a slot among those that were hit last; a race loses one, and no more."""
        ring = view.ring
        at = self._ring_at
        ring[at % RING] = slot
        self._ring_at = at + 1

    def link(self, graph: Graph, view: View, linked: int) -> bool:
        """Search by ``graph`` from now on; False: the slots have been given out anew."""
        now = self.view
        if now.ring is not view.ring:
            return False
        self.view = replace(now, graph=graph, linked=linked)
        return True


def _empty(room: int, dim: int) -> View:
    return View(
        size=0,
        vectors=np.empty((room, dim), np.float32),
        live=np.zeros(room, np.uint8),
        rows=np.empty(room, np.int64),
        entries=np.empty(room, np.int64),
        ring=np.full(RING, -1, np.int64),
    )


def _grown(view: View, room: int) -> View:
    """The same with more room; codes are given theirs where a slot needs them."""
    vectors = np.empty((room, view.vectors.shape[1]), np.float32)
    vectors[: view.size] = view.vectors[: view.size]
    live, rows, entries = (np.zeros(room, one.dtype) for one in (view.live, view.rows, view.rows))
    live[: view.size] = view.live[: view.size]
    rows[: view.size] = view.rows[: view.size]
    entries[: view.size] = view.entries[: view.size]
    return replace(view, vectors=vectors, live=live, rows=rows, entries=entries)


def _coded(view: View, encoder: Encoder) -> View:
    """With the codes of all its slots, and room for those of slots to come."""
    codes, factors, mask = view.codes, view.factors, view.mask
    blocks = -(-len(view.live) // 8)
    if codes is None or factors is None or mask is None or len(codes) < blocks:
        codes, factors, _ = encoder.quantizer.empty_codes(len(view.live))
        mask = np.zeros(blocks, np.uint8)
        if view.codes is not None and view.factors is not None and view.mask is not None:
            codes[: len(view.codes)] = view.codes
            factors[: len(view.factors)] = view.factors
            mask[: len(view.mask)] = view.mask
    encoder.encode(view.vectors[view.coded : view.size], view.coded, codes, factors)
    first = view.coded >> 3
    packed = np.packbits(view.live[8 * first : view.size], bitorder="little")
    mask[first : first + len(packed)] = packed
    return replace(view, codes=codes, factors=factors, mask=mask, coded=view.size)
