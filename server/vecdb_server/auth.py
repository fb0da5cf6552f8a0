"""API keys: whose key does a call carry?"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from vecdb.storage.credentials import digest_of, is_secret, refusal

from .caller import EVERYTHING, Caller
from .gate import Gate

HEADER: Final = "authorization"
SCHEME: Final = "bearer "

Metadata = Iterable[tuple[str, str | bytes]]


class Keys:
    """The keys of the configuration (of which only digests are kept), then those of the database.

    The database is asked at each call: what was revoked or has expired is refused from then on,
    whoever did it. Without ``gate`` there are none but those of the configuration.
    """

    __slots__ = ("_digests", "_gate", "_stored")

    def __init__(self, keys: Iterable[str], gate: Gate | None = None) -> None:
        self._digests = tuple(digest_of(key) for key in keys)
        self._gate = gate
        self._stored = False  # the database holds a key; that never ends

    def caller(self, metadata: Metadata) -> Caller:
        """Who makes a call with this metadata.

        Raises ``Unauthenticated``, and ``Unavailable`` where only the database can tell and is not
        open. The comparison takes the same time for each wrong key.
        """
        values = [value for name, value in metadata if name == HEADER]
        if not self._needed():
            return EVERYTHING
        if not values:
            raise refusal("the call carries no API key")
        if len(values) > 1:
            raise refusal("the call carries more than one authorization entry")
        key = _bearer(values)
        if key is None:
            raise refusal("the authorization entry is not of the form 'Bearer <key>'")
        given = digest_of(key)
        known = False
        for digest in self._digests:
            known |= hmac.compare_digest(given, digest)
        if known:
            return EVERYTHING
        if self._gate is None or not is_secret(key):
            raise refusal("the API key is not known here")
        return Caller.of(self._gate.database.authenticate(key))

    def check_still(self, metadata: Metadata, caller: Caller) -> None:
        """Raise ``Unauthenticated`` if a key that was valid when its stream began is so no more."""
        if caller.key:
            self.caller(metadata)

    def _needed(self) -> bool:
        """Whether calls need a key: there is one, so that others can be told apart."""
        if self._digests or self._gate is None:
            return bool(self._digests)
        self._stored = self._stored or self._gate.database.has_keys
        return self._stored


def _bearer(values: Sequence[str | bytes]) -> str | None:
    value = values[0]
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if text[: len(SCHEME)].lower() != SCHEME:
        return None
    return text[len(SCHEME) :].strip()
