"""Segments with other contents and right checksums: what only the checker's reasoning can find."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..storage import segment_files
from ..storage.environment import Environment
from ..storage.manifest import (
    SegmentRow,
    delete_segment,
    get_tombs,
    put_segment,
    put_tombs,
)
from ..storage.segment_writer import SegmentWriter
from ..storage.transaction import Transaction

__all__ = ["change_tables", "forge_segment"]

Edit = Callable[[dict[str, Any]], None]


def change_tables(directory: Path, apply: Callable[[Transaction], Any]) -> None:
    """Change tables behind the engine's back, with valid checksums."""
    environment = Environment(directory, read_only=False)
    try:
        environment.write(apply)
    finally:
        environment.close()


def forge_segment(
    directory: Path,
    number: int,
    row: SegmentRow,
    *,
    name: str = "",
    edit: Edit | None = None,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write a segment without columns once more, and put it in the place of the first.

    ``edit`` changes the arrays of part ``name`` (vectors, codes, tree, ids) in place; ``info`` are
    other values of ``segment.json``.
    """
    old = segment_files.read_info(directory, row.uuid, row.json_checksum)
    parts = _read_parts(directory, old)
    if edit is not None:
        edit(parts[name])
    with SegmentWriter(directory, uuid.uuid4()) as writer:
        writer.start_pages(segment_files.page_geometry(old), old.count)
        writer.append_vectors(parts["vectors"]["rows"])
        writer.finish_pages()
        writer.write_codes(**parts["codes"])
        writer.write_tree(parts["tree"])
        writer.write_ids(**parts["ids"])
        made, checksum = writer.commit(replace(old, uuid=writer.uuid, **(info or {})))

    def swap(transaction: Transaction) -> None:
        dead = get_tombs(transaction, number, row.uuid, old.blocks)
        delete_segment(transaction, number, row.uuid)
        forged = replace(row, uuid=made.uuid, json_checksum=checksum)
        put_segment(transaction, number, forged)
        put_tombs(transaction, number, made.uuid, dead)

    change_tables(directory, swap)
    shutil.rmtree(segment_files.segment_folder(directory, row.uuid))


def _read_parts(directory: Path, info: Any) -> dict[str, dict[str, Any]]:
    """The arrays of each file, to be changed."""
    codes = segment_files.read_codes(directory, info)
    ids, origins = segment_files.read_ids(directory, info)
    stored: dict[str, dict[str, Any]] = {
        "vectors": {"rows": segment_files.read_vectors(directory, info)},
        "codes": {
            "codes": codes.codes,
            "fac": codes.fac,
            "refine": codes.refine,
            "mean": codes.mean,
        },
        "tree": segment_files.read_tree(directory, info),
        "ids": {"ids": ids.take(np.arange(info.count)), "origins": origins},
    }
    return {
        part: {name: None if array is None else np.array(array) for name, array in arrays.items()}
        for part, arrays in stored.items()
    }
