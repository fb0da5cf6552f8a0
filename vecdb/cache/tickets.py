"""Tickets: what a lookup hands to the ``put`` of the fresh answer, as a short text.

It says what the lookup knew: the sequence (so an answer that is older than an invalidation is
refused), the nearest entry with its score (so the fresh answer labels that pair), and if the entry
was served for audit, with which probability it was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidArgument

_MARK = "t1"  # of ``cache_results.ticket_text``


@dataclass(frozen=True, slots=True)
class Ticket:
    """``entry`` -1: nothing was near; ``drawn``: 0.0 for a miss, else the audit's probability."""

    sequence: int
    entry: int = -1
    score: float = 0.0
    drawn: float = 0.0


def read_ticket(text: object) -> Ticket | None:
    """Raises ``InvalidArgument`` for what is no ticket; None for None."""
    if text is None:
        return None
    if isinstance(text, str) and len(text) < 200:
        parts = text.split(":")
        if len(parts) == 5 and parts[0] == _MARK:
            try:
                made = Ticket(int(parts[1]), int(parts[2]), float(parts[3]), float(parts[4]))
            except ValueError:
                made = None
            if made is not None and 0.0 <= made.drawn <= 1.0 and -1.01 <= made.score <= 1.01:
                return made
    raise InvalidArgument(
        "ticket must be the one of a lookup, or None", field="ticket", reason="BAD_TICKET"
    )
