"""upload: any amount of records from any source, what failed is told, and it can be resumed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

FIELDS = {"year": "int"}


@pytest.fixture
def docs(api):
    return api.create(metric="cosine", fields=FIELDS)


@pytest.fixture
def vectors(rng):
    return rng.standard_normal((3_000, 4)).astype(np.float32)


@dataclass
class Batch:
    ids: Any
    vectors: Any
    payloads: Any


def stored(docs):
    """(ids, vectors, payloads) of all records."""
    ids: list = []
    parts: list = []
    payloads: list = []
    after = None
    while True:
        page = docs.scroll(after=after, limit=10_000, with_vector=True)
        ids += list(page.ids)
        parts.append(page.vectors)
        payloads += page.payloads
        after = page.next
        if after is None:
            return ids, np.concatenate(parts), payloads


def cut(vectors, *edges):
    bounds = [0, *edges, len(vectors)]
    return [vectors[start:end] for start, end in pairwise(bounds)]


def reused(vectors, rows=500):
    """Arrays as a reader gives them that always fills the same memory."""
    buffer = np.empty((rows, vectors.shape[1]), vectors.dtype)
    for part in cut(vectors, *range(rows, len(vectors), rows)):
        buffer[: len(part)] = part
        yield buffer[: len(part)]
    buffer[:] = np.nan


SOURCES = {
    "array": lambda vectors: vectors,
    "read-only array": lambda vectors: np.frombuffer(vectors.tobytes(), "<f4").reshape(-1, 4),
    "strided array": lambda vectors: np.repeat(vectors, 2, axis=1)[:, ::2],
    "list of vectors": lambda vectors: list(vectors),
    "lists of numbers": lambda vectors: vectors.tolist(),
    "generator of vectors": lambda vectors: (one for one in vectors),
    "list of arrays": lambda vectors: cut(vectors, 1, 1, 700, 2_999),
    "generator of arrays": lambda vectors: (part for part in cut(vectors, 10, 1_024, 2_500)),
    "one array, used again": reused,
}


@pytest.mark.parametrize("name", SOURCES)
def test_source_of_any_kind_is_written_under_row_numbers(docs, vectors, name):
    payloads = [{"year": row} if row % 2 else None for row in range(len(vectors))]
    report = docs.upload(SOURCES[name](vectors), payloads=payloads, progress=False)
    assert (report.ok, report.failed) == (3_000, ())
    assert report.chunks >= 1
    ids, found, texts = stored(docs)
    assert ids == list(range(3_000))
    assert found.tobytes() == vectors.tobytes()
    assert texts == payloads


def test_file_on_disk_is_written_as_it_lies(docs, vectors, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors)
    docs.upload(np.load(tmp_path / "vectors.npy", mmap_mode="r"), progress=False)
    assert stored(docs)[1].tobytes() == vectors.tobytes()


@pytest.mark.parametrize("form", ["tuple", "object"])
def test_batches_bring_their_ids_and_payloads(docs, vectors, form):
    names = [f"r{row:04}" for row in range(3_000)]
    payloads = [{"year": row} for row in range(3_000)]

    def batches():
        buffer = np.empty((100, 4), np.float32)
        for start in range(0, 3_000, 100):
            rows = slice(start, start + 100)
            buffer[:] = vectors[rows]
            given = (names[rows], buffer, payloads[rows] if start else None)
            yield given if form == "tuple" else Batch(*given)

    assert docs.upload(batches(), progress=False).ok == 3_000
    ids, found, texts = stored(docs)
    assert ids == names
    assert found.tobytes() == vectors.tobytes()
    assert texts == [None] * 100 + payloads[100:]


def test_ids_and_payloads_are_given_for_all_rows(docs, vectors):
    ids = np.arange(6_000, 3_000, -1)
    docs.upload(
        iter(cut(vectors, 1_000)), ids, [{"year": row} for row in range(3_000)], progress=False
    )
    found = stored(docs)
    assert found[0] == list(range(3_001, 6_001))
    assert found[1].tobytes() == vectors[::-1].tobytes()
    assert found[2][0] == {"year": 2_999}


def test_nothing_to_upload_is_no_error(docs):
    for source in ([], iter(()), np.empty((0, 4), np.float32)):
        report = docs.upload(source, progress=False)
        assert (report.ok, report.failed, report.chunks) == (0, (), 0)


def test_large_vectors_and_payloads_are_split_by_bytes(api, rng):
    wide = api.create("wide", dim=4_096)
    vectors = rng.standard_normal((700, 4_096)).astype(np.float32)
    report = wide.upload(vectors, progress=False)
    assert (report.ok, report.chunks) == (700, 3)  # 11.5 MB
    assert report.bytes >= vectors.nbytes
    assert wide.get([699], with_vector=True).vectors.tobytes() == vectors[699:].tobytes()
    long = api.create("long")
    payloads = [{"text": f"{row}" * 200_000} for row in range(9)]
    payloads.append({"text": "x" * (2**20 - 11)})
    report = long.upload(np.ones((100, 4), np.float32), payloads=payloads * 10, progress=False)
    assert report.ok == 100
    assert report.chunks >= 5
    assert long.get([99]).payloads == [payloads[9]]


def test_progress_is_told_after_each_chunk(api, rng):
    docs = api.create(dim=4_096)
    told: list[tuple[int, int]] = []
    report = docs.upload(
        rng.standard_normal((700, 4_096)).astype(np.float32),
        progress=lambda records, size: told.append((records, size)),
    )
    assert len(told) == report.chunks == 3
    assert told == sorted(told)
    assert told[-1] == (700, report.bytes)


def test_report_tells_time_and_name(docs, vectors):
    report = docs.upload(vectors, progress=False)
    assert report.seconds > 0
    assert len(bytes.fromhex(report.upload_id)) == 16
    assert report.retries == 0


# ----------------------------------------------------------------------------------- refused


def spoil(vectors):
    """Bad rows of several kinds; returns the arguments and the rows that are bad."""
    vectors = vectors[:1_000].copy()
    vectors[100:140] = 0
    vectors[7] = np.nan
    vectors[900] = np.inf
    payloads: list = [{"year": row} for row in range(1_000)]
    payloads[50] = {"year": "1999"}
    payloads[51] = [1]
    payloads[52] = {"a": float("nan")}
    payloads[53] = {"a": "x" * 2**20}
    payloads[54] = b"{"
    ids: list = [f"r{row:04}" for row in range(1_000)]
    ids[600] = "x" * 257
    ids[601] = ""
    ids[999] = "r0000"
    bad = {*range(100, 140), 7, 900, 50, 51, 52, 53, 54, 600, 601, 999}
    return (vectors, ids, payloads), bad


def test_refused_records_are_told_and_all_others_stored(docs, vectors):
    (given, ids, payloads), bad = spoil(vectors)
    report = docs.upload(given, ids, payloads, on_error="collect", progress=False)
    assert report.ok == 1_000 - len(bad)
    assert sorted(one.id for one in report.failed) == sorted(ids[row] for row in bad)
    found = stored(docs)
    good = [row for row in range(1_000) if row not in bad]
    assert found[0] == [ids[row] for row in good]
    assert found[1].tobytes() == given[good].tobytes()
    assert found[2] == [payloads[row] for row in good]


def test_refusal_names_the_row_of_the_upload(docs, vectors):
    (given, ids, payloads), _ = spoil(vectors)
    report = docs.upload(given, ids, payloads, on_error="collect", progress=False)
    told = {one.id: (one.code, one.message) for one in report.failed}
    for row, code, text in (
        (7, "InvalidArgument", "vectors[7]"),
        (139, "InvalidArgument", "vectors[139]"),
        (50, "InvalidArgument", "payloads[50].year"),
        (51, "InvalidArgument", "payloads[51]"),
        (52, "InvalidArgument", "payloads[52]"),
        (53, "LimitExceeded", "payloads[53]"),
        (54, "InvalidArgument", "payloads[54]"),
        (600, "InvalidArgument", "ids[600]"),
        (601, "InvalidArgument", "ids[601]"),
    ):
        assert told[ids[row]][0] == code
        assert text in told[ids[row]][1]
    assert "ids[999]" in told["r0000"][1]


def test_upload_with_refused_records_raises_unless_told_otherwise(api, docs, vectors):
    (given, ids, payloads), bad = spoil(vectors)
    with api.refuses("UploadFailed") as caught:
        docs.upload(given, ids, payloads, progress=False)
    report = caught.value.report
    assert (report.ok, len(report.failed)) == (1_000 - len(bad), len(bad))
    assert f"{len(bad)} of 1000 records" in str(caught.value)
    assert docs.count() == report.ok


def test_upload_of_bad_records_only_stores_nothing(docs):
    report = docs.upload(np.zeros((5_000, 4), np.float32), on_error="collect", progress=False)
    assert (report.ok, len(report.failed), report.chunks) == (0, 5_000, 0)
    assert (docs.count(), docs.describe().id_kind) == (0, None)


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_numbers_beyond_the_dtype_fail_by_themselves(api, dtype):
    docs = api.create(dtype=dtype)
    vectors = np.ones((500, 4), np.float32)
    vectors[::5, 2] = 1e6
    report = docs.upload(vectors, on_error="collect", progress=False)
    assert [one.id for one in report.failed] == list(range(0, 500, 5))
    assert report.ok == docs.count() == 400


def test_wrong_dimension_fails_every_record(docs):
    report = docs.upload(np.ones((50, 5), np.float32), on_error="collect", progress=False)
    assert (report.ok, len(report.failed)) == (0, 50)
    assert docs.count() == 0


def test_ids_of_the_other_kind_fail_every_record(docs, vectors):
    docs.upsert([1], vectors[:1])
    report = docs.upload(
        vectors[:50], [f"{row}" for row in range(50)], on_error="collect", progress=False
    )
    assert (report.ok, len(report.failed), docs.count()) == (0, 50, 1)


# ------------------------------------------------------------------------------------ resume


def test_resumed_upload_writes_nothing_twice(docs, vectors):
    first = docs.upload(vectors, progress=False)
    before = docs.describe()
    again = docs.upload(vectors, resume=first.upload_id, progress=False)
    assert (again.ok, again.upload_id) == (first.ok, first.upload_id)
    assert docs.describe() == before


def test_resumed_upload_with_refused_records_writes_nothing_twice(docs, vectors):
    arguments, _ = spoil(vectors)
    options = {"on_error": "collect", "progress": False}
    first = docs.upload(*arguments, **options)
    before = docs.describe()
    again = docs.upload(*arguments, resume=first.upload_id, **options)
    assert (again.ok, len(again.failed)) == (first.ok, len(first.failed))
    assert docs.describe() == before


def test_upload_whose_source_fails_can_go_on(api, rng):
    docs = api.create(dim=4_096)
    vectors = rng.standard_normal((1_300, 4_096)).astype(np.float32)
    upload_id = os.urandom(16).hex()

    def source():
        yield vectors[:650]
        yield vectors[650:900]
        raise OSError("the disk of the source failed")

    with pytest.raises(OSError, match="of the source"):
        docs.upload(source(), resume=upload_id, progress=False)
    assert docs.count() % 255 == 0  # whole chunks of 4 MiB, as many as went out in time
    report = docs.upload(vectors, resume=upload_id, progress=False)
    assert (report.ok, docs.count()) == (1_300, 1_300)
    assert docs.scroll(limit=2_000, with_vector=True).vectors.tobytes() == vectors.tobytes()


def test_resumed_upload_of_other_data_is_refused(api, docs, vectors):
    first = docs.upload(vectors, progress=False)
    with api.refuses("UploadFailed") as caught:
        docs.upload(vectors + 1, resume=first.upload_id, progress=False)
    assert "idempotency key" in str(caught.value)
    assert stored(docs)[1].tobytes() == vectors.tobytes()


# ------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"vectors": "text"}, "vectors"),
        ({"vectors": 5}, "vectors"),
        ({"vectors": None}, "vectors"),
        ({"vectors": {"a": 1}}, "vectors"),
        ({"vectors": [5, 6]}, "vectors[0]"),
        ({"vectors": np.ones(4, np.float32)}, "vectors[0]"),
        ({"vectors": [[1, 2, 3, 4], [1, 2, 3]]}, "vectors[1]"),
        ({"vectors": [["1", "2", "3", "4"]]}, "vectors"),
        ({"ids": [1]}, "ids"),
        ({"ids": range(4)}, "ids"),
        ({"ids": "abc"}, "ids"),
        ({"ids": {1, 2, 3}}, "ids"),
        ({"ids": (id for id in range(3))}, "ids"),
        ({"ids": [1, 2, "3"]}, "ids[2]"),
        ({"ids": [1, 2, 2**63]}, "ids[2]"),
        ({"payloads": [{}]}, "payloads"),
        ({"payloads": {"a": 1}}, "payloads"),
        ({"payloads": ({} for _ in range(3))}, "payloads"),
        ({"vectors": iter([np.ones((3, 4), np.float32)]), "ids": [1, 2]}, "ids"),
        ({"vectors": iter([np.ones((3, 4), np.float32)]), "ids": [1, 2, 3, 4]}, "ids"),
        ({"vectors": [([1], np.ones((1, 4), np.float32), None)], "ids": [1]}, "ids"),
        ({"vectors": [([1], np.ones((1, 4), np.float32), None)], "payloads": [{}]}, "payloads"),
        ({"vectors": [([1, 2], np.ones((1, 4), np.float32), None)]}, "ids"),
        ({"on_error": "skip"}, "on_error"),
        ({"resume": "not hexadecimal"}, "resume"),
        ({"resume": "0011"}, "resume"),
        ({"resume": 5}, "resume"),
        ({"progress": "yes"}, "progress"),
    ],
)
def test_upload_that_makes_no_sense_is_refused(api, docs, arguments, field):
    given = {"vectors": np.ones((3, 4), np.float32), "progress": False, **arguments}
    with api.refuses("InvalidArgument", field):
        docs.upload(**given)
