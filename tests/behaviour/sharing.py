"""What the tests of tenants have in common."""

from __future__ import annotations

import numpy as np


def line(*numbers):
    vectors = np.zeros((len(numbers), 4), np.float32)
    vectors[:, 0] = numbers
    return vectors


def seen(docs, tenant):
    """Ids that a tenant sees; the same by every way to read."""
    ids = sorted(docs.scroll(limit=1000, tenant=tenant).ids)
    query = line(0)[0]
    for mode in ("auto", "exact", "scan"):
        assert sorted(docs.search(query, 1000, tenant=tenant, mode=mode).ids) == ids
    assert sorted(docs.search_batch(line(0, 5), 1000, tenant=tenant)[1].ids) == ids
    assert docs.explain(query, tenant=tenant).matching == len(ids)
    assert docs.count(tenant=tenant) == len(ids)
    assert list(docs.get(list(range(50)), tenant=tenant).ids) == ids
    years = [docs.count({"year": year}, tenant=tenant) for year in (2000, 2001)]
    for year, count in zip((2000, 2001), years, strict=True):
        assert len(docs.search(query, 1000, tenant=tenant, filter={"year": year})) == count
    return ids


def who(docs, id):
    access = docs.who_sees(id)
    return access.owner, access.tenants
