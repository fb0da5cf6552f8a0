"""A segment as one commit sees it: which of its slots are live, and its parts as runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..index.coded import CodedRun, count_bits
from ..index.graph import GraphRun
from ..index.page_walk import PagePart
from ..index.rows import Run
from ..index.tree_walk import TreeRun
from .levels import resident
from .masks import full_mask, unpack_mask
from .residence import Tally
from .sealed_rows import PagedRows, SealedRows
from .segment import Segment
from .slot_sets import SlotSet


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

    def at_level(self, level: str) -> Sealed:
        return replace(self, segment=self.segment.at_level(level))

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

    def rows(self, first: int, some: SlotSet | None = None, tally: Tally | None = None) -> Run:
        """Its slots as a run from ``first`` on; ``some``: those that may match."""
        packed = self.masked(some)
        if self.segment.vectors is None:
            return PagedRows(first=first, segment=self.segment, packed=packed, tally=tally)
        return SealedRows(first=first, segment=self.segment, packed=packed)

    def masked(self, some: SlotSet | None) -> NDArray[np.uint8]:
        """The mask of ``some``, all of them live; None: of all live slots."""
        return self.mask if some is None else some.mask

    @cached_property
    def every(self) -> SlotSet:
        """All live slots."""
        return SlotSet(len(self), mask=self.mask)

    def coded(self, first: int, some: SlotSet | None = None) -> CodedRun:
        """As ``rows``, of codes."""
        segment = self.segment
        return CodedRun(
            first=first,
            codes=segment.codes,
            factors=segment.factors,
            mask=self.masked(some),
            encoder=segment.encoder,
            kappa=segment.kappa,
            mul_max=segment.mul_max,
            refine=segment.refine,
        )

    def graph(self, first: int, some: SlotSet | None = None) -> GraphRun:
        """As ``rows``, for a walk over links in arrays."""
        segment = self.segment
        if segment.links is None or segment.entries is None:
            raise AssertionError("the segment has no links in memory")
        return GraphRun(
            first=first,
            count=len(self),
            codes=segment.codes,
            factors=segment.factors,
            mask=self.masked(some),
            encoder=segment.encoder,
            kappa=segment.kappa,
            mul_max=segment.mul_max,
            refine=segment.refine,
            links=segment.links,
            entries=segment.entries,
        )

    def tree(self, first: int, some: SlotSet | None = None) -> TreeRun | None:
        """As ``rows``, for a walk of its tree; None: its files are gone, codes are left."""
        segment = self.segment
        found = segment.tree.get()
        if found is None:
            return None
        return TreeRun(
            first=first,
            count=len(self),
            codes=segment.codes,
            factors=segment.factors,
            ranked=(some or self.every).ranked,
            matching=(some or self.every).count,
            encoder=segment.encoder,
            kappa=segment.kappa,
            refine=segment.refine,
            tree=found,
        )

    def page_part(self, first: int, some: SlotSet | None = None) -> PagePart:
        """As ``rows``, for a walk that reads neighbours from pages."""
        segment = self.segment
        if segment.pages is None or segment.entries is None:
            raise AssertionError("the segment has no pages to walk on")
        codes = resident("codes", segment.level)
        return PagePart(
            first=first,
            pages=segment.pages,
            mask=self.masked(some),
            count=len(self),
            encoder=segment.encoder,
            kappa=segment.kappa,
            entries=segment.entries,
            codes=segment.codes if codes else None,
            factors=segment.factors if codes else None,
            refine=segment.refine if codes else None,
        )
