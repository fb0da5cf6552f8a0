"""A filter in canonical form: equal filters are equal objects with equal hashes.

Build nodes with ``compare``, ``all_of``, ``any_of`` and ``negate``: the classes hold what they are
given. Canonical means: groups are flattened, sorted, free of repeats, and have two children or
more (``EVERYTHING`` and ``NOTHING`` have none); ``Not`` stands only over a ``Compare``; lists of
values are sorted and free of repeats; an operator that says the same as a simpler one is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Scalar = str | int | float | bool | bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison of one field; false where the field is missing or null (but for ``null``).

    ``operator`` and ``values`` are one of

    - ``eq ne lt lte gt gte prefix`` with one value; of a text ``prefix`` is that of a word
    - ``in`` (some element is one of them) and ``all`` (each of them is an element) with two or more
    - ``between`` with the two ends, both included, the first below the second
    - ``within`` with latitude, longitude and metres; ``box`` with top, left, bottom and right
    - ``match`` (a text has each of these words), ``match_any`` and ``phrase`` (side by side)
    - ``exists`` (has a value) and ``null`` (is an explicit null) with none
    """

    field: str
    operator: str
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class And:
    """Every child matches."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some child matches."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The child does not match; two-valued, so a record without the field is included."""

    child: Node


Node = Compare | And | Or | Not

EVERYTHING = And(())
NOTHING = Or(())


def fields_of(node: Node) -> frozenset[str]:
    """The fields that it compares."""
    match node:
        case Compare():
            return frozenset([node.field])
        case Not(child):
            return fields_of(child)
    return frozenset().union(*map(fields_of, node.children))


def compare(field: str, operator: str, values: tuple[Scalar, ...]) -> Node:
    """The canonical node of one comparison of the dict form, with checked values of one type."""
    match operator, values:
        case (("in" | "any"), _):
            return _any_value(field, values)
        case "all", _:
            return _all_values(field, values)
        case (("match" | "match_any"), _):
            unique = tuple(sorted(set(values)))
            return Compare(field, "match" if len(unique) == 1 else operator, unique)
        case "phrase", (_,):
            return Compare(field, "match", values)
        case "between", (low, high) if low == high:
            return Compare(field, "eq", (low,))
        case "prefix", ("",):
            return Compare(field, "exists")
        case (("exists" | "null"), (wanted,)):
            node = Compare(field, operator)
            return node if wanted else Not(node)
    return Compare(field, operator, values)


def all_of(children: Iterable[Node]) -> Node:
    """The canonical AND; of no children it is ``EVERYTHING``."""
    kept = _flatten(children, And)
    if NOTHING in kept:
        return NOTHING
    return kept.pop() if len(kept) == 1 else And(_sort(kept))


def any_of(children: Iterable[Node]) -> Node:
    """The canonical OR; of no children it is ``NOTHING``."""
    kept = _flatten(children, Or)
    if EVERYTHING in kept:
        return EVERYTHING
    return kept.pop() if len(kept) == 1 else Or(_sort(kept))


def negate(node: Node) -> Node:
    """The canonical NOT: pushed down to the comparisons."""
    match node:
        case And(children):
            return any_of(map(negate, children))
        case Or(children):
            return all_of(map(negate, children))
        case Not(child):
            return child
    return Not(node)


def _any_value(field: str, values: tuple[Scalar, ...]) -> Node:
    unique = sorted(set(values))
    if not unique:
        return NOTHING
    return Compare(field, "eq" if len(unique) == 1 else "in", tuple(unique))


def _all_values(field: str, values: tuple[Scalar, ...]) -> Node:
    unique = sorted(set(values))
    if not unique:
        return Compare(field, "exists")
    return Compare(field, "eq" if len(unique) == 1 else "all", tuple(unique))


def _flatten(children: Iterable[Node], group: type[And] | type[Or]) -> set[Node]:
    kept: set[Node] = set()
    for child in children:
        if isinstance(child, group):
            kept.update(child.children)
        else:
            kept.add(child)
    return kept


def _sort(nodes: set[Node]) -> tuple[Node, ...]:
    # Nodes of several classes have no order of their own; their text has one that is the same in
    # every process.
    return tuple(sorted(nodes, key=repr))
