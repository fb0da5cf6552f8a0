"""Groups, counts by value and pages of a tenant tell of what it sees alone."""

from __future__ import annotations

import numpy as np
import pytest

import vecdb
from vecdb.errors import InvalidArgument

FIELDS = {"lang": "keyword"}
QUERY = np.ones(4, np.float32)


@pytest.fixture
def docs(tmp_path, rng):
    """200 records, 150 of them sealed; "acme" sees each third one."""
    with vecdb.open(tmp_path / "db") as db:
        made = db.create_collection("docs", dim=4, fields=FIELDS)
        vectors = rng.standard_normal((200, 4)).astype(np.float32)
        payloads = [{"lang": f"l{place % 10}"} for place in range(200)]
        made.upsert(list(range(150)), vectors[:150], payloads[:150])
        made.seal()
        made.upsert(list(range(150, 200)), vectors[150:], payloads[150:])
        made.grant(list(range(0, 200, 3)), ["acme"])
        made.set_payload([1, 3], {"lang": "other"})
        yield made


def test_facets_count_what_a_tenant_sees(docs):
    seen = [f"l{place % 10}" if place != 3 else "other" for place in range(0, 200, 3)]
    found = docs.facets("lang", limit=100, tenant="acme")
    assert {one.value: one.count for one in found} == {one: seen.count(one) for one in set(seen)}
    assert len(docs.facets("lang", tenant="nobody")) == 0
    assert docs.facets("lang", {"lang": "other"}, tenant="acme").counts.tolist() == [1]
    assert docs.facets("lang", {"lang": "other"}).counts.tolist() == [2]


def test_groups_are_of_what_a_tenant_sees(docs):
    found = docs.search_groups(QUERY, "lang", 100, 10, tenant="acme")
    assert len(found) == 11
    assert {id % 3 for one in found for id in one.matches.ids.tolist()} == {0}
    assert sum(len(one.matches) for one in found) == 67
    assert len(docs.search_groups(QUERY, "lang", tenant="nobody")) == 0


def test_page_and_diverse_choice_are_of_what_a_tenant_sees(docs):
    whole = docs.search(QUERY, 30, tenant="acme")
    page = docs.search(QUERY, 10, offset=20, tenant="acme")
    assert page.ids.tolist() == whole.ids[20:].tolist()
    assert {id % 3 for id in docs.search(QUERY, 20, diversity=0.5, tenant="acme").ids} == {0}


@pytest.mark.parametrize("tenant", ["", ".x", 7])
def test_tenant_that_is_no_name_is_refused(docs, tenant):
    with pytest.raises(InvalidArgument):
        docs.facets("lang", tenant=tenant)
    with pytest.raises(InvalidArgument):
        docs.search_groups(QUERY, "lang", tenant=tenant)


def test_pages_in_an_order_are_of_what_a_tenant_sees(docs):
    found, after = [], None
    while True:
        page = docs.scroll(after=after, limit=9, order_by="lang", tenant="acme")
        found += page.ids.tolist()
        after = page.next
        if after is None:
            break
    lang = {place: f"l{place % 10}" if place != 3 else "other" for place in range(0, 200, 3)}
    assert found == sorted(lang, key=lambda id: (lang[id], id))


def test_dry_run_counts_what_a_tenant_owns(docs):
    docs.upsert([500, 501], np.ones((2, 4), np.float32), [{"lang": "l0"}] * 2, tenant="acme")
    for what in ({"ids": [0, 3, 500]}, {"filter": {"lang": "l0"}}):
        told = docs.delete(**what, tenant="acme", dry_run=True)
        assert told.count == (1 if "ids" in what else 2)
    assert docs.delete(filter={"lang": "l0"}, tenant="acme").count == 2
    assert docs.delete([500], tenant="nobody", dry_run=True).count == 0
