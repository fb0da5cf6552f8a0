"""Making, rotating and revoking API keys. A revoked key stays listed: nothing is open again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from .. import limits
from ..errors import InvalidArgument, LimitExceeded, NotFound, PreconditionFailed
from ..keys import KeyInfo, KeyRights, from_us
from ..storage import credentials
from ..storage.catalogue import scan_collections
from ..storage.credentials import Credential
from ..storage.principals import find_principal
from .group import Group
from .store import Store

_WRITE_BYTES = 1_024


def list_keys(store: Store) -> list[KeyInfo]:
    """All keys, oldest first."""
    with store.environment.read() as transaction:
        found = [credential.info for credential in credentials.scan_credentials(transaction)]
    return sorted(found, key=lambda info: (info.created, info.id))


def create_key(store: Store, rights: KeyRights) -> tuple[KeyInfo, str]:
    """The new key and its secret, which is nowhere else from then on."""

    def create(group: Group) -> tuple[KeyInfo, str]:
        now = from_us(group.now_us)
        if rights.expires is not None and rights.expires <= now:
            raise InvalidArgument("expires must lie in the future", field="expires")
        _make_room(group)
        key = credentials.new_id()
        while credentials.find_credential(group.transaction, key) is not None:
            key = credentials.new_id()
        secret = credentials.new_secret(key)
        given = {one.name: getattr(rights, one.name) for one in fields(KeyRights)}
        info = KeyInfo(id=key, created=now, **given)
        digest = credentials.digest_of(secret)
        credentials.put_credential(group.transaction, Credential(info=info, digest=digest))
        return info, secret

    made: tuple[KeyInfo, str] = _write(store, create)
    return made


def revoke_key(store: Store, key: str) -> None:
    """Refuse the key, with every secret of it, from now on. A revoked one stays as it is."""

    def revoke(group: Group) -> None:
        _revoke(group, _require(group, key))

    _write(store, revoke)


def revoke_keys_of(group: Group, tenant: str) -> None:
    """Refuse the keys of a tenant that no collection has any more, as part of a write."""
    transaction = group.transaction
    for row in scan_collections(transaction):
        if find_principal(transaction, row.number, tenant) is not None:
            return
    for found in list(credentials.scan_credentials(transaction)):
        if found.info.tenant == tenant:
            _revoke(group, found)


def _revoke(group: Group, found: Credential) -> None:
    if found.info.revoked is None:
        info = replace(found.info, revoked=from_us(group.now_us), overlap=None)
        gone = replace(found, info=info, old_digest=None)
        credentials.put_credential(group.transaction, gone, takes_away=True)


def rotate_key(store: Store, key: str, overlap: float) -> str:
    """A new secret of the key; the one before it is valid for ``overlap`` more seconds."""

    def rotate(group: Group) -> str:
        found = _require(group, key)
        state = found.info.state(from_us(group.now_us))
        if state != "valid":
            raise PreconditionFailed(
                f"the key {key} is {state} and gets no new secret",
                field="key",
                reason="KEY_NOT_VALID",
                hint="Create another one",
            )
        secret = credentials.new_secret(key)
        until = from_us(group.now_us + round(overlap * 1e6)) if overlap else None
        credentials.put_credential(
            group.transaction,
            Credential(
                info=replace(found.info, overlap=until),
                digest=credentials.digest_of(secret),
                old_digest=found.digest if overlap else None,
            ),
        )
        return secret

    made: str = _write(store, rotate)
    return made


def _make_room(group: Group) -> None:
    """Forget the key that was revoked first where there are as many as may be."""
    transaction = group.transaction
    if transaction.entries(credentials.TABLE) < limits.KEYS:
        return
    infos = [credential.info for credential in credentials.scan_credentials(transaction)]
    gone = [(info.revoked, info.id) for info in infos if info.revoked is not None]
    if not gone:
        raise LimitExceeded(
            f"a database holds at most {limits.KEYS} API keys",
            limit=limits.KEYS,
            actual=len(infos),
            hint="Revoke keys that are not used any more",
        )
    credentials.delete_credential(transaction, min(gone)[1])


def _require(group: Group, key: str) -> Credential:
    found = credentials.find_credential(group.transaction, key)
    if found is None:
        raise NotFound(
            f"there is no API key {key[:64]!r}",
            field="key",
            reason="NO_KEY",
            hint="Keys are named by their id, which the list of keys tells",
        )
    return found


def _write(store: Store, run: Callable[[Group], Any]) -> Any:
    store.environment.check_usable()
    return store.submit(run, _WRITE_BYTES).result()
