"""The tree of a segment: mapped and verified when a search first walks it."""

from __future__ import annotations

import threading
from dataclasses import fields
from pathlib import Path

from ..errors import DataCorruption
from ..index.tree import Tree
from ..storage import segment_files
from ..storage.array_file import MappedArrays
from ..storage.files import damaged_part
from ..storage.segment_info import SegmentInfo


class SegmentTree:
    """Safe for any thread."""

    def __init__(self, root: Path, info: SegmentInfo) -> None:
        self._root = root
        self._info = info
        self._lock = threading.Lock()
        self._found: tuple[Tree, MappedArrays] | None = None  # Set once, under self._lock.
        self._gone = False  # Guarded by self._lock.

    def get(self) -> Tree | None:
        """None: a compaction has taken the segment and its files before they were asked for.

        ``DataCorruption`` names a file that is damaged.
        """
        with self._lock:
            if self._found is None and not self._gone:
                self._found = self._map()
                self._gone = self._found is None
            return None if self._found is None else self._found[0]

    def _map(self) -> tuple[Tree, MappedArrays] | None:
        folder = segment_files.segment_folder(self._root, self._info.uuid)
        try:
            mapped = segment_files.map_tree(self._root, self._info)
        except DataCorruption:
            if not folder.is_dir():
                return None
            raise
        names = {one.name for one in fields(Tree)}
        if set(mapped.arrays) != names:
            raise damaged_part(
                folder / segment_files.TREE_FILE, 0, f"it has the arrays {sorted(mapped.arrays)}"
            )
        return Tree(**mapped.arrays), mapped

    def release(self) -> None:
        """Let go of the memory that reading has brought in."""
        with self._lock:
            found = self._found
        if found is not None:
            found[1].release()
