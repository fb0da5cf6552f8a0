"""Operations come back as they were written, part by part, in the order of their sequences."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.errors import DataCorruption
from vecdb.schema import CollectionSchema
from vecdb.storage import format
from vecdb.storage.checksum import pack
from vecdb.storage.format import OPERATION_KEY, PART_BYTES
from vecdb.storage.operations import put_delete, put_upsert, scan_operations

DTYPES = ("float32", "float16", "uint8")
NO_SLOTS = np.empty(0, np.uint64)
NUMBER = 7
TEXTS = ["a", "ü" * 100, "", "\U0001f600", "z" * 256]


@pytest.fixture
def rng():
    return np.random.default_rng(30)


@pytest.fixture
def draw(rng):
    def vectors(count, dim, dtype):
        values = rng.integers(0, 256, (count, dim))
        return values.astype(CollectionSchema(dim=dim, dtype=dtype).numpy_dtype)

    return vectors


@pytest.fixture
def upsert(environment):
    def write(sequence, ids, vectors, *, first_slot=0, retired=NO_SLOTS, number=NUMBER):
        environment.write(
            lambda transaction: put_upsert(
                transaction,
                number,
                sequence,
                first_slot=first_slot,
                ids=ids,
                vectors=vectors,
                retired=retired,
            )
        )

    return write


@pytest.fixture
def scan(environment):
    def read(dim=2, dtype="float32", after=0, number=NUMBER):
        schema = CollectionSchema(dim=dim, dtype=dtype)
        with environment.read() as transaction:
            return list(scan_operations(transaction, number, schema, after))

    return read


def plain(ids):
    return ids if isinstance(ids, list) else ids.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 3, 384])
@pytest.mark.parametrize("ids", [np.array([5, -(2**63), 2**63 - 1, 0, -1]), TEXTS])
def test_upsert_comes_back(upsert, scan, draw, dtype, dim, ids):
    vectors = draw(5, dim, dtype)
    upsert(9, ids, vectors, first_slot=1_000, retired=np.array([3, 2**40], np.uint64))
    (operation,) = scan(dim, dtype)
    assert (operation.sequence, operation.part, operation.first_slot) == (9, 0, 1_000)
    assert plain(operation.ids) == plain(ids)
    assert operation.vectors.dtype == vectors.dtype
    assert operation.vectors.tobytes() == vectors.tobytes()
    assert operation.vectors.shape == (5, dim)
    assert operation.retired.tolist() == [3, 2**40]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["int", "text"])
def test_large_batch_is_cut_into_parts(environment, upsert, scan, draw, dtype, kind):
    dim = 1_000
    row_bytes = CollectionSchema(dim=dim, dtype=dtype).row_bytes
    rows = PART_BYTES // row_bytes
    count = 2 * rows + 1
    vectors = draw(count, dim, dtype)
    ids = [f"id {n}" for n in range(count)] if kind == "text" else np.arange(count)
    upsert(1, ids, vectors, first_slot=50, retired=np.arange(9, dtype=np.uint64))
    parts = scan(dim, dtype)
    assert [len(part.vectors) for part in parts] == [rows, rows, 1]
    assert [part.part for part in parts] == [0, 1, 2]
    assert [part.first_slot for part in parts] == [50, 50 + rows, 50 + 2 * rows]
    assert [len(part.retired) for part in parts] == [9, 0, 0]
    assert [one for part in parts for one in plain(part.ids)] == plain(ids)
    assert np.concatenate([part.vectors for part in parts]).tobytes() == vectors.tobytes()
    with environment.read() as transaction:
        sizes = [len(value) for _, value in transaction.scan("operations")]
    assert max(sizes) < PART_BYTES + 32 + rows * 20 + 72


def test_row_larger_than_a_part_is_a_part_by_itself(upsert, scan, draw, monkeypatch):
    monkeypatch.setattr(format, "PART_BYTES", 100)
    vectors = draw(3, 50, "float32")
    upsert(1, np.arange(3), vectors)
    assert [part.vectors.tolist() for part in scan(50)] == [[row.tolist()] for row in vectors]


@pytest.mark.parametrize("retired", [[], [0], [5, 2**63, 1]])
def test_deletion_comes_back(environment, scan, retired):
    slots = np.array(retired, np.uint64)
    environment.write(lambda transaction: put_delete(transaction, NUMBER, 4, slots))
    (operation,) = scan(dim=3)
    assert operation.sequence == 4
    assert operation.vectors.shape == (0, 3)
    assert plain(operation.ids) == []
    assert operation.retired.tolist() == retired


def test_vectors_behind_text_ids_may_lie_anywhere(upsert, scan, draw):
    for sequence, length in enumerate(range(1, 9), 1):
        upsert(sequence, ["x" * length], draw(1, 2, "float32"))
    vectors = [operation.vectors for operation in scan()]
    assert np.isfinite(np.concatenate(vectors)).all()
    assert {one.flags.aligned for one in vectors} == {True, False}


def test_operations_come_in_the_order_of_their_sequences(environment, upsert, scan, draw):
    for sequence in (300, 2, 256, 255):
        upsert(sequence, np.array([sequence]), draw(1, 2, "float32"))
    environment.write(lambda transaction: put_delete(transaction, NUMBER, 257, NO_SLOTS))
    assert [operation.sequence for operation in scan()] == [2, 255, 256, 257, 300]
    assert [operation.sequence for operation in scan(after=255)] == [256, 257, 300]
    assert scan(after=300) == []


def test_operations_of_other_collections_are_not_seen(upsert, scan, draw):
    for number in (NUMBER - 1, NUMBER, NUMBER + 1, 2**32 - 1):
        upsert(1, np.array([number]), draw(1, 2, "float32"), number=number)
    assert [plain(operation.ids) for operation in scan()] == [[NUMBER]]
    assert [plain(operation.ids) for operation in scan(number=2**32 - 1)] == [[2**32 - 1]]


# --------------------------------------------------------------------------------- contradictions


def header(**changes):
    fields = {
        "kind": format.OP_UPSERT,
        "id_kind": format.ID_INT,
        "count": 1,
        "retired": 1,
        "id_bytes": 8,
        "vector_bytes": 8,
    }
    return pack(format.OPERATION, **{**fields, **changes})


KEY = OPERATION_KEY.pack(NUMBER, 1, 0)
WHOLE = header() + bytes(8 + 8 + 8)


def store(environment, value, key=KEY):
    environment.write(lambda transaction: transaction.put("operations", key, value))


def test_whole_operation_is_read(environment, scan):
    store(environment, WHOLE)
    assert len(scan()) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        WHOLE[:31],
        WHOLE[:-1],
        WHOLE + b"\0",
        header(kind=0) + bytes(24),
        header(kind=3) + bytes(24),
        header(reserved=b"\0\1") + bytes(24),
        header(count=2) + bytes(24),
        header(count=0) + bytes(24),
        header(retired=0) + bytes(24),
        header(retired=2**32 - 1) + bytes(24),
        header(id_bytes=0) + bytes(24),
        header(id_bytes=7) + bytes(23),
        header(id_bytes=16) + bytes(32),
        header(id_bytes=2**32 - 1) + bytes(24),
        header(vector_bytes=0) + bytes(16),
        header(vector_bytes=12) + bytes(28),
        header(vector_bytes=2**64 - 1) + bytes(24),
        header(id_kind=format.ID_STR, id_bytes=1) + bytes(1 + 16),
        header(id_kind=format.ID_STR, id_bytes=4) + b"\1\0ab" + bytes(16),
        header(id_kind=format.ID_STR, id_bytes=3) + b"\2\0a" + bytes(16),
        header(id_kind=format.ID_STR, id_bytes=3) + b"\1\0\xff" + bytes(16),
    ],
)
def test_contradictory_operation_is_damaged(environment, scan, value):
    store(environment, value)
    with pytest.raises(DataCorruption, match="table 'operations'"):
        scan()


@pytest.mark.parametrize("key", [b"\0\0\0\7" + b"\1" * 11, b"\0\0\0\7" + b"\1" * 13])
def test_key_of_another_length_is_damaged(environment, scan, key):
    store(environment, WHOLE, key)
    with pytest.raises(DataCorruption, match="no operation"):
        scan()
