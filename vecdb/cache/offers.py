"""An answer offered to a cache, checked at the door."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import limits
from ..cache_results import Saved
from ..errors import InvalidArgument, LimitExceeded
from . import fields
from .prompts import NONE, encode_value

_SAVED = ("tokens", "money", "seconds")

Source = tuple[str, str, str]
"""Collection, document, version ("" for none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """``ttl``: seconds, of its own; None: the category's. ``meta``: JSON with tags and sources."""

    data: bytes
    content_type: str
    ttl: float | None
    tags: tuple[str, ...]
    sources: tuple[Source, ...]
    meta: bytes
    saved: Saved
    negative: bool


def make_offer(
    value: Any,
    *,
    content_type: str | None,
    ttl: float | str | None,
    tags: Sequence[str],
    sources: Sequence[Any],
    meta: Mapping[str, Any] | None,
    negative: bool,
) -> Offer:
    """Raises ``InvalidArgument`` and ``LimitExceeded``; field names the argument."""
    if negative:
        if value is not None:
            raise InvalidArgument(
                "value must be None where negative=True: it says that there is no answer",
                field="value",
            )
        data, kind = b"", NONE
    else:
        if value is None:
            raise InvalidArgument(
                "value is missing",
                field="value",
                hint='negative=True stores that there is no answer; JSON null is b"null" with '
                'content_type="application/json"',
            )
        data, kind = encode_value(value, content_type)
    named_tags = check_tags(tags)
    named_sources = check_sources(sources)
    given = _check_meta(meta)
    text = json.dumps(
        {"meta": given, "tags": named_tags, "sources": named_sources}, separators=(",", ":")
    ).encode()
    if len(text) > limits.CACHE_META_BYTES:
        raise LimitExceeded(
            f"meta, tags and sources have at most {limits.CACHE_META_BYTES} bytes as JSON; "
            f"got {len(text)}",
            field="meta",
            limit=limits.CACHE_META_BYTES,
            actual=len(text),
        )
    return Offer(
        data=data,
        content_type=kind,
        ttl=None if ttl is None else fields.duration("ttl", ttl),
        tags=named_tags,
        sources=named_sources,
        meta=text,
        saved=_saved(given),
        negative=negative,
    )


def _check_list(given: object, of: str, most: int, field: str) -> Sequence[object]:
    """A list of at most ``most``; ``of``: what it is to hold."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidArgument(f"{field} must be a list of {of}", field=field)
    if len(given) > most:
        raise LimitExceeded(
            f"at most {most} {field}; got {len(given)}",
            field=field,
            limit=most,
            actual=len(given),
        )
    return given


def check_tags(tags: object, field: str = "tags") -> tuple[str, ...]:
    """Texts of 1-``CACHE_TAG_BYTES`` bytes, each once."""
    named = _check_list(tags, "texts", limits.CACHE_TAGS, field)
    return tuple(dict.fromkeys(_name(f"{field}[{place}]", tag) for place, tag in enumerate(named)))


def check_sources(sources: object, field: str = "sources") -> tuple[Source, ...]:
    """("docs", "id7", "v3"), or without a version; documents may be integers."""
    listed = _check_list(sources, "(collection, id, version)", limits.CACHE_SOURCES, field)
    found: list[Source] = []
    for place, source in enumerate(listed):
        where = f"{field}[{place}]"
        if isinstance(source, str) or not isinstance(source, Sequence) or not 2 <= len(source) <= 3:
            raise InvalidArgument(
                f"{where} must be (collection, id) or (collection, id, version)", field=where
            )
        collection, document, *version = source
        if isinstance(document, int) and not isinstance(document, bool):
            document = str(document)
        names = [_name(where, name) for name in (collection, document)]
        given = str(version[0]) if version and version[0] is not None else ""
        found.append((names[0], names[1], _name(where, given) if given else ""))
    return tuple(dict.fromkeys(found))


def _name(where: str, value: object) -> str:
    if isinstance(value, str):
        try:
            if 0 < len(value.encode()) <= limits.CACHE_TAG_BYTES:
                return value
        except UnicodeEncodeError:
            pass
    raise InvalidArgument(
        f"{where} must be a text of 1-{limits.CACHE_TAG_BYTES} bytes", field=where
    )


def _check_meta(meta: object) -> dict[str, Any]:
    if meta is None:
        return {}
    if not isinstance(meta, Mapping) or not all(isinstance(key, str) for key in meta):
        raise InvalidArgument("meta must be an object with names", field="meta")
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(meta), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"meta holds what JSON cannot: {error}", field="meta") from None
    return copied


def _saved(meta: Mapping[str, Any]) -> Saved:
    """What computing the answer cost, if meta tells."""
    told = {name: fields.amount(f"meta.{name}", meta[name]) for name in _SAVED if name in meta}
    return Saved(
        tokens=min(2**32 - 1, int(told.get("tokens", 0))),
        money=told.get("money", 0.0),
        seconds=told.get("seconds", 0.0),
    )
