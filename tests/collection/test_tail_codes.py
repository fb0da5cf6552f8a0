"""What the codes of the tail are centred on: the newest segment, however that came to be."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb

DIM = 40


@pytest.fixture
def fill(rng):
    def write(docs, first, count):
        vectors = 1 + rng.standard_normal((count, DIM)).astype(np.float32)
        docs.upsert(np.arange(first, first + count), vectors)

    return write


def snapshot_of(docs):
    with docs._store.view(docs.name, with_snapshot=True) as view:
        return view.snapshot


def test_tail_shares_the_encoder_of_the_newest_segment(db, fill):
    docs = db.create_collection("docs", dim=DIM)
    fill(docs, 500, 20)
    assert not snapshot_of(docs).tail.encoder.mean.any()
    for first in (0, 100):
        fill(docs, first, 100)
        docs.seal()
        fill(docs, 500, 20)
        snapshot = snapshot_of(docs)
        assert snapshot.tail.encoder is snapshot.segments[-1].segment.encoder
        (run,) = snapshot.tail.coded
        codes, factors, _ = run.encoder.quantizer.empty_codes(20)
        run.encoder.encode(snapshot.tail.vectors_of(snapshot.tail.live_slots()), 0, codes, factors)
        assert run.codes.tobytes() == codes.tobytes()
        assert run.factors.tobytes() == factors.tobytes()


def test_tail_is_coded_alike_after_all_segments_are_gone(tmp_path, rng, fill):
    """By a compaction here, by opening the database there."""
    queries = 1 + rng.standard_normal((10, DIM)).astype(np.float32)

    def answers(docs):
        found = docs.search_batch(queries, 3, mode="scan", effort=0.05)
        return [(one.ids.tolist(), one.scores.tobytes()) for one in found]

    with vecdb.open(tmp_path / "db", threads=1) as db:
        docs = db.create_collection("docs", dim=DIM)
        fill(docs, 0, 50)
        docs.seal()
        fill(docs, 100, 600)
        docs.delete(list(range(50)))
        docs.compact()
        assert docs.describe().segments == 0
        before = answers(docs)
    with vecdb.open(tmp_path / "db", threads=1) as db:
        assert answers(db.collection("docs")) == before
