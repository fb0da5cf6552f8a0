"""What is kept by weight and by number, and what goes first."""

from __future__ import annotations

from vecdb.collection.bounded import Bounded


def test_what_was_not_used_for_longest_goes():
    kept = Bounded[str, int](10)
    for key in "abc":
        kept.put(key, ord(key), 3)
    assert kept.get("a") == ord("a")
    assert kept.peek("b") == ord("b")  # no use
    kept.put("d", 4, 3)
    assert kept.values() == [ord("c"), ord("a"), 4]
    assert kept.get("b") is None


def test_value_in_place_of_another_weighs_for_itself():
    kept = Bounded[str, int](10)
    kept.put("a", 1, 9)
    kept.put("a", 2, 1)
    kept.put("b", 3, 9)
    assert kept.values() == [2, 3]


def test_number_is_bounded_too():
    kept = Bounded[int, int](10, entries=2)
    for key in range(5):
        kept.put(key, key, 0)
    assert kept.values() == [3, 4]


def test_what_is_too_heavy_stays_only_where_it_may():
    strict, lenient = Bounded[int, int](1), Bounded[int, int](1, least=1)
    for one in (strict, lenient):
        one.put(0, 0, 1)
        one.put(1, 1, 5)
    assert (strict.values(), lenient.values()) == ([], [1])
