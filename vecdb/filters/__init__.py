"""Which records does a filter match?

``parse_filter`` checks a filter against the declared fields and gives its canonical form,
``compile_filter`` makes a test of one payload from that. Records are tested one by one.
"""

from __future__ import annotations

from .builder import Expression, F
from .evaluate import compile_filter
from .expression import EVERYTHING, NOTHING, And, Compare, Node, Not, Or, fields_of
from .parse import declared_hint, parse_filter
from .values import check_field_value, check_payload_fields

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "And",
    "Compare",
    "Expression",
    "F",
    "Node",
    "Not",
    "Or",
    "check_field_value",
    "check_payload_fields",
    "compile_filter",
    "declared_hint",
    "fields_of",
    "parse_filter",
]
