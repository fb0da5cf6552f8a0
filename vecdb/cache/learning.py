"""What a fresh answer, or a verdict, says about the one that the cache gave or would have given.

Who judges is the caller: by ``judge=`` when the cache is opened, or else two answers agree exactly
if their bytes do. Every bound that the cache states is relative to that judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cache_results import RING, VECTOR, VERIFIED, Hit
from ..storage.cache_entries import get_body
from .engine import Engine
from .offers import Offer
from .policy import Category
from .prompts import decode_value
from .tickets import Ticket
from .writing import reject

Judge = Callable[[Any, Any], bool]
"""(fresh value, stored value) -> whether the stored one would have been right."""

_GUESSED = (RING, VECTOR, VERIFIED)


def learn(
    engine: Engine, category: Category, ticket: Ticket, offer: Offer, judge: Judge | None
) -> bool | None:
    """Take the label of a fresh answer in; None: there was nothing to compare it with."""
    pool = engine.pool_of(category)
    if ticket.entry < 0 or offer.negative or (pool is None and ticket.drawn == 0.0):
        return None
    with engine.store.environment.read() as transaction:
        stored = get_body(transaction, engine.row.number, ticket.entry)
    if stored is None:
        return None
    if judge is None:
        right = (stored.value, stored.content_type) == (offer.data, offer.content_type)
    else:
        fresh = decode_value(offer.data, offer.content_type)
        right = bool(judge(fresh, decode_value(stored.value, stored.content_type)))
    if ticket.drawn > 0.0:
        note_audit(engine, category, ticket, right)
    elif pool is not None:
        pool.observe(ticket.score, right)
    return right


def note_audit(engine: Engine, category: Category, ticket: Ticket, right: bool) -> None:
    """The verdict about a hit that was served and drawn."""
    engine.tally.add(category.name, "audits_right" if right else "audits_wrong")
    pool = engine.pool_of(category)
    if pool is not None:
        pool.audit(ticket.score, right, ticket.drawn)
    if not right and not engine.store.read_only:
        reject(engine, ticket.entry, ticket.score)


def judge_hit(engine: Engine, category: Category, hit: Hit, ticket: Ticket, good: bool) -> None:
    """Somebody's word about a hit.

    Of a hit that was drawn for an audit it is the verdict. Else praise is counted and not learned
    from, since nobody praises at random, and a complaint weighs as five observations.
    """
    if ticket.drawn > 0.0:
        note_audit(engine, category, ticket, good)
        return
    if good:
        engine.tally.add(category.name, "praise")
        return
    engine.tally.add(category.name, "complaints")
    pool = engine.pool_of(category)
    if pool is not None and hit.kind in _GUESSED:
        pool.complain(ticket.score)
    reject(engine, hit.entry, hit.score).result()
