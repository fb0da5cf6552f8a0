"""API keys: does a call carry one that we know?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from vecdb.errors import Unauthenticated

HEADER: Final = "authorization"
SCHEME: Final = "bearer "


class Keys:
    """Knows digests only; the keys themselves are not kept."""

    __slots__ = ("_digests",)

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    def check(self, metadata: Iterable[tuple[str, str | bytes]]) -> Unauthenticated | None:
        """Why a call with this metadata is refused; None: it may go on.

        Takes the same time for each wrong key: the comparison is constant in time, of digests of
        one length, and goes over all keys.
        """
        if not self._digests:
            return None
        values = [value for name, value in metadata if name == HEADER]
        if not values:
            return _refusal("the call carries no API key")
        if len(values) > 1:
            return _refusal("the call carries more than one authorization entry")
        key = _bearer(values)
        if key is None:
            return _refusal("the authorization entry is not of the form 'Bearer <key>'")
        given = _digest(key)
        known = False
        for digest in self._digests:
            known |= hmac.compare_digest(given, digest)
        return None if known else _refusal("the API key is not known here")


def _bearer(values: Sequence[str | bytes]) -> str | None:
    value = values[0]
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if text[: len(SCHEME)].lower() != SCHEME:
        return None
    return text[len(SCHEME) :].strip()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _refusal(message: str) -> Unauthenticated:
    return Unauthenticated(
        message,
        hint="Send the metadata 'authorization: Bearer <key>' with a key of the server "
        "(in the Python client: api_key=...)",
    )
