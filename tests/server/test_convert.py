"""Messages to arguments, results to messages."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb import limits
from vecdb.errors import InvalidArgument, LimitExceeded
from vecdb.results import CollectionInfo, Explanation, Matches, Records, SealResult, WriteResult
from vecdb_client import codec, responses
from vecdb_client.errors import InvalidArgument as ClientInvalidArgument
from vecdb_client.results import SealResult as ClientSealResult
from vecdb_client.wire import vecdb_pb2 as pb
from vecdb_server import convert

INTS = np.array([5, -7], np.int64)


def matches(ids, *, payloads=None, vectors=None, **scores) -> Matches:
    count = len(ids)
    return Matches(
        ids=ids,
        scores=np.linspace(1, 0, count, dtype=np.float32),
        distances=np.linspace(0, 1, count, dtype=np.float32),
        payload_bytes=payloads,
        vectors=vectors,
        **scores,
    )


def through_the_wire(answers, **options):
    message = pb.SearchResponse(matches=convert.matches_to_wire(answers))
    return responses.matches(pb.SearchResponse.FromString(message.SerializeToString()), **options)


# ------------------------------------------------------------------------------------ results


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_matches_of_several_queries_come_apart_again(dtype):
    vectors = np.arange(6, dtype=dtype).reshape(2, 3)
    answers = [
        matches(INTS, payloads=[b'{"a":1}', b""], vectors=vectors),
        matches(np.empty(0, np.int64), payloads=[], vectors=vectors[:0]),
        matches(INTS[:1], payloads=[b'{"b":2}'], vectors=vectors[:1]),
    ]
    got = through_the_wire(answers, with_payload=True, with_vector=True)
    for before, after in zip(answers, got, strict=True):
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_array_equal(before.distances, after.distances)
        np.testing.assert_array_equal(before.vectors, after.vectors)
        assert after.vectors.dtype == dtype
        assert before.payloads == after.payloads


def test_string_ids_pass_even_beside_an_answer_without_matches():
    answers = [matches(np.empty(0, np.int64)), matches(["ä", "b"]), matches([])]
    got = through_the_wire(answers, with_payload=False, with_vector=False)
    assert [list(answer.ids) for answer in got] == [[], ["ä", "b"], []]
    assert got[1].payloads is None


def test_no_query_gives_no_answer():
    assert through_the_wire([], with_payload=True, with_vector=False) == []


def test_scores_of_several_queries_come_apart_again():
    answers = [
        matches(INTS, relevance=np.array([0.5, 1e-6]), surprise_bits=np.array([21.0, 0.1])),
        matches(INTS[:0], relevance=np.empty(0), surprise_bits=np.empty(0)),
        matches(INTS[:1], relevance=np.array([1.0]), surprise_bits=np.array([3.0])),
    ]
    got = through_the_wire(answers, with_payload=False, with_vector=False)
    for before, after in zip(answers, got, strict=True):
        assert after.relevance.dtype == after.surprise_bits.dtype == np.float64
        np.testing.assert_array_equal(before.relevance, after.relevance)
        np.testing.assert_array_equal(before.surprise_bits, after.surprise_bits)


def test_scores_of_no_match_are_told_from_scores_that_were_not_asked_for():
    (got,) = through_the_wire(
        [matches(INTS[:0], relevance=np.empty(0))], with_payload=False, with_vector=False
    )
    assert got.relevance.shape == (0,)
    assert got.surprise_bits is None


def test_payload_bytes_are_not_parsed():
    odd = b'{"a" :  1}'  # not as we would write it
    got = through_the_wire(
        [matches(INTS[:1], payloads=[odd])], with_payload=True, with_vector=False
    )
    assert got[0].payload_bytes == [odd]


def test_records_keep_their_columns():
    records = Records(
        ids=["a", "b"],
        sequences=np.array([3, 4]),
        payload_bytes=[b"{}", b""],
        vectors=np.ones((2, 4), np.float32),
    )
    got = responses.got(
        pb.GetResponse(
            records=convert.records_to_wire(records), missing=convert.ids_to_wire([["z"]])
        ),
        with_payload=True,
        with_vector=True,
    )
    assert got.ids == ["a", "b"]
    assert got.missing == ["z"]
    assert got.sequences.tolist() == [3, 4]
    assert got.payloads == [{}, None]
    np.testing.assert_array_equal(got.vectors, records.vectors)


def test_payloads_too_large_for_a_message_are_refused_before_they_are_copied():
    text = b"x" * (limits.MESSAGE_BYTES // 4 + 1)
    with pytest.raises(LimitExceeded) as caught:
        convert.matches_to_wire([matches(np.arange(4), payloads=[text] * 4)])
    assert caught.value.actual == 4 * len(text)
    records = Records(ids=np.arange(4), sequences=np.arange(4), payload_bytes=[text] * 4)
    with pytest.raises(LimitExceeded, match="message"):
        convert.records_to_wire(records)


@pytest.mark.parametrize("kind", ["int", "str", None])
def test_collection_info_is_whole(kind):
    info = CollectionInfo(
        name="docs",
        dim=3,
        metric="l2",
        dtype="uint8",
        fields={"lang": "keyword", "at": "datetime"},
        id_kind=kind,
        count=9,
        sequence=11,
        aliases=("a", "b"),
        code_bits=8,
        page_bytes=None if kind is None else 16_384,
        memory_budget=None if kind is None else 2**40,
        level="" if kind is None else "graph+codes",
        level_reason="" if kind is None else "it fits",
        segments=3,
        tail=5,
        sealing="" if kind is None else "sealing 40 %",
    )
    assert vars_of(responses.collection_info(convert.info_to_wire(info))) == vars_of(info)


def vars_of(info) -> dict[str, object]:
    return {name: getattr(info, name) for name in CollectionInfo.__slots__}


@pytest.mark.parametrize("engine", ["io_uring", None])
def test_explanation_is_whole(engine):
    figures = {
        name: 2**33 + place
        for place, name in enumerate(Explanation.__slots__)
        if Explanation.__annotations__[name] == "int" and name != "segments"
    }
    before = Explanation(
        matches=matches(INTS),
        mode="graph",
        segments=3,
        level="codes",
        why="it fits",
        degraded=True,
        io_engine=engine,
        seconds=0.125,
        **figures,
    )
    message = convert.explanation_to_wire(before)
    after = responses.explanation(pb.Explanation.FromString(message.SerializeToString()))
    for name in Explanation.__slots__[1:]:
        assert getattr(after, name) == getattr(before, name), name
    np.testing.assert_array_equal(after.matches.ids, before.matches.ids)
    np.testing.assert_array_equal(after.matches.scores, before.matches.scores)
    assert after.matches.payload_bytes is None


def test_write_result_is_whole():
    result = WriteResult(count=2, sequence=7, replayed=True)
    assert convert.write_to_wire(result) == pb.WriteResponse(count=2, sequence=7, replayed=True)


def test_limits_are_told_by_name():
    told = convert.limits_to_wire()
    assert told["message_bytes"] == limits.MESSAGE_BYTES
    assert told["k"] == limits.K
    assert "name" not in told  # a pattern, no number
    pb.InfoResponse(limits=told)


# ---------------------------------------------------------------------------------- arguments


def test_schema_has_defaults():
    assert convert.schema_from_wire(pb.CollectionSchema(dim=4)) == {
        "dim": 4,
        "metric": "cosine",
        "dtype": "float32",
        "fields": {},
    }


def test_schema_with_codes_and_pages():
    schema = convert.schema_from_wire(pb.CollectionSchema(dim=4, code_bits=7, page_bytes=1))
    assert (schema["code_bits"], schema["page_bytes"]) == (7, 1)  # the engine refuses them


def test_schema_with_a_budget():
    schema = convert.schema_from_wire(pb.CollectionSchema(dim=4, memory_budget=0))
    assert schema["memory_budget"] == 0  # the engine refuses it


def test_search_leaves_to_the_engine_what_was_not_asked_for():
    assert convert.search_from_wire(pb.SearchRequest()) == {
        "tenant": None,
        "filter": None,
        "mode": "auto",
        "min_score": None,
        "with_payload": True,
        "with_vector": False,
    }


def test_search_has_all_that_was_asked_for():
    request = pb.SearchRequest(
        mode=pb.SCAN,
        effort=0.0,
        estimator=pb.HAMMING,
        min_score=0.0,
        without_payload=True,
        with_vector=True,
        with_relevance=True,
        with_surprise=True,
        offset=7,
        diversity=0.0,
    )
    assert convert.search_from_wire(request) == {
        "tenant": None,
        "offset": 7,
        "diversity": 0.0,
        "filter": None,
        "mode": "scan",
        "effort": 0.0,
        "estimator": "hamming",
        "min_score": 0.0,
        "with_payload": False,
        "with_vector": True,
        "with_relevance": True,
        "with_surprise": True,
    }
    assert convert.search_from_wire(pb.SearchRequest(effort_bound=True))["effort"] == "bound"


def test_effort_is_given_once():
    with pytest.raises(InvalidArgument) as caught:
        convert.search_from_wire(pb.SearchRequest(effort=1.0, effort_bound=True))
    assert caught.value.field == "effort"


def test_unknown_estimator_is_refused():
    with pytest.raises(ClientInvalidArgument) as caught:
        convert.search_from_wire(pb.SearchRequest(estimator=99))
    assert caught.value.field == "estimator"


def test_seal_result_is_whole():
    result = SealResult(records=9, segments=2)
    assert responses.seal_result(convert.seal_to_wire(result)) == ClientSealResult(
        records=9, segments=2
    )


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"metric": 99}, "metric"),
        ({"dtype": 99}, "dtype"),
        ({"fields": {"lang": 99}}, "fields['lang']"),
        ({"fields": {"lang": 0}}, "fields['lang']"),
    ],
)
def test_unknown_enumeration_value_is_refused_by_name(schema, field):
    with pytest.raises(ClientInvalidArgument) as caught:
        convert.schema_from_wire(pb.CollectionSchema(dim=4, **schema))
    assert caught.value.field == field


def test_unknown_mode_is_refused():
    with pytest.raises(ClientInvalidArgument) as caught:
        codec.MODE.from_wire(99)
    assert caught.value.field == "mode"


def test_absent_ids_are_none():
    assert convert.ids_from_wire(pb.DeleteRequest()) is None
    assert convert.ids_from_wire(pb.DeleteRequest(ids=pb.Ids(ints=b""))).tolist() == []
    with pytest.raises(ClientInvalidArgument, match="neither"):
        convert.ids_from_wire(pb.DeleteRequest(ids=pb.Ids()))


def test_one_id_is_one_id():
    def after(ids):
        return convert.id_from_wire(pb.ScrollRequest(after=codec.ids_to_wire(ids)), "after")

    assert after([7]) == 7
    assert type(after([7])) is int
    assert after(["x"]) == "x"
    assert convert.id_from_wire(pb.ScrollRequest(), "after") is None
    with pytest.raises(InvalidArgument) as caught:
        after([7, 8])
    assert caught.value.field == "after"


def test_payload_texts_pass_and_empty_means_none():
    assert convert.payloads_from_wire([]) is None
    assert convert.payloads_from_wire([b'{"a":1}', b""]) == [b'{"a":1}', None]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (pb.Condition(if_absent=True), {"if_absent": True}),
        (pb.Condition(if_present=False), {"if_present": False}),  # the engine refuses it
        (pb.Condition(if_sequence=0), {"if_sequence": 0}),
    ],
)
def test_condition(condition, expected):
    assert convert.condition_from_wire(pb.UpsertRequest(condition=condition)) == expected


def test_condition_without_kind_is_refused():
    with pytest.raises(InvalidArgument) as caught:
        convert.condition_from_wire(pb.UpsertRequest(condition=pb.Condition()))
    assert caught.value.field == "condition"
    assert convert.condition_from_wire(pb.UpsertRequest()) is None
