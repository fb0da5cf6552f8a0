"""Who may see an answer: the scope, compared exactly and before any vector is.

The canonical form is sorted by key, tagged by type and prefixed by lengths, texts in NFC, so that
two scopes have the same bytes exactly if they are the same scope: 1 is not "1", and no key can run
over into a value. Partitions are found by a keyed digest of it; the bytes themselves are compared
again before an answer goes out, so that a digest that collides leaks nothing.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from .. import limits
from ..errors import InvalidArgument, LimitExceeded
from ..storage.format import POST_CATEGORY, POST_SCOPE, POST_SOURCE, POST_SOURCE_ANY, POST_TAG

Scope = Mapping[str, str | int | bool]
_LENGTH = struct.Struct("<I")
_MEMO = 65_536


@dataclass(frozen=True, slots=True)
class Scoped:
    """A scope that was checked. ``model``: the value of that key, for its load; "" without one."""

    canonical: bytes
    fingerprint: bytes
    model: str
    tenant: str


class Scopes:
    """Checks scopes and remembers those it has seen. Safe for any thread."""

    def __init__(self, keys: tuple[str, ...], secret: bytes) -> None:
        self._keys = keys
        self._secret = secret
        self._memo: dict[Any, Scoped] = {}

    def check(self, scope: Scope) -> Scoped:
        """Raises ``InvalidArgument``: a key is missing or unknown, or a value of another type."""
        try:
            # 1, True and "1" are different scopes, and 1 == True: the types are part of the key.
            key = tuple([(name, value, value.__class__) for name, value in scope.items()])
            found = self._memo.get(key)
        except (AttributeError, TypeError):
            key, found = None, None  # not a mapping, or a value that is no key: said below
        if found is not None:
            return found
        made = self._make(scope)
        if len(self._memo) >= _MEMO:
            self._memo.clear()
        if key is not None:
            self._memo[key] = made
        return made

    def _make(self, scope: object) -> Scoped:
        if not isinstance(scope, Mapping):
            raise InvalidArgument(
                f"scope must be an object with the keys {', '.join(self._keys)}; "
                f"got {type(scope).__name__}",
                field="scope",
                reason="BAD_SCOPE",
                hint="There is no default scope: say whose answer it is",
            )
        missing = [key for key in self._keys if key not in scope]
        unknown = [key for key in scope if key not in self._keys]
        if missing or unknown:
            faults = [f"lacks {key!r}" for key in missing]
            faults += [f"has {str(key)[:60]!r}, which is none" for key in unknown]
            raise InvalidArgument(
                f"the scope must have the keys {', '.join(self._keys)}; it {', '.join(faults)}",
                field=f"scope.{str((missing + unknown)[0])[:60]}",
                reason="BAD_SCOPE",
                hint="The policy's `scope` declares the keys",
            )
        parts = [part for key in self._keys for part in (_text(key), _value(key, scope[key]))]
        canonical = b"".join(_LENGTH.pack(len(part)) + part for part in parts)
        if len(canonical) > limits.CACHE_SCOPE_BYTES:
            raise LimitExceeded(
                f"a scope has at most {limits.CACHE_SCOPE_BYTES} bytes; got {len(canonical)}",
                field="scope",
                limit=limits.CACHE_SCOPE_BYTES,
                actual=len(canonical),
                hint="Put a hash of a long value in its place",
            )
        return Scoped(
            canonical=canonical,
            fingerprint=blake2b(canonical, digest_size=16, key=self._secret).digest(),
            model=str(scope.get("model", "")),
            tenant=str(scope.get("tenant", "")),
        )


def posting_hash(secret: bytes, kind: int, name: bytes) -> bytes:
    """What stands for a tag, source, scope or category among postings and floors."""
    return blake2b(bytes([kind]) + name, digest_size=8, key=secret).digest()


def tag_postings(
    secret: bytes, tags: tuple[str, ...], sources: tuple[tuple[str, str, str], ...]
) -> tuple[tuple[int, bytes], ...]:
    """The postings of an entry; a source stands in its version, and in any."""
    found = [(POST_TAG, tag.encode()) for tag in tags]
    for collection, document, version in sources:
        found.append((POST_SOURCE, source_name(collection, document, version)))
        found.append((POST_SOURCE_ANY, source_name(collection, document)))
    return tuple((kind, posting_hash(secret, kind, name)) for kind, name in dict.fromkeys(found))


def source_name(*parts: str) -> bytes:
    return b"".join(_LENGTH.pack(len(part.encode())) + part.encode() for part in parts)


def floors_of(
    secret: bytes, scoped_bytes: bytes, category: str
) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """The floors of an entry's scope and category."""
    return (
        (POST_SCOPE, posting_hash(secret, POST_SCOPE, scoped_bytes)),
        (POST_CATEGORY, posting_hash(secret, POST_CATEGORY, category.encode())),
    )


def _text(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode()


def _value(key: str, value: object) -> bytes:
    if isinstance(value, bool):
        return b"b" + bytes([value])
    if isinstance(value, int):
        return b"i" + str(value).encode()
    if isinstance(value, str) and value:
        try:
            return b"s" + _text(value)
        except UnicodeEncodeError:
            pass
    raise InvalidArgument(
        f"scope.{key} must be a text that is not empty, a whole number, true or false; "
        f"got {type(value).__name__}",
        field=f"scope.{key}",
        reason="BAD_SCOPE",
    )


def tenant_of(canonical: bytes) -> str:
    """The value of ``tenant`` in a canonical scope; "" without one."""
    at = 0
    parts: list[bytes] = []
    while at < len(canonical):
        (size,) = _LENGTH.unpack_from(canonical, at)
        at += _LENGTH.size
        parts.append(canonical[at : at + size])
        at += size
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if key == b"tenant":
            return value[1:].decode()
    return ""
