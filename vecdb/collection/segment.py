"""A sealed segment in memory: verified once when it is loaded, never changed after that.

A record keeps the slot that it was given in the tail; inside a segment that number is its
``origin``. ``Segment`` is what the files say; ``Sealed`` is a segment as one commit sees it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun, count_bits
from ..index.rows import Rows, as_float32, row_norms
from ..quantize.planes import Encoder, Quantizer
from ..schema import CollectionSchema
from ..storage import segment_files
from ..storage.manifest import SegmentRow

_NORM_ROWS = 16_384


def quantizer_of(schema: CollectionSchema, number: int) -> Quantizer:
    """The quantizer of a collection: its seed is the collection's number."""
    return Quantizer(dim=schema.dim, metric=schema.metric, seed=number, bits=schema.code_bits)


class Segment:
    """The verified contents of one segment's files. Immutable; safe for any thread."""

    def __init__(self, root: Path, row: SegmentRow, schema: CollectionSchema, number: int) -> None:
        """Read and verify all files; ``DataCorruption`` names what is damaged."""
        self.row = row
        self.uuid = row.uuid
        self.info = info = segment_files.read_info(root, row.uuid, row.json_checksum)
        codes = segment_files.read_codes(root, info)
        self.codes = codes.codes
        self.factors = codes.fac
        self.refine = codes.refine
        self.encoder = Encoder(quantizer_of(schema, number), codes.mean)
        self.kappa = info.quantizer.kappa
        self.mul_max = float(codes.fac[:, 1].max())
        self.ids, self.origins = segment_files.read_ids(root, info)
        self.order = np.argsort(self.origins, kind="stable").astype(np.uint32)
        self._sorted: NDArray[np.uint64] = self.origins[self.order]
        self.vectors = segment_files.read_vectors(root, info)
        self._norms: NDArray[np.float64] | None = None  # Set once, under self._lock.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.origins)

    @property
    def blocks(self) -> int:
        return len(self.codes)

    def slots_of(self, origins: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slots of those of ``origins`` (in any order) that are in this segment, ascending."""
        if not len(origins) or not len(self):
            return np.empty(0, np.int64)
        wanted = np.asarray(origins, np.uint64)
        wanted = wanted[(wanted >= self._sorted[0]) & (wanted <= self._sorted[-1])]
        places = np.searchsorted(self._sorted, wanted)
        found = self.order[places[self._sorted[places] == wanted]]
        return np.sort(found.astype(np.int64))

    def slot_of_each(self, origins: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slot of each of ``origins``, in their order; -1: not in this segment."""
        wanted = np.asarray(origins, np.uint64)
        places = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        return np.where(self._sorted[places] == wanted, self.order[places].astype(np.int64), -1)

    @property
    def norms(self) -> NDArray[np.float64]:
        """float64[n]; computed when exact search first asks for them."""
        with self._lock:
            if self._norms is None:
                norms = np.empty(len(self), np.float64)
                for start in range(0, len(self), _NORM_ROWS):
                    stop = min(len(self), start + _NORM_ROWS)
                    norms[start:stop] = row_norms(self.vectors[start:stop])
                self._norms = norms
            return self._norms

    def memory_bytes(self) -> dict[str, int]:
        """Bytes held, by part."""
        norms = self._norms
        return {
            "codes": self.codes.nbytes + self.factors.nbytes,
            "refine": 0 if self.refine is None else self.refine.nbytes,
            "vectors": self.vectors.nbytes,
            "ids": self.ids.nbytes,
            "origins": self.origins.nbytes + self._sorted.nbytes + self.order.nbytes,
            "norms": 0 if norms is None else norms.nbytes,
        }


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A segment as one commit sees it. ``mask``: u8[blocks], bit l of byte b: slot 8b+l is live."""

    segment: Segment
    mask: NDArray[np.uint8]
    live: int

    @classmethod
    def without(cls, segment: Segment, dead: NDArray[np.uint8]) -> Sealed:
        """All slots but those whose bits are set in ``dead`` ([blocks])."""
        mask = full_mask(len(segment)) & ~dead
        return cls(segment=segment, mask=mask, live=count_bits(mask))

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def dead(self) -> NDArray[np.uint8]:
        """u8[blocks]: bits of the slots that hold no record any more."""
        return full_mask(len(self)) & ~self.mask

    def retire(self, origins: NDArray[np.uint64]) -> Sealed:
        """Take records out of use; those that are not here are passed over."""
        slots = self.segment.slots_of(origins)
        if not len(slots):
            return self
        mask = self.mask.copy()
        np.bitwise_and.at(mask, slots >> 3, ~(np.uint8(1) << (slots & 7).astype(np.uint8)))
        return replace(self, mask=mask, live=count_bits(mask))

    def live_slots(self) -> NDArray[np.int64]:
        return np.flatnonzero(unpack_mask(self.mask, len(self)))

    def rows(self, first: int, mask: NDArray[np.uint8] | None = None) -> SealedRows:
        """Its slots as a run from ``first`` on; ``mask`` (packed): those that may match."""
        packed = self.mask if mask is None else mask & self.mask
        return SealedRows(first=first, segment=self.segment, packed=packed)

    def coded(self, first: int, mask: NDArray[np.uint8] | None = None) -> CodedRun:
        """As ``rows``, of codes."""
        segment = self.segment
        return CodedRun(
            first=first,
            codes=segment.codes,
            factors=segment.factors,
            mask=self.mask if mask is None else mask & self.mask,
            encoder=segment.encoder,
            kappa=segment.kappa,
            mul_max=segment.mul_max,
            refine=segment.refine,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRows:
    """A segment's slots as ``index.rows.Run``; ``packed``: a bit for each that may match."""

    first: int
    segment: Segment
    packed: NDArray[np.uint8]

    @property
    def dim(self) -> int:
        return int(self.segment.vectors.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.segment.vectors.dtype

    def __len__(self) -> int:
        return len(self.segment)

    def part(self, start: int, stop: int) -> Rows:
        skipped = start & 7
        bits = np.unpackbits(
            self.packed[start >> 3 : (stop + 7) >> 3],
            count=skipped + stop - start,
            bitorder="little",
        )
        return Rows(
            first=self.first + start,
            vectors=self.segment.vectors[start:stop],
            norms=self.segment.norms[start:stop],
            mask=bits[skipped:],
        )

    def matching_count(self) -> int:
        return count_bits(self.packed)

    def pick(self, row_of: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        vectors = self.segment.vectors
        if vectors.dtype == np.float32:
            return vectors, row_of
        return as_float32(vectors[row_of]), np.arange(len(row_of))

    def norms_of(self, row_of: NDArray[np.int64]) -> NDArray[np.float64]:
        return row_norms(self.segment.vectors[row_of])


def full_mask(count: int) -> NDArray[np.uint8]:
    """u8[ceil(count / 8)] with one bit for each of ``count`` slots."""
    mask = np.full(-(-count // 8), 0xFF, np.uint8)
    if count % 8:
        mask[-1] = (1 << count % 8) - 1
    return mask


def pack_slots(slots: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """The mask of a segment of ``count`` slots in which the bits of ``slots`` are set."""
    rows = np.zeros(count, np.uint8)
    rows[slots] = 1
    return np.packbits(rows, bitorder="little")


def unpack_mask(mask: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return np.unpackbits(mask, count=count, bitorder="little")
