"""Filters on UUIDs, points and texts, over segments, tail and changed records."""

from __future__ import annotations

from math import cos, radians, sin
from uuid import UUID

import numpy as np
import pytest

KINDS = ("embedded", "remote")

FIELDS = {"key": "uuid", "where": "geo", "body": "text"}
WORDS = ["red", "Green", "blue", "BLACK", "white", "grey"]
COUNT = 240


def some_key(rng):
    text = str(UUID(int=int(rng.integers(40)) << 61))
    return text.upper() if rng.random() < 0.5 else text


def some_point(rng):
    lon = float(rng.choice([-180, 180, rng.uniform(-180, 180), rng.uniform(170, 180)]))
    return {"lat": float(rng.uniform(-90, 90)), "lon": lon}


def some_text(rng):
    return ", ".join(rng.choice(WORDS, int(rng.integers(0, 7))).tolist())


MAKE = {"key": some_key, "where": some_point, "body": some_text}


def some_payload(rng):
    payload = {}
    for name, make in MAKE.items():
        form = rng.integers(8)
        if form == 0:
            continue
        payload[name] = None if form == 1 else make(rng)
        if form > 5:
            payload[name] = [make(rng) for _ in range(rng.integers(4))]
    return payload


def values(payload, name):
    found = payload.get(name)
    return found if isinstance(found, list) else [] if found is None else [found]


def some(name, test):
    return lambda payload: any(test(value) for value in values(payload, name))


def words(text):
    return text.lower().replace(",", "").split()


def chord(first, second):
    """The angle between two points, by another formula than the engine's."""
    ends = []
    for point in (first, second):
        lat, lon = radians(point["lat"]), radians(point["lon"])
        ends.append(np.array([cos(lat) * cos(lon), cos(lat) * sin(lon), sin(lat)]))
    return 2 * np.arcsin(min(1.0, float(np.linalg.norm(ends[0] - ends[1])) / 2)) * 6_371_008.8


def keys(*numbers):
    return [UUID(int=number << 61) for number in numbers]


def has(*wanted):
    return lambda text: set(wanted) <= set(words(text))


CASES = {
    "uuid": (
        lambda F: F("key") == keys(3)[0],
        some("key", lambda v: UUID(v) == keys(3)[0]),
    ),
    "not a uuid": (
        lambda F: F("key") != str(keys(3)[0]).upper(),
        some("key", lambda v: UUID(v) != keys(3)[0]),
    ),
    "few uuids": (
        lambda F: F("key").isin(keys(3, 5, 99)),
        some("key", lambda v: UUID(v) in keys(3, 5)),
    ),
    "many uuids": (
        lambda F: F("key").isin(keys(*range(1, 99, 2))),
        some("key", lambda v: UUID(v) in keys(*range(1, 99, 2))),
    ),
    "uuid there": (lambda F: F("key").exists(), lambda payload: bool(values(payload, "key"))),
    "circle": (
        lambda F: F("where").within(10, 178, 4e6),
        some("where", lambda v: chord(v, {"lat": 10, "lon": 178}) <= 4e6),
    ),
    "polar circle": (
        lambda F: F("where").within(90, 0, 3_000_000),
        some("where", lambda v: chord(v, {"lat": 90, "lon": 0}) <= 3e6),
    ),
    "box": (
        lambda F: F("where").in_box(45, -100, -45, 100),
        some("where", lambda v: abs(v["lat"]) <= 45 and abs(v["lon"]) <= 100),
    ),
    "box across the antimeridian": (
        lambda F: F("where").in_box(45, 175, -45, -150),
        some("where", lambda v: abs(v["lat"]) <= 45 and (v["lon"] >= 175 or v["lon"] <= -150)),
    ),
    "box that ends at the antimeridian": (
        lambda F: F("where").in_box(90, 175, -90, 180),
        some("where", lambda v: v["lon"] >= 175 or v["lon"] == -180),
    ),
    "all words": (lambda F: F("body").match("GREEN red"), some("body", has("green", "red"))),
    "some words": (
        lambda F: F("body").match("green violet", any=True),
        some("body", has("green")),
    ),
    "unknown word": (lambda F: F("body").match("violet red"), lambda payload: False),
    "phrase": (
        lambda F: F("body").phrase("red green"),
        some("body", lambda v: " red green " in f" {' '.join(words(v))} "),
    ),
    "prefix of a word": (
        lambda F: F("body").prefix("bl"),
        some("body", lambda v: any(word.startswith("bl") for word in words(v))),
    ),
    "together": (
        lambda F: (F("body").match("red") | (F("key") == keys(7)[0])) & ~F("where").exists(),
        lambda payload: (
            (
                some("body", has("red"))(payload)
                or UUID(int=7 << 61) in map(UUID, values(payload, "key"))
            )
            and not values(payload, "where")
        ),
    ),
}


@pytest.fixture
def payloads():
    rng = np.random.default_rng(7)
    return [some_payload(rng) for _ in range(COUNT)]


@pytest.fixture
def docs(api, payloads):
    """Two thirds sealed, of which some were changed since; the rest in the tail, also changed."""
    rng = np.random.default_rng(8)
    docs = api.create(fields=FIELDS)
    vectors = rng.standard_normal((COUNT, 4), dtype=np.float32)
    most = COUNT * 2 // 3
    old = [some_payload(rng) for _ in payloads]
    first = [old[id] if id % 5 == 0 else payloads[id] for id in range(COUNT)]
    docs.upsert(range(most), vectors[:most], first[:most])
    docs.seal()
    docs.upsert(range(most, COUNT), vectors[most:], first[most:])
    for id in range(0, COUNT, 5):
        docs.set_payload([id], payloads[id], replace=True)
    return docs


def test_filters_match_what_brute_force_does(api, docs, payloads):
    docs.search(np.ones(4, np.float32), 1)
    for name, (build, holds) in CASES.items():
        expected = [id for id, payload in enumerate(payloads) if holds(payload)]
        filter = build(api.F)
        assert docs.scroll(filter, limit=1_000).ids.tolist() == expected, name
        assert docs.count(filter) == len(expected), name
        found = docs.search(np.ones(4, np.float32), COUNT, filter=filter)
        assert sorted(found.ids.tolist()) == expected, name
    build, holds = CASES["all words"]
    gone = [id for id, payload in enumerate(payloads) if holds(payload)]
    assert docs.delete(filter=build(api.F)).count == len(gone)
    assert docs.count() == COUNT - len(gone)


def test_types_are_described_and_last(api):
    assert dict(api.create(fields=FIELDS).describe().fields) == FIELDS


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"key": "abc"}, "payloads[0].key"),
        ({"where": [1.0, 2.0]}, "payloads[0].where[0]"),
        ({"where": {"lat": 91, "lon": 0}}, "payloads[0].where.lat"),
        ({"body": 5}, "payloads[0].body"),
    ],
)
def test_payload_that_does_not_fit_is_refused(api, payload, field):
    docs = api.create(fields=FIELDS)
    with api.refuses("InvalidArgument", field):
        docs.upsert([1], np.ones((1, 4), np.float32), [payload])


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"key": {"gt": str(UUID(int=1))}}, "filter.key.gt"),
        ({"key": {"in": ["x"]}}, "filter.key.in[0]"),
        ({"where": {"within": 5}}, "filter.where.within"),
        ({"where": {"within": {"lat": 1, "lon": 2}}}, "filter.where.within"),
        (
            {"and": [{}, {"where": {"within": {"lat": 1, "lon": [], "radius_m": 1}}}]},
            "filter.and[1].where.within.lon",
        ),
        (
            {"where": {"box": {"top": 1, "left": 2, "bottom": 2, "right": 3}}},
            "filter.where.box",
        ),
        (
            {"where": {"box": {"top": 1, "left": 2, "bottom": 0, "right": 300}}},
            "filter.where.box.right",
        ),
        ({"body": "word"}, "filter.body"),
        ({"body": {"match": "..."}}, "filter.body.match"),
        ({"body": {"prefix": "two words"}}, "filter.body.prefix"),
    ],
)
def test_malformed_filter_is_refused_by_its_path(api, tree, field):
    docs = api.create(fields=FIELDS)
    with api.refuses("InvalidArgument", field):
        docs.count(tree)
