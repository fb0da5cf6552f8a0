"""Which level a memory budget gives, and what it is said to hold."""

import pytest

from vecdb.collection.levels import (
    CACHE_BYTES,
    GRAPH_SLOTS,
    LEVELS,
    add_sizes,
    cache_least,
    choose_level,
    layout_at,
    sizes_to_be,
)
from vecdb.schema import CollectionSchema
from vecdb.storage.format import LAYOUT_CODED, LAYOUT_LINKED, LAYOUT_VECTORS

MILLION = 1_000_000


@pytest.fixture
def sizes():
    schema = CollectionSchema(dim=96, metric="l2", code_bits=2)
    return sizes_to_be(schema, MILLION, 8 * MILLION)


def test_no_budget_keeps_everything_and_no_cache(sizes):
    plan = choose_level(None, sizes)
    assert (plan.level, plan.cache_bytes, plan.budget) == ("all", 0, None)
    assert plan.why == "no memory budget is set"


def test_levels_hold_less_and_less(sizes):
    held = [sizes.at(level) for level in LEVELS]
    assert held == sorted(held, reverse=True)
    assert held[-1] < 20 * MILLION


@pytest.mark.parametrize("level", LEVELS[1:])
def test_level_is_chosen_from_what_it_holds_and_room_for_pages(sizes, level):
    budget = sizes.at(level)
    while budget < sizes.at(level) + cache_least(budget):
        budget += 1_024
    assert choose_level(budget, sizes).level == level
    assert choose_level(budget, sizes).cache_bytes == budget - sizes.at(level)
    lower = choose_level(budget - 2_048, sizes)
    assert lower.level == LEVELS[min(LEVELS.index(level) + 1, 3)]


def test_everything_needs_no_room_for_pages(sizes):
    assert choose_level(sizes.at("all"), sizes).level == "all"
    assert choose_level(sizes.at("all") - 1, sizes).level == "graph+codes"


def test_a_fifth_of_the_vectors_is_enough_for_codes_of_two_bits(sizes):
    assert choose_level(MILLION * 384 // 5, sizes).level == "codes"
    assert choose_level(MILLION * 384 // 10, sizes).level == "entries"


def test_budget_below_the_least_is_said_to_be(sizes):
    plan = choose_level(CACHE_BYTES, sizes)
    assert plan.level == "entries"
    assert "below the least" in plan.why
    assert plan.cache_bytes == CACHE_BYTES


def test_reason_names_the_level_above(sizes):
    plan = choose_level(MILLION * 384 // 5, sizes)
    assert "graph+codes would take" in plan.why


def test_sizes_add_up(sizes):
    double = add_sizes([sizes, sizes])
    assert all(double.at(level) == 2 * sizes.at(level) for level in LEVELS)
    assert add_sizes([]).at("all") == 0


def test_layout_follows_the_level_where_there_is_a_graph():
    schema = CollectionSchema(dim=96)
    assert layout_at(schema, "codes", GRAPH_SLOTS) == LAYOUT_LINKED
    assert layout_at(schema, "entries", GRAPH_SLOTS) == LAYOUT_CODED
    assert layout_at(schema, "entries", GRAPH_SLOTS - 1) == LAYOUT_VECTORS
    assert layout_at(schema, "graph+codes", GRAPH_SLOTS) == LAYOUT_VECTORS


def test_layout_that_does_not_fit_a_page_gives_way_to_one_that_does():
    schema = CollectionSchema(dim=768, page_bytes=4_096)
    assert layout_at(schema, "entries", GRAPH_SLOTS) == LAYOUT_LINKED
    wide = CollectionSchema(dim=1_000, page_bytes=4_096)
    assert layout_at(wide, "entries", GRAPH_SLOTS) == LAYOUT_VECTORS
