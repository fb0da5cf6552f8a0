"""What upload takes, and how it is cut into chunks."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb_client import errors, limits
from vecdb_client.chunks import CHUNK_RECORDS, pack
from vecdb_client.sources import PIECE_RECORDS, Source

ROWS = np.arange(12, dtype=np.float32).reshape(6, 2)


def read(vectors, ids=None, payloads=None, total=None):
    """(ids, vectors, payloads) of the whole source."""
    pieces = list(Source(vectors, ids, payloads, total))
    return (
        [id for piece in pieces for id in list(piece.ids)],
        [row.tolist() for piece in pieces for row in piece.vectors],
        [one for piece in pieces for one in (piece.payloads or [None] * len(piece.vectors))],
    )


def batch(start, stop):
    return SimpleNamespace(
        ids=[f"id{row}" for row in range(start, stop)],
        vectors=ROWS[start:stop],
        payloads=[{"row": row} for row in range(start, stop)],
    )


@pytest.mark.parametrize(
    "vectors",
    [
        ROWS,
        ROWS.tolist(),
        list(ROWS),
        iter(ROWS),
        [ROWS[:4], ROWS[4:]],
        iter([ROWS[:1], ROWS[1:]]),
        np.asfortranarray(ROWS),
        np.repeat(ROWS, 2, axis=0)[::2],
    ],
)
def test_all_forms_give_the_same_rows(vectors):
    ids, rows, _ = read(vectors)
    assert ids == list(range(6))
    assert rows == ROWS.tolist()


def test_memmap_is_read_piece_by_piece(tmp_path):
    big = np.memmap(tmp_path / "vectors", np.float32, "w+", shape=(3 * PIECE_RECORDS + 1, 2))
    pieces = list(Source(big, None, None, None))
    assert [len(piece.vectors) for piece in pieces] == [PIECE_RECORDS] * 3 + [1]
    assert pieces[-1].row == 3 * PIECE_RECORDS


@pytest.mark.parametrize(
    "batches",
    [
        [batch(0, 4), batch(4, 6)],
        [(one.ids, one.vectors, one.payloads) for one in (batch(0, 4), batch(4, 6))],
    ],
)
def test_batches_bring_their_ids_and_payloads(batches):
    ids, rows, payloads = read(iter(batches))
    assert ids == [f"id{row}" for row in range(6)]
    assert rows == ROWS.tolist()
    assert payloads == [{"row": row} for row in range(6)]


def test_columns_beside_arrays_belong_to_all_rows():
    ids, _, payloads = read(
        iter([ROWS[:4], ROWS[4:]]), list("abcdef"), [{"n": n} for n in range(6)]
    )
    assert ids == list("abcdef")
    assert payloads[5] == {"n": 5}


def test_double_precision_is_converted_with_one_warning():
    with pytest.warns(UserWarning, match="float64") as caught:
        _, rows, _ = read(np.repeat(ROWS.astype(np.float64), PIECE_RECORDS, axis=0))
    assert len(caught) == 1
    assert rows[-1] == ROWS[-1].tolist()


@pytest.mark.parametrize(
    ("vectors", "ids", "payloads", "field"),
    [
        (ROWS, [1, 2], None, "ids"),
        (ROWS, None, [{}], "payloads"),
        (ROWS, "abcdef", None, "ids"),
        (ROWS, iter(range(6)), None, "ids"),
        ("text", None, None, "vectors"),
        (5, None, None, "vectors"),
        ({"a": 1}, None, None, "vectors"),
    ],
)
def test_wrong_columns_are_refused_before_anything_is_read(vectors, ids, payloads, field):
    with pytest.raises(errors.InvalidArgument) as caught:
        Source(vectors, ids, payloads, None)
    assert caught.value.field == field


@pytest.mark.parametrize("ids", [[1, 2, 3, 4], list(range(8))])
def test_wrong_number_of_ids_for_an_iterable_is_found_while_reading(ids):
    with pytest.raises(errors.InvalidArgument, match="one a record"):
        read(iter([ROWS[:3], ROWS[3:]]), ids)


def test_ids_beside_batches_are_refused():
    with pytest.raises(errors.InvalidArgument, match="leave the arguments out"):
        read(iter([batch(0, 6)]), ids=[1])


def test_id_of_another_kind_is_named_by_its_row():
    ids = [*range(PIECE_RECORDS + 1), "x", 8, 9, 10]
    rows = np.ones((len(ids), 2), np.float32)
    with pytest.raises(errors.InvalidArgument) as caught:
        read(rows, ids)
    assert caught.value.field == f"ids[{PIECE_RECORDS + 1}]"
    assert f"ids[{PIECE_RECORDS + 1}]" in caught.value.message


def test_total_is_known_of_an_array_and_told_of_an_iterable():
    assert Source(ROWS, None, None, None).total == 6
    assert Source(iter([ROWS]), None, None, 6).total == 6


def chunks_of(vectors, payloads=None):
    chunks = list(pack(Source(vectors, None, payloads, None), lambda id, error: None))
    return [(chunk.rows.tolist(), chunk.payloads) for chunk in chunks]


@given(
    sizes=st.lists(st.integers(0, 300), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    target=st.integers(50, 900),
)
def test_chunks_depend_on_the_rows_alone(sizes, cuts, target):
    rows = np.ones((len(sizes), 2), np.float32)
    payloads = [b"x" * size for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "UPLOAD_CHUNK_BYTES", target)
        whole = chunks_of(rows, payloads)
        edges = sorted({0, len(sizes), *(cut for cut in cuts if cut < len(sizes))})
        parts = [rows[a:b] for a, b in pairwise(edges)]
        assert chunks_of(iter(parts), payloads) == whole
    assert [row for chunk, _ in whole for row in chunk] == list(range(len(sizes)))
    for chunk, texts in whole:
        assert len(chunk) == 1 or sum(len(text) + 24 for text in texts) <= target


def test_chunk_holds_at_most_ten_thousand_records():
    sizes = [len(chunk) for chunk, _ in chunks_of(np.ones((CHUNK_RECORDS + 5, 1), np.uint8))]
    assert sizes == [CHUNK_RECORDS, 5]


def test_rows_of_another_dimension_begin_a_chunk():
    parts = [np.ones((2, 2), np.float32), np.ones((2, 3), np.float32), np.ones((1, 3), np.float16)]
    assert [chunk for chunk, _ in chunks_of(iter(parts))] == [[0, 1], [2, 3], [4]]
