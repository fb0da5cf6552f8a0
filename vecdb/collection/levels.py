"""What a memory budget keeps in memory of a collection's segments: one of four levels.

==============  ==============================================  =================================
level           in memory                                       read from the disk by a search
==============  ==============================================  =================================
``all``         vectors, codes, graph                           nothing
``graph+codes`` codes, graph                                    the vectors of the shortlist, once
``codes``       codes                                           pages of vectors and neighbours
``entries``     codes of the graph's entry points               the same, with neighbours' codes
==============  ==============================================  =================================

At each level ids, origins and masks are in memory too; what is left is for the cache of pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..index.entries import SAMPLE_STEP
from ..quantize.planes import LANES, Quantizer
from ..schema import CollectionSchema
from ..storage.format import ID_INT, LAYOUT_CODED, LAYOUT_LINKED, LAYOUT_VECTORS
from ..storage.page_geometry import geometry
from ..storage.segment_files import IDS_FILE
from ..storage.segment_info import SegmentInfo

LEVELS = ("all", "graph+codes", "codes", "entries")
GRAPH_SLOTS = 20_000
"""A segment with fewer slots has no graph: reading all its codes takes no longer."""
GRAPH_DEGREE = 32
CACHE_SHARE = 0.05
CACHE_BYTES = 1024 * 1024
"""A level is chosen if it leaves this share of the budget, and at least as many bytes, to pages."""

_RESIDENT = {
    "all": {"vectors", "codes", "links"},
    "graph+codes": {"codes", "links"},
    "codes": {"codes"},
    "entries": {"entries"},
}
_LAYOUTS = {"codes": LAYOUT_LINKED, "entries": LAYOUT_CODED}
ORIGIN_BYTES = 4 + 4
"""Of a slot: its origin, and its place among the sorted ones."""
NORM_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bytes of the parts of some segments. ``always``: ids, origins, masks."""

    always: int
    vectors: int
    codes: int
    links: int
    entries: int

    def at(self, level: str) -> int:
        """Bytes that the level holds beside the cache of pages."""
        parts = _RESIDENT[level]
        entries = 0 if level == "all" and not self.links else self.entries
        held = {"vectors": self.vectors, "codes": self.codes, "links": self.links, "entries": 0}
        return self.always + entries + sum(held[part] for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A level and why.

    - ``budget``: bytes; None: no bound
    - ``sizes``: bytes that each level would hold, by name
    - ``cache_bytes``: what is left for pages while the tail is empty
    """

    level: str
    budget: int | None
    sizes: dict[str, int]
    cache_bytes: int

    @property
    def why(self) -> str:
        """For people."""
        held = self.sizes[self.level]
        if self.budget is None:
            return "no memory budget is set"
        if self.level == LEVELS[-1] and held + cache_least(self.budget) > self.budget:
            return (
                f"the budget of {self.budget} bytes is below the least that the collection needs, "
                f"{held + cache_least(self.budget)} bytes"
            )
        if self.level == LEVELS[0]:
            return f"the budget of {self.budget} bytes holds everything, {held} bytes"
        above = LEVELS[LEVELS.index(self.level) - 1]
        return (
            f"of {self.budget} bytes it takes {held} and leaves {self.cache_bytes} to pages; "
            f"{above} would take {self.sizes[above]}"
        )


def resident(part: str, level: str) -> bool:
    """Whether ``part`` (vectors, codes, links) is in memory at the level."""
    return part in _RESIDENT[level]


def layout_at(schema: CollectionSchema, level: str, slots: int) -> int:
    """In what layout pages of a segment of so many slots are written.

    That of the level, or of the next one above if a page has no room for what it adds.
    """
    if slots < GRAPH_SLOTS or level not in _LAYOUTS:
        return LAYOUT_VECTORS
    words = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits).words
    for layout in range(_LAYOUTS[level], LAYOUT_VECTORS, -1):
        if geometry(schema.dim, schema.dtype, schema.page_bytes, layout, words).per_page:
            return layout
    return LAYOUT_VECTORS


def sizes_of(info: SegmentInfo) -> Sizes:
    """Of a segment that is there."""
    stored = info.files[IDS_FILE].bytes
    ids = 8 * info.count if info.id_kind == ID_INT else stored - 8 * info.count
    degree = 0 if info.graph is None else info.graph.degree
    words, bits = info.quantizer.padded // 64, info.quantizer.bits
    row_bytes = info.dim * {"float32": 4, "float16": 2, "uint8": 1}[info.dtype]
    return _sizes(info.count, ids, words, bits, row_bytes, degree)


def sizes_to_be(schema: CollectionSchema, slots: int, ids_bytes: int) -> Sizes:
    """Of a segment that is to be built of so many slots."""
    quantizer = Quantizer(dim=schema.dim, metric=schema.metric, seed=0, bits=schema.code_bits)
    degree = GRAPH_DEGREE if slots >= GRAPH_SLOTS else 0
    return _sizes(slots, ids_bytes, quantizer.words, quantizer.bits, schema.row_bytes, degree)


def _sizes(count: int, ids: int, words: int, bits: int, row_bytes: int, degree: int) -> Sizes:
    blocks = -(-count // LANES)
    code = 8 * words + 8
    refine = 8 * ((bits - 1) * words + 1) if bits > 1 else 0
    entries = -(-count // SAMPLE_STEP) * (code + 8) if degree else 0
    return Sizes(
        always=ids + count * ORIGIN_BYTES + blocks,
        vectors=count * (row_bytes + NORM_BYTES),
        codes=blocks * LANES * code + count * refine,
        links=4 * count * degree,
        entries=entries,
    )


def add_sizes(some: Sequence[Sizes]) -> Sizes:
    return Sizes(
        always=sum(one.always for one in some),
        vectors=sum(one.vectors for one in some),
        codes=sum(one.codes for one in some),
        links=sum(one.links for one in some),
        entries=sum(one.entries for one in some),
    )


def cache_least(budget: int) -> int:
    return max(CACHE_BYTES, int(CACHE_SHARE * budget))


def choose_level(budget: int | None, sizes: Sizes) -> Plan:
    """The first level that leaves room for pages; the last if none does."""
    at = {level: sizes.at(level) for level in LEVELS}
    if budget is None:
        return Plan(level=LEVELS[0], budget=None, sizes=at, cache_bytes=0)
    if at["all"] <= budget:  # it reads no pages
        return Plan(level="all", budget=budget, sizes=at, cache_bytes=0)
    least = cache_least(budget)
    level = next((one for one in LEVELS[1:] if at[one] + least <= budget), LEVELS[-1])
    left = max(CACHE_BYTES, budget - at[level])
    return Plan(level=level, budget=budget, sizes=at, cache_bytes=left)
