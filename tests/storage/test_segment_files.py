"""A segment's folder: it appears whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from dataclasses import replace

import numpy as np
import pytest

from vecdb.errors import DataCorruption, LimitExceeded, StorageError
from vecdb.storage import segment_files
from vecdb.storage.page_geometry import geometry
from vecdb.storage.segment_files import (
    list_orphans,
    read_codes,
    read_column,
    read_ids,
    read_info,
    read_tree,
    read_vectors,
    remove_segment,
    sweep,
)
from vecdb.storage.segment_writer import SegmentWriter

FILES = ["codes", "columns/0", "columns/1", "ids", "segment.json", "tree", "vectors.pages"]


def names_in(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("texts", [True, False])
def test_segment_comes_back_whole(new_segment, bits, texts):
    written = new_segment(bits=bits, texts=texts).write()
    root = written.root
    info = read_info(root, written.uuid, written.checksum)
    assert info == written.info
    assert sorted([*info.files, "segment.json"]) == FILES == names_in(written.folder)
    codes = read_codes(root, info)
    assert np.array_equal(codes.codes, written.codes)
    assert np.array_equal(codes.fac, written.fac)
    assert np.array_equal(codes.mean, written.vectors.mean(axis=0))
    if bits == 1:
        assert codes.refine is None
    else:
        assert np.array_equal(codes.refine, written.refine)
    assert np.array_equal(read_vectors(root, info), written.vectors)
    assert read_tree(root, info)["lo"].tolist() == [0, 0, 20]
    ids, origins = read_ids(root, info)
    assert list(ids.take(np.arange(45))) == list(written.ids)
    assert np.array_equal(origins, written.origins)
    assert read_column(root, info, 0).words == ("de", "en", "fr")
    assert read_column(root, info, 1).values[:3].tolist() == [2000, 1, 2]
    assert written.faults() == []


def test_same_contents_make_the_same_bytes(new_segment, tmp_path):
    first = new_segment().write()
    again = type(first)(tmp_path, first.uuid).write()
    assert again.checksum == first.checksum
    for name in FILES:
        assert (again.folder / name).read_bytes() == (first.folder / name).read_bytes()


def test_segment_without_columns_has_no_folder_of_them(new_segment):
    segment = new_segment()
    segment.info = replace(segment.info, columns=())
    segment.write().read_all()
    assert not (segment.folder / "columns").exists()
    assert segment.faults() == []


# ------------------------------------------------------------------------ whole or not at all


def test_nothing_is_seen_before_the_commit(new_segment):
    segment = new_segment()
    with SegmentWriter(segment.root, segment.uuid) as writer:
        segment.fill(writer)
        assert os.listdir(segment.root / "segments") == [f"{segment.uuid.hex}.new"]
        writer.commit(segment.info)
        assert os.listdir(segment.root / "segments") == [segment.uuid.hex]


def test_segment_given_up_leaves_nothing(new_segment):
    segment = new_segment()
    with SegmentWriter(segment.root, segment.uuid) as writer:
        writer.start_pages(geometry(100, "float32"), 45)
        writer.append_vectors(segment.vectors[:3])
    assert os.listdir(segment.root / "segments") == []


def test_committed_segment_can_still_be_taken_back(new_segment):
    segment = new_segment()
    with SegmentWriter(segment.root, segment.uuid) as writer:
        segment.fill(writer)
        writer.commit(segment.info)
    writer.abort()
    assert os.listdir(segment.root / "segments") == []


def test_segment_that_lacks_a_file_is_not_committed(new_segment):
    segment = new_segment()
    with SegmentWriter(segment.root, segment.uuid) as writer:
        writer.write_tree(segment.tree)
        with pytest.raises(AssertionError, match="tree"):
            writer.commit(segment.info)
    assert os.listdir(segment.root / "segments") == []


def test_every_file_and_folder_is_synced_before_the_rename(new_segment, monkeypatch):
    events = []
    sync, rename = os.fsync, os.rename

    def note_sync(handle):
        events.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def note_rename(source, target):
        events.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    segment = new_segment().write()
    at = events.index("renamed")
    files = {os.path.basename(name) for name in FILES}
    assert set(events[:at]) == files | {"columns", f"{segment.uuid.hex}.new"}
    assert events[at - 1] == f"{segment.uuid.hex}.new"
    assert events[at + 1 :] == ["segments", "db"]


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fsync", "pwrite", "rename"])
@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, LimitExceeded), (errno.EIO, StorageError)]
)
def test_disk_that_refuses_leaves_nothing_and_is_told(new_segment, monkeypatch, call, code, kind):
    real = getattr(os, call)

    def count_down(*arguments, **options):
        calls.append(arguments)
        if len(calls) == refuse[0]:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, count_down)
    calls, refuse = [], [0]
    new_segment(1).write()
    total = len(calls)
    assert total
    for refuse[0] in range(1, total + 1):
        calls.clear()
        segment = new_segment(2)
        with pytest.raises(kind):
            segment.write()
        folder = segment.root / "segments"
        assert not folder.exists() or os.listdir(folder) == [uuid.UUID(int=1).hex]


def test_sweep_removes_only_what_no_manifest_names(new_segment):
    kept, lost = new_segment(1).write(), new_segment(2).write()
    root = kept.root
    (root / "segments" / f"{uuid.UUID(int=3).hex}.new" / "columns").mkdir(parents=True)
    (root / "segments" / "notes").mkdir()
    orphans = [uuid.UUID(int=2).hex, f"{uuid.UUID(int=3).hex}.new"]
    assert list_orphans(root, {kept.uuid}) == orphans
    assert sweep(root, {kept.uuid}) == orphans
    assert sorted(os.listdir(root / "segments")) == sorted([kept.uuid.hex, "notes"])
    assert sweep(root, {kept.uuid, lost.uuid}) == []
    kept.read_all()


def test_sweep_of_a_database_without_segments_does_nothing(tmp_path):
    assert sweep(tmp_path, set()) == []


def test_removed_segment_is_missing(written):
    remove_segment(written.root, written.uuid)
    remove_segment(written.root, written.uuid)
    with pytest.raises(DataCorruption) as caught:
        written.read_all()
    assert caught.value.reason == "MISSING_FILE"


def test_names_on_disk_are_those_of_the_document():
    assert segment_files.SEGMENTS == "segments"
    assert segment_files.column_file(3) == "columns/3"
