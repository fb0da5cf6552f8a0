"""The tail: committed records that no segment holds, in slot order, in memory.

A ``Tail`` is a value: writing makes a new one that shares its arrays. Rows are appended in place
beyond the ``size`` that published tails know of, so readers of an older tail never see them; masks
are copied when a slot is retired. One thread at a time extends the newest tail.

Rows are coded when they are appended, by the scan plane alone: their vectors are at hand anyway.
The codes are about the centre of the newest segment, before the first one about the origin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun
from ..index.rows import Rows, as_float32, row_norms
from ..quantize.bounds import KAPPA
from ..quantize.planes import Encoder
from ..quantize.rotate import padded_dim
from ..schema import CollectionSchema
from ..storage.records import Ids

_BLOCK_BYTES = 8 * 1024 * 1024
_BLOCK_ROWS = (1_024, 16_384)  # fewest, most


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Slots ``first`` .. ``first + used``; the arrays are longer, for rows to come."""

    first: int
    used: int
    live: int
    vectors: NDArray[Any]
    norms: NDArray[np.float64]
    mask: NDArray[np.uint8]
    ids: Ids
    codes: NDArray[np.uint64]
    factors: NDArray[np.float32]

    @property
    def capacity(self) -> int:
        return len(self.norms)

    @property
    def end(self) -> int:
        return self.first + self.used


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Slots below ``size``, ``live`` of them with a record; all below ``first`` are elsewhere."""

    schema: CollectionSchema
    encoder: Encoder
    first: int = 0
    size: int = 0
    blocks: tuple[_Block, ...] = ()

    @cached_property
    def live(self) -> int:
        return sum(block.live for block in self.blocks)

    @property
    def memory_bytes(self) -> int:
        """Of vectors, codes, norms, masks and integer ids; space reserved at the end included."""
        total = 0
        for block in self.blocks:
            total += block.vectors.nbytes + block.norms.nbytes + block.mask.nbytes
            total += block.codes.nbytes + block.factors.nbytes + 8 * block.capacity
        return total

    def append(self, first: int, ids: Ids, vectors: NDArray[Any]) -> Tail:
        """Take records in, at slots ``first`` (``size`` or above: those between hold none) and up.

        ``vectors``: [n, dim] in the dtype of the schema; copied.
        """
        blocks = list(self.blocks)
        norms = row_norms(vectors)
        start = 0
        while start < len(vectors):
            slot = first + start
            if not blocks or blocks[-1].end != slot or blocks[-1].used == blocks[-1].capacity:
                blocks.append(self._new_block(slot, ids))
            block = blocks[-1]
            end = min(len(vectors), start + block.capacity - block.used)
            blocks[-1] = _extend(
                block, ids[start:end], vectors[start:end], norms[start:end], self.encoder
            )
            start = end
        return replace(self, size=first + len(vectors), blocks=tuple(blocks))

    def retire(self, slots: NDArray[np.uint64]) -> Tail:
        """Take slots out of use; a block with no record left gives its memory back.

        Slots that are not here any more are passed over.
        """
        wanted = np.sort(slots.astype(np.int64))
        blocks: list[_Block] = []
        for block in self.blocks:
            low, high = np.searchsorted(wanted, (block.first, block.end))
            if low < high:
                mask = block.mask.copy()
                mask[wanted[low:high] - block.first] = 0
                block = replace(block, mask=mask, live=int(mask[: block.used].sum()))
            if block.live or block.end == self.size:
                blocks.append(block)
        return replace(self, blocks=tuple(blocks))

    def without_first(self, boundary: int) -> Tail:
        """The slots from ``boundary`` on; those before have been sealed."""
        kept = [block for block in self.blocks if block.end > boundary]
        if kept and kept[0].first < boundary:
            head = kept[0]
            mask = head.mask.copy()
            mask[: boundary - head.first] = 0
            kept[0] = replace(head, mask=mask, live=int(mask[: head.used].sum()))
        return replace(self, first=max(self.first, boundary), blocks=tuple(kept))

    def coded_by(self, encoder: Encoder) -> Tail:
        """The same records, coded by another encoder."""
        return replace(
            self,
            encoder=encoder,
            blocks=tuple(_coded(block, encoder) for block in self.blocks),
        )

    def live_slots(self) -> NDArray[np.int64]:
        """The slots that hold a record, ascending."""
        found = [block.first + np.flatnonzero(block.mask[: block.used]) for block in self.blocks]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def holds(self, slots: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each of ``slots`` holds a record."""
        found = np.zeros(len(slots), np.bool_)
        for block in self.blocks:
            here = np.flatnonzero((slots >= block.first) & (slots < block.end))
            rows = slots[here].astype(np.int64) - block.first
            found[here] = block.mask[rows].view(np.bool_)
        return found

    @cached_property
    def coded(self) -> list[CodedRun]:
        """All slots in order, as their codes."""
        return [_coded_run(block, block.mask[: block.used], self.encoder) for block in self.blocks]

    def coded_where(self, slots: NDArray[np.int64]) -> list[CodedRun]:
        """As ``coded``, of these slots alone; they ascend, and each holds a record."""
        return [_coded_run(block, mask, self.encoder) for block, mask in self._masks_of(slots)]

    @cached_property
    def rows(self) -> list[Rows]:
        """All slots in order, for a search."""
        return [_rows(block, block.mask[: block.used]) for block in self.blocks]

    def rows_where(self, slots: NDArray[np.int64]) -> list[Rows]:
        """As ``rows``, of these slots alone; they ascend, and each holds a record."""
        return [_rows(block, mask) for block, mask in self._masks_of(slots)]

    def _masks_of(self, slots: NDArray[np.int64]) -> Iterator[tuple[_Block, NDArray[np.uint8]]]:
        """The blocks that hold some of ``slots``, with a mask of these."""
        for block in self.blocks:
            low, high = np.searchsorted(slots, (block.first, block.end))
            if low < high:
                mask = np.zeros(block.used, np.uint8)
                mask[slots[low:high] - block.first] = 1
                yield block, mask

    def ids_of(self, slots: NDArray[np.int64]) -> Ids:
        places = self._places(slots)
        if self.blocks and isinstance(self.blocks[0].ids, list):
            return [
                str(self.blocks[place].ids[slot - self.blocks[place].first])
                for place, slot in zip(places.tolist(), slots.tolist(), strict=True)
            ]
        ids = np.empty(len(slots), np.int64)
        for place in np.unique(places).tolist():
            here = places == place
            block = self.blocks[place]
            ids[here] = np.asarray(block.ids)[slots[here] - block.first]
        return ids

    def vectors_of(self, slots: NDArray[np.int64]) -> NDArray[Any]:
        """[n, dim], copied."""
        vectors = np.empty((len(slots), self.schema.dim), self.schema.numpy_dtype)
        places = self._places(slots)
        for place in np.unique(places).tolist():
            here = places == place
            block = self.blocks[place]
            vectors[here] = block.vectors[slots[here] - block.first]
        return vectors

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        return np.array([block.first for block in self.blocks], np.int64)

    def _places(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the block of each slot."""
        return np.searchsorted(self._firsts, slots, side="right") - 1

    def _new_block(self, first: int, ids: Ids | Sequence[Any]) -> _Block:
        capacity = block_rows(self.schema)
        codes, factors = _new_codes(capacity, self.encoder)
        return _Block(
            first=first,
            used=0,
            live=0,
            vectors=np.empty((capacity, self.schema.dim), self.schema.numpy_dtype),
            norms=np.empty(capacity, np.float64),
            mask=np.empty(capacity, np.uint8),
            ids=[] if isinstance(ids, list) else np.empty(capacity, np.int64),
            codes=codes,
            factors=factors,
        )


def block_rows(schema: CollectionSchema) -> int:
    """How many rows a block of the tail has room for."""
    fewest, most = _BLOCK_ROWS
    return min(most, max(fewest, _BLOCK_BYTES // schema.row_bytes)) // 8 * 8


def row_bytes(schema: CollectionSchema) -> int:
    """What a record of the tail takes in memory: vector, code, length, integer id and mask."""
    words = padded_dim(schema.dim) // 64
    return schema.row_bytes + 8 * words + 8 + 8 + 8 + 1


def _extend(
    block: _Block,
    ids: Ids,
    vectors: NDArray[Any],
    norms: NDArray[np.float64],
    encoder: Encoder,
) -> _Block:
    used = block.used + len(vectors)
    block.vectors[block.used : used] = vectors
    block.norms[block.used : used] = norms
    block.mask[block.used : used] = 1
    encoder.encode(as_float32(vectors), block.used, block.codes, block.factors)
    if isinstance(block.ids, list):
        block.ids[block.used :] = ids
    else:
        block.ids[block.used : used] = ids
    return replace(block, used=used, live=block.live + len(vectors))


def _new_codes(capacity: int, encoder: Encoder) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    blocks = capacity // 8
    codes = np.zeros((blocks, encoder.quantizer.words, 8), np.uint64)
    return codes, np.zeros((blocks, 2, 8), np.float32)


def _coded(block: _Block, encoder: Encoder) -> _Block:
    codes, factors = _new_codes(block.capacity, encoder)
    encoder.encode(as_float32(block.vectors[: block.used]), 0, codes, factors)
    return replace(block, codes=codes, factors=factors)


def _coded_run(block: _Block, mask: NDArray[np.uint8], encoder: Encoder) -> CodedRun:
    packed = np.packbits(mask, bitorder="little")
    factors = block.factors[: len(packed)]
    return CodedRun(
        first=block.first,
        codes=block.codes[: len(packed)],
        factors=factors,
        mask=packed,
        encoder=encoder,
        kappa=KAPPA,
        mul_max=float(factors[:, 1].max()),
    )


def _rows(block: _Block, mask: NDArray[np.uint8]) -> Rows:
    return Rows(
        first=block.first,
        vectors=block.vectors[: block.used],
        norms=block.norms[: block.used],
        mask=mask,
    )
