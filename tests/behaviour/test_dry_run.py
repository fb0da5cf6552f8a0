"""A delete that only tells how many records it would take."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def docs(api, rng):
    """Records 0-99, 80 of them sealed; 10 are deleted."""
    made = api.create(fields={"group": "int"})
    vectors = rng.standard_normal((100, 4)).astype(np.float32)
    payloads = [{"group": place % 5} for place in range(100)]
    made.upsert(list(range(80)), vectors[:80], payloads[:80])
    made.seal()
    made.upsert(list(range(80, 100)), vectors[80:], payloads[80:])
    made.delete(list(range(0, 100, 10)))
    return made


@pytest.mark.parametrize(
    "what",
    [
        {"ids": [1, 2, 2, 10, 500]},
        {"ids": [0, 500]},
        {"filter": {"group": {"lt": 2}}},
        {"filter": {"group": 9}},
        {"filter": {}},
    ],
)
def test_dry_run_tells_what_the_delete_does(api, docs, what):
    before = api.everything(docs)
    told = docs.delete(**what, dry_run=True)
    assert api.everything(docs) == before
    assert told.sequence == docs.describe().sequence
    assert not told.replayed
    done = docs.delete(**what)
    assert done.count == told.count == before[0] - docs.count()


def test_dry_run_remembers_no_key(docs, key):
    assert docs.delete([1], dry_run=True, idempotency_key=key).count == 1
    done = docs.delete([1], idempotency_key=key)
    assert (done.count, done.replayed) == (1, False)


def test_dry_run_refuses_what_a_delete_refuses(api, docs):
    with api.refuses("InvalidArgument", "ids"):
        docs.delete(dry_run=True)
    with api.refuses("InvalidArgument", "ids"):
        docs.delete([1], filter={"group": 1}, dry_run=True)
    with api.refuses("InvalidArgument", "ids"):
        docs.delete(["a"], dry_run=True)
    with api.refuses("InvalidArgument", "filter.other"):
        docs.delete(filter={"other": 1}, dry_run=True)
    with api.refuses("InvalidArgument", "dry_run"):
        docs.delete([1], dry_run=1)
    with api.refuses("InvalidArgument", "idempotency_key"):
        docs.delete([1], dry_run=True, idempotency_key=b"")
    with api.refuses("NotFound"):
        api.db.collection("nowhere").delete([1], dry_run=True)
