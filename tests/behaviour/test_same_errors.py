"""A call that is refused is refused alike, embedded and through a server: class, words and all.

Each is made on both, and nothing may change in either.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

ONE = np.array([[1, 2, 3, 4]], np.float32)
TWO = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)
NAN = float("nan")
FIELDS = {"lang": "keyword", "year": "int", "at": "datetime", "price": "float", "ok": "bool"}


def with_row(row):
    return np.array([[1, 2, 3, 4], row], np.float32)


def nested(depth):
    tree = {"lang": "en"}
    for _ in range(depth - 1):
        tree = {"not": tree}
    return tree


def chain(depth):
    payload = {}
    for _ in range(depth - 1):
        payload = {"a": payload}
    return payload


BUDGETS = {"0": 0, "below 0": -1, "small": 2**20 - 1, "large": 2**63, "text": "2GiB", "float": 1e9}
SCHEMAS = {
    "slash": {"name": "a/b"},
    "dot": {"name": ".a"},
    "empty name": {"name": ""},
    "long name": {"name": "a" * 129},
    "number as a name": {"name": 5},
    "half a letter": {"name": "\ud800"},
    "taken": {"name": "docs"},
    "taken by an alias": {"name": "alias"},
    "dim 0": {"dim": 0},
    "dim below 0": {"dim": -1},
    "dim too large": {"dim": 16_385},
    "dim far too large": {"dim": 2**40},
    "dim of text": {"dim": "4"},
    "metric": {"metric": "euclid"},
    "dtype": {"dtype": "float64"},
    "fields of a list": {"fields": ["lang"]},
    "type of a field": {"fields": {"lang": "shape"}},
    "empty field": {"fields": {"": "int"}},
    "number as a field": {"fields": {5: "int"}},
    "reserved field": {"fields": {"and": "int"}},
    "long field": {"fields": {"é" * 65: "int"}},
    "too many fields": {"fields": {f"f{number}": "int" for number in range(257)}},
    "bits of a code": {"code_bits": 3},
    "bits of a bool": {"code_bits": True},
    "no bits": {"code_bits": 0},
    "page too large": {"page_bytes": 65_536},
    "page of text": {"page_bytes": "4096"},
    **{f"budget {name}": {"memory_budget": value} for name, value in BUDGETS.items()},
}
NAMES = {
    "unknown": "nothing",
    "slash": "a/b",
    "long": "a" * 600,
    "empty": "",
    "number": 5,
    "none": None,
    "half a letter": "\ud800",
}
UPSERTS = {
    "nothing": {"ids": None, "vectors": None},
    "no ids": {"ids": None},
    "no vectors": {"vectors": None},
    "empty": {"ids": [], "vectors": np.empty((0, 4), np.float32)},
    "ids of text": {"ids": "ab"},
    "ids of a set": {"ids": {1, 2}},
    "ids of floats": {"ids": [1.0, 2.0]},
    "array of floats": {"ids": np.array([1.0, 2.0])},
    "ids of bools": {"ids": [True, False]},
    "ids of bytes": {"ids": [b"a", b"b"]},
    "ids of nothing": {"ids": [1, None]},
    "mixed": {"ids": [1, "a"]},
    "mixed the other way": {"ids": ["a", 1]},
    "two axes": {"ids": np.array([[1], [2]])},
    "too large an id": {"ids": [1, 2**63]},
    "too small an id": {"ids": [-(2**63) - 1, 1]},
    "other kind": {"ids": ["a", "b"]},
    "twice": {"ids": [7, 7]},
    "too many": {"ids": np.arange(100_001), "vectors": np.ones((100_001, 4), np.float32)},
    "too few ids": {"ids": [7]},
    "too long": {"vectors": np.ones((2, 5), np.float32)},
    "no dimension": {"vectors": np.ones((2, 0), np.float32)},
    "ragged": {"vectors": [[1, 2, 3, 4], [1, 2, 3]]},
    "one axis": {"vectors": ONE[0]},
    "list of numbers": {"vectors": [1.0, 2.0]},
    "three axes": {"vectors": TWO[:, :, None]},
    "nan": {"vectors": with_row([1, NAN, 3, 4])},
    "infinity": {"vectors": with_row([1, np.inf, 3, 4])},
    "beyond float32": {"vectors": [[1, 2, 3, 4], [1e39, 2, 3, 4]]},
    "zero": {"vectors": with_row([0, 0, 0, 0])},
    "texts": {"vectors": [["a", "b", "c", "d"]] * 2},
    "bools": {"vectors": np.ones((2, 4), bool)},
    "complex": {"vectors": np.ones((2, 4), complex)},
    "text": {"vectors": "abcd"},
    "a dict": {"vectors": {"a": 1}},
    "a generator": {"vectors": (row for row in TWO)},
    "payloads of a dict": {"payloads": {"a": 1}},
    "payloads of text": {"payloads": "ab"},
    "too few payloads": {"payloads": [{}]},
    "list as payload": {"payloads": [{}, [1]]},
    "text as payload": {"payloads": [{}, "x"]},
    "nan in payload": {"payloads": [{}, {"a": NAN}]},
    "set in payload": {"payloads": [{}, {"a": {1}}]},
    "numpy in payload": {"payloads": [{}, {"a": np.int64(1)}]},
    "key of payload": {"payloads": [{}, {(1, 2): 1}]},
    "half a letter in payload": {"payloads": [{}, {"a": "\ud800"}]},
    "half a letter in text": {"payloads": [{}, b'{"a":"\\ud800"}']},
    "cut text": {"payloads": [{}, b'{"a":']},
    "no utf-8": {"payloads": [{}, b"\xff"]},
    "list as text": {"payloads": [{}, b"[1]"]},
    "nan as text": {"payloads": [{}, b'{"a":NaN}']},
    "number beyond float": {"payloads": [{}, b'{"a":1e999}']},
    "too deep": {"payloads": [{}, chain(65)]},
    "far too deep": {"payloads": [{}, chain(5_000)]},
    "too large": {"payloads": [{}, {"a": "x" * 2**20}]},
    "field of another type": {"payloads": [{}, {"lang": 5}]},
    "int of a bool": {"payloads": [{}, {"year": True}]},
    "int too large": {"payloads": [{}, {"year": 2**63}]},
    "list of lists": {"payloads": [{}, {"year": [1, [2]]}]},
    "time without zone": {"payloads": [{}, {"at": "2024-01-01"}]},
    "a datetime": {"payloads": [{}, {"at": datetime(2024, 1, 1, tzinfo=UTC)}]},
    "long keyword": {"payloads": [{}, {"lang": "x" * 257}]},
    "key of no bytes": {"idempotency_key": b""},
    "long key": {"idempotency_key": b"x" * 65},
    "key of text": {"idempotency_key": "x"},
    "condition of text": {"condition": "if_absent"},
    "no condition": {"condition": {}},
    "two conditions": {"condition": {"if_absent": True, "if_present": True}},
    "unknown condition": {"condition": {"if": True}},
    "condition of False": {"condition": {"if_absent": False}},
    "sequence 0": {"condition": {"if_sequence": 0}},
    "sequence of text": {"condition": {"if_sequence": "1"}},
    "condition on nothing": {"condition": {"filter": None}},
    "condition on a number": {"condition": {"filter": 5}},
    "condition on an unknown field": {"condition": {"filter": {"nothing": 1}}},
    "not absent": {"condition": {"if_absent": True}},
    "not present": {"ids": [1, 77], "condition": {"if_present": True}},
    "absent, for a filter": {"ids": [1, 77], "condition": {"filter": {"lang": "en"}}},
    "not of the filter": {"ids": [1, 2], "condition": {"filter": {"lang": "en"}}},
    "wait of text": {"wait": "no"},
    "timeout 0": {"timeout": 0},
    "timeout of text": {"timeout": "1"},
    "rows and columns": {"rows": [{"id": 1, "vector": [1, 2, 3, 4]}]},
}
ROWS = {
    "number": [5],
    "unknown key": [{"id": 1, "vector": [1, 2, 3, 4], "x": 1}],
    "no vector": [{"id": 1}],
    "dict": {"id": 1},
    "none": [],
    "short vector": [{"id": 1, "vector": [1, 2, 3, 4]}, {"id": 2, "vector": [1, 2, 3]}],
    "vector of none": [{"id": 1, "vector": None}],
}
SEARCHES = {
    "dimension": {"vector": np.ones(5, np.float32)},
    "two axes": {"vector": ONE},
    "number": {"vector": 5.0},
    "empty": {"vector": []},
    "text": {"vector": "abcd"},
    "texts": {"vector": ["a", "b", "c", "d"]},
    "ragged": {"vector": [[1], [1, 2]]},
    "nan": {"vector": [1, NAN, 3, 4]},
    "beyond float32": {"vector": [1e300, 0, 0, 0]},
    "zero": {"vector": np.zeros(4, np.float32)},
    "k 0": {"k": 0},
    "k below 0": {"k": -1},
    "k too large": {"k": 16_385},
    "k far too large": {"k": 2**40},
    "k of float": {"k": 1.0},
    "k of bool": {"k": True},
    "k of none": {"k": None},
    "mode": {"mode": "forest"},
    "bound of a tree": {"mode": "tree", "effort": "bound"},
    "estimator of a tree": {"mode": "tree", "estimator": "hamming"},
    "bound of a graph": {"mode": "graph", "effort": "bound"},
    "estimator of a graph": {"mode": "graph", "estimator": "hamming"},
    "mode of a list": {"mode": ["auto"]},
    "effort 0": {"mode": "scan", "effort": 0},
    "effort too large": {"mode": "scan", "effort": 65},
    "effort far too large": {"mode": "scan", "effort": 10**400},
    "effort of nan": {"mode": "scan", "effort": NAN},
    "effort of another word": {"mode": "scan", "effort": "all"},
    "effort of a bool": {"mode": "scan", "effort": True},
    "exact effort": {"mode": "exact", "effort": 1},
    "exact bound": {"mode": "exact", "effort": "bound"},
    "estimator": {"estimator": "cosine"},
    "estimator of none": {"estimator": None},
    "flag of relevance": {"with_relevance": 1},
    "min_score of text": {"min_score": "x"},
    "min_score of nan": {"min_score": NAN},
    "min_score of bool": {"min_score": True},
    "flag": {"with_vector": 1},
    "timeout": {"timeout": NAN},
}
BATCHES = {
    "dimension": np.ones((2, 5), np.float32),
    "one axis": ONE[0],
    "nan": with_row([NAN, 1, 1, 1]),
    "zero": with_row([0, 0, 0, 0]),
    "many": np.ones((1_001, 4), np.float32),
    "empty list": [],
    "ragged": [[1, 2, 3, 4], [1, 2, 3]],
    "no queries of another dimension": np.empty((0, 5), np.float32),
}
FILTERS = {
    "unknown field": {"nothing": 1},
    "type": {"year": {"gte": "x"}},
    "type of a short form": {"year": "x"},
    "type of eq": {"year": {"eq": "x"}},
    "operator": {"year": {"like": 1}},
    "operator of another type": {"year": {"prefix": "x"}},
    "no operator": {"year": {}},
    "text": "year = 1",
    "list": [{"year": 1}],
    "number as a key": {5: 1},
    "and of a dict": {"and": {"year": 1}},
    "in of a text": {"lang": {"in": "en"}},
    "between of three": {"year": {"between": [1, 2, 3]}},
    "between swapped": {"year": {"between": [2, 1]}},
    "nan": {"price": {"lt": NAN}},
    "too large": {"year": {"lt": 2**63}},
    "list as value": {"year": [1, 2]},
    "numpy": {"year": np.int64(1)},
    "time without zone": {"at": {"lt": "2024-01-01"}},
    "datetime without zone": {"at": {"lt": datetime(2024, 1, 1)}},
    "too deep": nested(17),
    "far too deep": nested(3_000),
    "too many nodes": {"or": [{"year": year} for year in range(1_024)]},
    "too many values": {"year": {"in": list(range(10_001))}},
    "deep inside": {"and": [{"year": 1}, {"or": [{"lang": "a"}, {"lang": {"gte": 5}}]}]},
    "second operator": {"lang": {"gte": "a", "lt": 5}},
    "exists of a number": {"lang": {"exists": 1}},
    "half a letter": {"lang": {"lt": "\ud800"}},
    "not of none": {"not": None},
}
OTHERS = {
    "get nothing": lambda db: docs(db).get([]),
    "get of the other kind": lambda db: docs(db).get(["a"]),
    "get too many": lambda db: docs(db).get(list(range(10_001))),
    "get of a number": lambda db: docs(db).get(5),
    "delete of nothing": lambda db: docs(db).delete(),
    "delete of both": lambda db: docs(db).delete([1], filter={"lang": "en"}),
    "delete of the other kind": lambda db: docs(db).delete(["a"]),
    "patch of an unknown record": lambda db: docs(db).set_payload([1, 99], {"a": 1}),
    "patch of none": lambda db: docs(db).set_payload([1], None),
    "patch of a list": lambda db: docs(db).set_payload([1], [1]),
    "patch of no text": lambda db: docs(db).set_payload([1], b""),
    "patch twice": lambda db: docs(db).set_payload([1, 1], {}),
    "patch of a field": lambda db: docs(db).set_payload([1], {"year": "x"}),
    "patch too large": lambda db: docs(db).set_payload([3], {"b": "x" * 600_000}),
    "limit 0": lambda db: docs(db).scroll(limit=0),
    "limit too large": lambda db: docs(db).scroll(limit=10_001),
    "limit far too large": lambda db: docs(db).scroll(limit=2**40),
    "limit of text": lambda db: docs(db).scroll(limit="5"),
    "after the other kind": lambda db: docs(db).scroll(after="a"),
    "after a float": lambda db: docs(db).scroll(after=1.5),
    "after nothing": lambda db: db.collection("texts").scroll(after=""),
    "empty id": lambda db: db.collection("texts").upsert(["x", ""], TWO),
    "long id": lambda db: db.collection("texts").upsert(["x", "é" * 129], TWO),
    "half a letter as id": lambda db: db.collection("texts").upsert(["x", "\ud800"], TWO),
    "beyond float16": lambda db: db.collection("halves").upsert([1], ONE * 1e6),
    "below uint8": lambda db: db.collection("bytes").upsert([1, 2], with_row([-1, 0, 0, 0])),
    "fraction of uint8": lambda db: db.collection("bytes").upsert([1], [[1.5, 0, 0, 0]]),
    "relevance of a distance": lambda db: db.collection("halves").search(
        ONE[0], with_relevance=True
    ),
    "wait for a seal": lambda db: docs(db).seal(wait="no"),
    "timeout of a compaction": lambda db: docs(db).compact(timeout=0),
    "delete an alias": lambda db: db.delete_collection("alias"),
    "alias with a slash": lambda db: db.alias("a/b", "docs"),
    "alias of a collection": lambda db: db.alias("docs", "texts"),
    "unknown alias": lambda db: db.delete_alias("docs"),
    "upload of text": lambda db: docs(db).upload("abc", progress=False),
    "upload of too few ids": lambda db: docs(db).upload(TWO, ids=[1], progress=False),
    "upload of zeros": lambda db: docs(db).upload(TWO * 0, ids=[7, 8], progress=False),
    "upload of bad payloads": lambda db: docs(db).upload(
        TWO, ids=[7, 8], payloads=[{"lang": 1}, [2]], progress=False
    ),
    "upload of the other kind": lambda db: docs(db).upload(TWO, ids=["a", "b"], progress=False),
    "upload of another dimension": lambda db: docs(db).upload(TWO[:, :3], progress=False),
    "upload under a wrong name": lambda db: docs(db).upload(TWO, resume="zz", progress=False),
}


def docs(db):
    return db.collection("docs")


def calls():
    """(name, call of a database)"""
    yield from OTHERS.items()
    for name, schema in SCHEMAS.items():
        yield (
            f"create {name}",
            lambda db, one=schema: db.create_collection(**{"name": "new", "dim": 4, **one}),
        )
    for name, wrong in NAMES.items():
        yield f"describe {name}", lambda db, one=wrong: db.collection(one).describe()
        yield f"search {name}", lambda db, one=wrong: db.collection(one).search(ONE[0])
        yield f"seal {name}", lambda db, one=wrong: db.collection(one).seal()
        yield f"stats {name}", lambda db, one=wrong: db.collection(one).stats()
        yield f"budget {name}", lambda db, one=wrong: db.collection(one).set_memory_budget(None)
        yield f"explain {name}", lambda db, one=wrong: db.collection(one).explain(ONE[0])
        yield f"delete {name}", lambda db, one=wrong: db.delete_collection(one)
        yield f"unalias {name}", lambda db, one=wrong: db.delete_alias(one)
        yield f"alias to {name}", lambda db, one=wrong: db.alias("new", one)
    for name, given in UPSERTS.items():
        yield (
            f"upsert {name}",
            lambda db, one=given: docs(db).upsert(**{"ids": [1, 2], "vectors": TWO, **one}),
        )
    for name, budget in BUDGETS.items():
        yield f"budget {name}", lambda db, one=budget: docs(db).set_memory_budget(one)
    for name, rows in ROWS.items():
        yield f"rows {name}", lambda db, one=rows: docs(db).upsert(rows=one)
    for name, given in SEARCHES.items():
        yield f"search {name}", lambda db, one=given: docs(db).search(**{"vector": ONE[0], **one})
    for name in ("dimension", "nan", "k 0", "mode", "bound of a graph", "effort 0", "timeout"):
        given = {"vector": ONE[0], **SEARCHES[name]}
        yield f"explain {name}", lambda db, one=given: docs(db).explain(**one)
    for name, queries in BATCHES.items():
        yield f"batch {name}", lambda db, one=queries: docs(db).search_batch(one)
    for name, tree in FILTERS.items():
        yield f"filter {name}", lambda db, one=tree: docs(db).count(one)
        yield f"delete where {name}", lambda db, one=tree: docs(db).delete(filter=one)


CALLS = list(calls())

OWN_WORDS = (
    "operator",  # a client does not know the type of a field
    "list as value",
    "numpy",
    "datetime without zone",
)


@pytest.fixture(scope="module")
def both(embedded, remote):
    for api in (embedded, remote):
        api.create("docs", metric="cosine", fields=FIELDS)
        payloads = [{"lang": "en", "year": 1}, {"lang": "de"}, {"a": "x" * 600_000}]
        docs(api.db).upsert([1, 2, 3], np.tile(ONE, (3, 1)), payloads)
        api.create("texts").upsert(["a"], ONE)
        api.create("halves", dtype="float16")
        api.create("bytes", dtype="uint8")
        api.db.alias("alias", "docs")
    yield embedded, remote
    for api in (embedded, remote):
        for info in api.db.collections():
            api.db.delete_collection(info.name)


def error_of(api, call):
    with pytest.raises(api.errors.VecDBError) as caught:
        call(api.db)
    return caught.value


def state_of(api):
    return api.db.collections(), api.db.aliases(), docs(api.db).scroll().payload_bytes


@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_refused_call_reads_alike_and_changes_nothing(both, name, call):
    before = [state_of(api) for api in both]
    ours, theirs = (error_of(api, call) for api in both)
    assert [state_of(api) for api in both] == before
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.field == theirs.field
    assert ours.reason == theirs.reason
    assert (ours.retry_after, ours.maybe_applied) == (theirs.retry_after, theirs.maybe_applied)
    if not name.endswith(OWN_WORDS):
        assert str(ours) == str(theirs)
        assert (ours.hint, ours.limit, ours.actual) == (theirs.hint, theirs.limit, theirs.actual)


def test_errors_have_the_same_classes(embedded, remote):
    assert embedded.errors.__all__ == remote.errors.__all__
    for name in embedded.errors.__all__:
        ours, theirs = getattr(embedded.errors, name), getattr(remote.errors, name)
        assert [one.__name__ for one in ours.__mro__] == [one.__name__ for one in theirs.__mro__]
        assert ours is not theirs
