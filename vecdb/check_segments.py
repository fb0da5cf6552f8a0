"""The checker's part for sealed segments: files, trees, codes, and whose records they hold.

A segment may be taken by a compaction while it is read. Only a newer transaction can tell that from
one that is lost, so ``Vanished`` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from .check_columns import column_faults
from .collection.adding_columns import missing_columns
from .collection.masks import full_mask, unpack_mask
from .collection.segment import quantizer_of
from .errors import VecDBError
from .index.entries import sample_slots
from .index.graph_build import NONE, graph_faults, merge_links
from .index.rows import as_float32
from .index.tree import Tree, tree_faults
from .quantize.center import mean_of, normalise
from .quantize.planes import LANES, Encoder
from .quantize.rotate import NAME
from .quantize.score import Background
from .storage import segment_files
from .storage.catalogue import CollectionRow, State, columns_due
from .storage.format import LAYOUT_VECTORS, NUMBER, SEGMENT_KEY
from .storage.manifest import SegmentRow, get_background, get_tombs, scan_segments
from .storage.page_geometry import geometry
from .storage.patches import scan_patches
from .storage.records import get_records, id_keys
from .storage.segment_check import verify_segment
from .storage.segment_ids import SegmentIds
from .storage.segment_info import SegmentInfo
from .storage.transaction import Transaction

CODED_BLOCKS = 512
"""Blocks of codes that are made again and compared, spread over a segment."""
_PART_ROWS = 8_192

Count = Callable[[str, int], None]


class Vanished(Exception):
    """The folder of a segment is not there: taken by a compaction meanwhile, or lost."""

    def __init__(self, segment: UUID) -> None:
        super().__init__(f"segment {segment.hex} is not there")
        self.segment = segment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """What is needed of a segment to compare it with the records."""

    info: SegmentInfo
    ids: SegmentIds
    origins: NDArray[np.uint64]
    dead: NDArray[np.uint8]


@dataclass(slots=True, kw_only=True)
class SegmentCheck:
    """The segments of one collection as one transaction sees them; used by one thread.

    - ``deep``: make all codes again, not some
    - ``count``: told what has been verified, and how many
    - ``lost``: segments whose folders were not there in an older transaction either
    - ``held``: origins of the live slots, once ``record_faults`` is exhausted
    """

    directory: Path
    transaction: Transaction
    row: CollectionRow
    state: State
    deep: bool
    count: Count
    lost: Container[UUID]
    held: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    _sound: list[_Sound] = field(default_factory=list)

    def file_faults(self) -> Iterator[str]:
        """What is wrong with the segments by themselves. Raises ``Vanished``."""
        for segment in self._segments():
            self.count("segments", 1)
            faults = [f"segment {segment.uuid.hex}: {what}" for what in self._faults_of(segment)]
            folder = segment_files.segment_folder(self.directory, segment.uuid)
            if faults and not folder.is_dir() and segment.uuid not in self.lost:
                raise Vanished(segment.uuid)
            yield from faults
        yield from self._manifest_faults()

    def record_faults(self, retired: NDArray[np.uint64]) -> Iterator[str]:
        """Each live slot holds a record, each record once. After ``file_faults``, if it found none.

        ``retired``: the slots that the stored operations take out of use.
        """
        found = [np.empty(0, np.uint64)]
        for one in self._sound:
            live = ~unpack_mask(one.dead, len(one.origins)).view(np.bool_)
            slots = np.flatnonzero(live & ~np.isin(one.origins, retired))
            self.count("sealed records", len(slots))
            wrong = self._wrong_owners(one, slots)
            if len(wrong):
                yield (
                    f"segment {one.info.uuid.hex}: {len(wrong)} slots hold no record and are not "
                    f"marked, the first is slot {wrong[0]}"
                )
            for what in self._column_faults(one, slots):
                yield f"segment {one.info.uuid.hex}: {what}"
            found.append(one.origins[slots])
        self.held = np.concatenate(found)
        unique = np.unique(self.held)
        if len(unique) != len(self.held):
            yield f"{len(self.held) - len(unique)} records lie in two segments"
        if len(self.held) != self.state.sealed:
            yield (
                f"its segments hold {len(self.held)} records, and its state says "
                f"{self.state.sealed}"
            )

    def _column_faults(self, one: _Sound, slots: NDArray[np.int64]) -> Iterator[str]:
        patched = scan_patches(self.transaction, self.row.number).origins.astype(np.uint64)
        slots = slots[~np.isin(one.origins[slots], patched)]
        ids = one.ids.take(slots)
        yield from column_faults(self.directory, one.info, self.transaction, self.row, slots, ids)

    def _segments(self) -> list[SegmentRow]:
        return scan_segments(self.transaction, self.row.number)

    def _wrong_owners(self, one: _Sound, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ``slots`` whose id is not stored, or lies elsewhere."""
        wrong: list[int] = []
        for start in range(0, len(slots), _PART_ROWS):
            part = slots[start : start + _PART_ROWS]
            keys = id_keys(self.row.number, one.ids.take(part))
            stored = get_records(self.transaction, keys)
            expected = zip(part.tolist(), keys, one.origins[part].tolist(), strict=True)
            wrong += [slot for slot, key, at in expected if stored.get(key, (-1, 0))[0] != at]
        return np.array(wrong, np.int64)

    # ---------------------------------------------------------------------------- one segment

    def _faults_of(self, segment: SegmentRow) -> Iterator[str]:
        faults = list(verify_segment(self.directory, segment))
        yield from faults
        if faults:
            return
        try:
            info = segment_files.read_info(self.directory, segment.uuid, segment.json_checksum)
            yield from self._schema_faults(info)
            if segment.last_origin >= self.state.first_slot:
                yield (
                    f"it holds slot {segment.last_origin}, and the operations begin at "
                    f"{self.state.first_slot}"
                )
            dead = get_tombs(self.transaction, self.row.number, segment.uuid, info.blocks)
            if (dead & ~full_mask(info.count)).any():
                yield "slots beyond its last one are marked as dead"
            image = segment_files.read_vectors(self.directory, info)
            yield from self._tree_faults(info, image)
            yield from self._code_faults(info, image)
            yield from self._graph_faults(info)
            ids, origins = segment_files.read_ids(self.directory, info)
            self._sound.append(_Sound(info=info, ids=ids, origins=origins, dead=dead))
        except VecDBError as error:
            yield error.message

    def _schema_faults(self, info: SegmentInfo) -> Iterator[str]:
        """``segment.json`` against what the collection is."""
        schema = self.row.schema
        words = info.quantizer.padded // 64
        shape = geometry(schema.dim, schema.dtype, schema.page_bytes, info.layout, words)
        quantizer = quantizer_of(schema, self.row.number)
        coded = info.quantizer
        pairs = {
            "dim": (info.dim, schema.dim),
            "metric": (info.metric, schema.metric),
            "dtype": (info.dtype, schema.dtype),
            "kind of ids": (info.id_kind, self.state.id_kind),
            "pages": ((info.page_bytes, info.per_page), (shape.page_bytes, shape.per_page)),
            "quantizer": (
                (coded.version, coded.rotation, coded.seed, coded.bits, coded.padded, coded.block),
                (
                    quantizer.VERSION,
                    NAME,
                    quantizer.seed,
                    quantizer.bits,
                    quantizer.padded,
                    quantizer.rotation.block,
                ),
            ),
        }
        for name, (found, expected) in pairs.items():
            if found != expected:
                yield f"its {name}: {found}, of the collection: {expected}"
        lacking = missing_columns(info, schema.fields)
        if lacking and not columns_due(self.transaction, self.row.number):
            yield f"it has no column of the field {lacking[0].name!r}, and none is due"

    def _tree_faults(self, info: SegmentInfo, image: NDArray[Any]) -> Iterator[str]:
        arrays = segment_files.read_tree(self.directory, info)
        names = {one.name for one in fields(Tree)}
        if set(arrays) != names:
            yield f"tree: it has the arrays {sorted(arrays)}, expected {sorted(names)}"
            return
        vectors = _CodedVectors(image, unit=info.metric == "cosine")
        yield from tree_faults(Tree(**arrays), info.count, vectors, leaf=info.tree.leaf)

    def _graph_faults(self, info: SegmentInfo) -> Iterator[str]:
        """The links by themselves, and what pages say of them."""
        if info.graph is None:
            return
        links = segment_files.read_graph(self.directory, info)
        roots = sample_slots(info.count)
        for what in graph_faults(links, info.count, roots, info.graph.degree):
            yield f"graph: {what}"
        self.count("links", int((links != NONE).sum()))
        if info.layout == LAYOUT_VECTORS:
            return
        stored, _ = segment_files.read_neighbours(self.directory, info)
        expected = merge_links(links, info.per_page, stored.shape[1])
        bad = np.flatnonzero((stored != expected).any(axis=1))
        if len(bad):
            yield f"graph: page {bad[0]} has other neighbours than its slots"

    def _code_faults(self, info: SegmentInfo, image: NDArray[Any]) -> Iterator[str]:
        """The codes once more from the vectors: they must be the same to the bit."""
        stored = segment_files.read_codes(self.directory, info)
        encoder = Encoder(quantizer_of(self.row.schema, self.row.number), stored.mean)
        if self.deep:
            vectors = _CodedVectors(image, unit=info.metric == "cosine")
            mean = mean_of(vectors[at : at + _PART_ROWS] for at in range(0, len(image), _PART_ROWS))
            if mean.tobytes() != stored.mean.tobytes():
                yield "codes: their mean is not that of the vectors"
        step = 1 if self.deep else -(-info.blocks // CODED_BLOCKS)
        chosen = np.arange(0, info.blocks, step)
        for start in range(0, len(chosen), _PART_ROWS // LANES):
            blocks = chosen[start : start + _PART_ROWS // LANES]
            slots = (LANES * blocks[:, None] + np.arange(LANES)).ravel()
            slots = slots[slots < info.count]
            codes, factors, refine = encoder.quantizer.empty_codes(len(slots))
            encoder.encode(as_float32(image[slots]), 0, codes, factors, refine)
            self.count("codes", len(slots))
            bad = _differ(codes, stored.codes[blocks]) | _differ(factors, stored.fac[blocks])
            if bad.any():
                yield f"codes: block {blocks[bad][0]} is not what its vectors give"
            if refine is not None and stored.refine is not None:
                bad = _differ(refine, stored.refine[slots])
                if bad.any():
                    yield f"codes: slot {slots[bad][0]} has refine planes of another vector"

    # ------------------------------------------------------------------------------- manifest

    def _manifest_faults(self) -> Iterator[str]:
        number = self.row.number
        named = {SEGMENT_KEY.pack(number, one.uuid.bytes) for one in self._segments()}
        scanned = self.transaction.scan("tombs", NUMBER.pack(number))
        marked = {key[: SEGMENT_KEY.size] for key, _ in scanned}
        for key in sorted(marked - named):
            yield f"dead slots are stored of {key.hex()}, which is none of its segments"
        data = get_background(self.transaction, number)
        if data is not None:
            try:
                Background.from_bytes(data)
            except (VecDBError, ValueError) as error:
                yield f"its background of scores: {error}"


class _CodedVectors:
    """The vectors of a segment as its tree was built of them, a slice at a time."""

    def __init__(self, image: NDArray[Any], *, unit: bool) -> None:
        self._image = image
        self._unit = unit

    def __getitem__(self, slots: slice, /) -> NDArray[np.float32]:
        stop = min(slots.stop, len(self._image))
        rows = as_float32(self._image[slots.start : stop])
        return normalise(rows) if self._unit else rows


def _differ(one: NDArray[np.generic], other: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether their parts along the first axis have other bytes."""
    rows = [
        np.ascontiguousarray(part).view(np.uint8).reshape(len(part), -1) for part in (one, other)
    ]
    found: NDArray[np.bool_] = (rows[0] != rows[1]).any(axis=1)
    return found
