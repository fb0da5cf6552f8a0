"""What an invalidation is about: one kind of target a call, as floors and as the entries known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidArgument
from ..storage.caches import NO_HASH
from ..storage.format import (
    POST_ALL,
    POST_CATEGORY,
    POST_SCOPE,
    POST_SOURCE,
    POST_SOURCE_ANY,
    POST_TAG,
)
from .engine import Engine
from .offers import check_sources, check_tags
from .question import unknown_category
from .rows import LIVE
from .scope import Scope, posting_hash, source_name
from .writing import posted

_KINDS = ("tags", "category", "scope", "sources", "everything")


@dataclass(frozen=True, slots=True)
class Targets:
    """``floors``: kind and hash of each; ``categories``: how many of the entries are of which."""

    floors: list[tuple[int, bytes]]
    entries: list[int]
    categories: Counter[str] = field(default_factory=Counter)


def find_targets(
    engine: Engine,
    *,
    tags: Sequence[str] | None,
    category: str | None,
    scope: Scope | None,
    sources: Sequence[Any] | None,
    everything: bool,
) -> Targets:
    """Raises ``InvalidArgument`` unless exactly one kind is named."""
    given = (tags, category, scope, sources, everything or None)
    named = [name for name, value in zip(_KINDS, given, strict=True) if value is not None]
    if len(named) != 1:
        raise InvalidArgument(
            f"name one of {', '.join(_KINDS)}; got {', '.join(named) or 'none'}",
            field=named[1] if len(named) > 1 else "tags",
            hint="Invalidating is or, not and: call once for each kind. everything=True for all",
        )
    secret = engine.row.secret
    if everything:
        return _of([(POST_ALL, NO_HASH)], list(engine.index.known()), engine)
    if category is not None:
        if category not in engine.policy.categories and category not in engine.index.categories:
            raise unknown_category(engine.policy, category)
        name = posting_hash(secret, POST_CATEGORY, category.encode())
        rows = engine.index.categories.get(category)
        return _of([(POST_CATEGORY, name)], engine.index.entries_of(rows), engine)
    if scope is not None:
        scoped = engine.scopes.check(scope)
        digest = posting_hash(secret, POST_SCOPE, scoped.canonical)
        return _of([(POST_SCOPE, digest)], engine.index.of_scope(scoped.fingerprint), engine)
    if tags is not None:
        names = [(POST_TAG, tag.encode()) for tag in check_tags(tags)]
    else:
        names = [
            (POST_SOURCE, source_name(collection, document, version))
            if version
            else (POST_SOURCE_ANY, source_name(collection, document))
            for collection, document, version in check_sources(sources)
        ]
    if not names:
        raise InvalidArgument(f"{named[0]} is empty: name at least one", field=named[0])
    floors = [(kind, posting_hash(secret, kind, name)) for kind, name in names]
    entries = {entry for kind, digest in floors for entry in posted(engine, kind, digest)}
    return _of(floors, sorted(entries), engine)


def _of(floors: list[tuple[int, bytes]], entries: list[int], engine: Engine) -> Targets:
    """Those of the entries that are alive."""
    index, alive = engine.index, []
    categories: Counter[str] = Counter()
    with index.lock:
        flags = index.rows.columns["flags"]
        for entry in entries:
            row = index.row_of(entry)
            if row is not None and int(flags[row]) & LIVE:
                alive.append(entry)
                categories[index.partition_of(row).category] += 1
    return Targets(floors, alive, categories)
