"""The contents of ``segment_v2``: the two of ``segment_v1`` with a graph, in the other two layouts.

``python tests/formats/golden_graph.py`` writes them anew, into a new folder for a new version.
"""

from __future__ import annotations

import importlib.util
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vecdb.storage.format import LAYOUT_CODED, LAYOUT_LINKED
from vecdb.storage.page_geometry import PageGeometry, geometry
from vecdb.storage.segment_info import GraphInfo, SegmentInfo
from vecdb.storage.segment_writer import SegmentWriter

ROOT = Path(__file__).with_name("segment_v2")
DEGREE = 4
NONE = 0xFFFFFFFF


def _load_plain() -> Any:
    spec = importlib.util.spec_from_file_location("golden", Path(__file__).with_name("golden.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden"] = module
    spec.loader.exec_module(module)
    return module


plain = _load_plain()


@dataclass
class Linked:
    """A content of ``segment_v1`` with links; the neighbours of page p are the slots behind it."""

    content: Any
    info: SegmentInfo
    links: np.ndarray

    @property
    def shape(self) -> PageGeometry:
        info = self.info
        words = info.quantizer.padded // 64
        return geometry(info.dim, info.dtype, info.page_bytes, info.layout, words)

    @property
    def neighbours(self) -> np.ndarray:
        shape = self.shape
        found = np.full((shape.pages(self.info.count), shape.neighbours), NONE, np.uint32)
        for page, row in enumerate(found):
            behind = np.arange((page + 1) * shape.per_page, self.info.count)[: len(row)]
            row[: len(behind)] = behind
        return found

    def write(self, root: Path) -> tuple[SegmentInfo, int]:
        content = self.content
        with SegmentWriter(root, self.info.uuid) as writer:
            codes, fac = content.codes["codes"], content.codes["fac"]
            writer.start_pages(self.shape, self.info.count, self.neighbours, codes, fac)
            writer.append_vectors(content.vectors)
            writer.finish_pages()
            writer.write_codes(codes, fac, content.codes["refine"], content.codes["mean"])
            writer.write_graph(self.links)
            writer.write_tree(content.tree)
            writer.write_ids(content.ids, content.origins)
            for index, column in enumerate(self.info.columns):
                writer.write_column(index, column.kind, content.columns[index])
            return writer.commit(self.info)


def _linked(content: Any, layout: int, number: int) -> Linked:
    count = content.info.count
    links = (np.arange(count)[:, None] + np.arange(1, DEGREE + 1)) % count
    links = links.astype(np.uint32)
    links[::2, -1] = NONE
    widths = ((0.9, 16), (0.99, 64))
    info = replace(
        content.info,
        uuid=uuid.UUID(int=number),
        layout=layout,
        graph=GraphInfo(degree=DEGREE, widths=widths, page_widths=((0.9, 12), (0.95, 24))),
    )
    made = Linked(content, info, links)
    return replace(made, info=replace(info, per_page=made.shape.per_page))


CONTENTS = {
    "linked": lambda: _linked(plain.texts_and_columns(), LAYOUT_LINKED, 2**100),
    "coded": lambda: _linked(plain.integers_and_bytes(), LAYOUT_CODED, 2**101),
}

if __name__ == "__main__":
    for make in CONTENTS.values():
        written, checksum = make().write(ROOT)
        print(f"{written.uuid} {checksum:#010x}")
