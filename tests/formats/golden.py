"""The contents of ``segment_v1``: two segments whose every number follows from a formula.

``python tests/formats/golden.py`` writes them anew: for a new version into a new folder, since
what version 1 is never changes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vecdb.storage.columns import MISSING
from vecdb.storage.manifest import SegmentRow
from vecdb.storage.page_geometry import geometry
from vecdb.storage.segment_info import ColumnInfo, QuantizerInfo, SegmentInfo, TreeInfo
from vecdb.storage.segment_writer import SegmentWriter

ROOT = Path(__file__).with_name("segment_v1")


@dataclass
class Content:
    """What goes into a segment, by name of the array in its file."""

    info: SegmentInfo
    vectors: np.ndarray
    ids: Any
    origins: np.ndarray
    codes: dict[str, np.ndarray | None]
    tree: dict[str, np.ndarray]
    columns: list[list[Any]] = field(default_factory=list)

    def write(self, root: Path) -> tuple[SegmentInfo, int]:
        with SegmentWriter(root, self.info.uuid) as writer:
            shape = geometry(self.info.dim, self.info.dtype, self.info.page_bytes)
            writer.start_pages(shape, self.info.count)
            writer.append_vectors(self.vectors)
            writer.finish_pages()
            writer.write_codes(
                self.codes["codes"], self.codes["fac"], self.codes["refine"], self.codes["mean"]
            )
            writer.write_tree(self.tree)
            writer.write_ids(self.ids, self.origins)
            for index, column in enumerate(self.info.columns):
                writer.write_column(index, column.kind, self.columns[index])
            return writer.commit(self.info)

    def row(self, json_checksum: int) -> SegmentRow:
        return SegmentRow(
            uuid=self.info.uuid,
            count=self.info.count,
            json_checksum=json_checksum,
            sequence=self.info.sequence,
            first_origin=self.info.first_origin,
            last_origin=self.info.last_origin,
        )


def numbers(*shape: int, factor: int = 2_654_435_761) -> np.ndarray:
    """uint64 of that shape, spread over all bits by a multiplicative hash."""
    count = int(np.prod(shape))
    spread = [(n + 1) * factor * 11_400_714_819_323_198_485 % 2**64 for n in range(count)]
    return np.array(spread, np.uint64).reshape(shape)


def fractions(*shape: int) -> np.ndarray:
    """float32 in [-1, 1), exact."""
    whole = (numbers(*shape) >> np.uint64(44)).astype(np.float32)
    return whole / np.float32(2**19) - np.float32(1)


def texts_and_columns() -> Content:
    """45 vectors of 100 float32 on 5 pages, text ids, 4 bits, two columns, three nodes."""
    count, dim, blocks = 45, 100, 6
    codes, fac = numbers(blocks, 2, 8), fractions(blocks, 2, 8)
    codes[-1, :, 5:] = 0
    fac[-1, :, 5:] = 0
    origins = 3 + np.arange(count, dtype=np.uint64) * 7 % count
    info = SegmentInfo(
        uuid=uuid.UUID("00112233445566778899aabbccddeeff"),
        count=count,
        dim=dim,
        metric="cosine",
        dtype="float32",
        id_kind=2,
        page_bytes=4096,
        per_page=10,
        quantizer=QuantizerInfo(
            version=1, rotation="fht3", seed=2**63 + 1, padded=128, block=128, bits=4, kappa=0.6155
        ),
        tree=TreeInfo(leaf=128, branching=32, seed=11, nodes=3),
        columns=(
            ColumnInfo(name="at", kind="datetime"),
            ColumnInfo(name="sprache", kind="keyword"),
        ),
        sequence=2**33 + 1,
        first_origin=3,
        last_origin=count + 2,
    )
    return Content(
        info=info,
        vectors=fractions(count, dim),
        ids=[f"Schlüssel {origin}" for origin in origins],
        origins=origins,
        codes={
            "mean": fractions(dim),
            "codes": codes,
            "fac": fac,
            "refine": numbers(count, 7, factor=3),
        },
        tree={
            "centroids": fractions(3, dim),
            "lo": np.array([0, 0, 20], np.uint32),
            "hi": np.array([45, 20, 45], np.uint32),
            "first_child": np.array([1, -1, -1], np.int32),
            "n_child": np.array([2, 0, 0], np.uint8),
            "parent": np.array([-1, 0, 0], np.int32),
            "level": np.array([0, 1, 1], np.uint8),
            "msd": fractions(3),
            "rmax": fractions(3),
        },
        columns=[
            [MISSING, None, 1_700_000_000_000_000, [-1, 0], []] * 9,
            ["de", ["fr", "de"], MISSING, "ελ", None] * 9,
        ],
    )


def integers_and_bytes() -> Content:
    """9 vectors of 64 uint8 on one page, integer ids, 1 bit, no columns, one node."""
    codes, fac = numbers(2, 1, 8), fractions(2, 2, 8)
    codes[-1, :, 1:] = 0
    fac[-1, :, 1:] = 0
    info = SegmentInfo(
        uuid=uuid.UUID(int=1),
        count=9,
        dim=64,
        metric="l2",
        dtype="uint8",
        id_kind=1,
        page_bytes=4096,
        per_page=63,
        quantizer=QuantizerInfo(
            version=1, rotation="fht3", seed=0, padded=64, block=64, bits=1, kappa=0.613
        ),
        tree=TreeInfo(leaf=128, branching=32, seed=0, nodes=1),
        sequence=1,
        first_origin=0,
        last_origin=8,
    )
    return Content(
        info=info,
        vectors=(numbers(9, 64) >> np.uint64(56)).astype(np.uint8),
        ids=np.array([-(2**63), -1, 0, 1, 2, 3, 4, 5, 2**63 - 1], np.int64),
        origins=np.arange(9, dtype=np.uint64)[::-1].copy(),
        codes={"mean": fractions(64), "codes": codes, "fac": fac, "refine": None},
        tree={"centroids": fractions(1, 64), "lo": np.zeros(1, np.uint32)},
    )


CONTENTS = {"texts": texts_and_columns, "integers": integers_and_bytes}

if __name__ == "__main__":
    for make in CONTENTS.values():
        written, checksum = make().write(ROOT)
        print(f"{written.uuid} {checksum:#010x}")
