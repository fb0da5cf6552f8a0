"""Lists of places for the queries of a batch: cut, joined and told apart as if one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vecdb.index.lists import Lists, Scored, distinct

GIVEN = [[5, 2], [], [9, 9, 1], [4]]


def lists(some) -> Lists:
    return Lists.of([np.array(one, np.int64) for one in some])


def told(some: Lists) -> list[list[int]]:
    return [one.tolist() for one in some]


def scored(some) -> Scored:
    return Scored.of([(np.array(one, np.int64), np.array(one) / 2) for one in some])


def pairs(some: Scored) -> list[list[tuple[int, float]]]:
    every = list(zip(some.lists.places.tolist(), some.scores.tolist(), strict=True))
    edges = some.lists.edges.tolist()
    return [every[start:end] for start, end in itertools.pairwise(edges)]


def test_lists_are_those_that_were_given():
    made = lists(GIVEN)
    assert (told(made), len(made), made.sizes.tolist()) == (GIVEN, 4, [2, 0, 3, 1])
    assert made.query_of.tolist() == [0, 0, 2, 2, 2, 3]
    assert told(Lists.owned(made.places, made.query_of, 4)) == GIVEN
    assert (told(lists([])), len(lists([]))) == ([], 0)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (1, 3), (2, 2), (3, 4)])
def test_part_has_the_lists_of_its_queries(start, end):
    assert told(lists(GIVEN).part(start, end)) == GIVEN[start:end]


def test_places_are_left_out_wherever_they_are():
    made = lists(GIVEN)
    assert told(made.where(made.places > 4)) == [[5], [], [9, 9], []]
    assert told(made.where(made.places > 9)) == [[], [], [], []]


def test_scores_stay_with_their_places_when_joined():
    others = [[7], [8], [], [6, 3]]
    both = [one + more for one, more in zip(GIVEN, others, strict=True)]
    assert pairs(scored(GIVEN).and_also(scored(others))) == pairs(scored(both))
    nothing = scored([[]] * 4)
    assert pairs(scored(GIVEN).and_also(nothing)) == pairs(scored(GIVEN))
    assert pairs(nothing.and_also(scored(GIVEN))) == pairs(scored(GIVEN))
    assert pairs(Scored.chained([scored(GIVEN), scored(others)])) == pairs(scored(GIVEN + others))


@pytest.mark.parametrize("given", [[], [3], [3, 3], [5, 1, 5, 2, 1]])
def test_distinct_values_are_told_once_in_order(given):
    assert distinct(np.array(given, np.int64)).tolist() == sorted(set(given))
