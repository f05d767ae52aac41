"""Who is refused, whatever token comes: revoked identities, revoked sessions with the tokens from before them.

And what is refused: revoked end-entity certificates, which stand on the CRL of their CA as well.

All of it is one record, which every replica reads again after a second, or as soon as it hears of a change. While it
cannot be read, what was read last holds for as long as `store.stale_for`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ttscache.broker.codec import decode_fields, encode_fields
from ttscache.broker.keys import REVOCATIONS, identity_digest
from ttscache.errors import RequestInvalidError, StoreUnavailableError, SubjectRevokedError
from ttscache.model import Identity
from ttscache.store.base import ABSENT, ConflictError, Store

_log = logging.getLogger(__name__)
_IDENTITY_REVOKED = "an administrator has revoked this identity; only an administrator can restore it"
_REREAD_SECONDS = 1.0
# Longer than tokens live; a session's revocation speaks of tokens that were issued before it.
_KEEP_SESSIONS_SECONDS = 400 * 86400.0
_KEEP_SECONDS = 10 * 365 * 86400.0
# the record is read often, and must stay small
_MAX_ENTRIES = 10_000


@dataclass(frozen=True)
class Revocation:
    """One revocation: of an identity, or of a session, which may be a standing one of a ``name``.

    ``at`` is in POSIX seconds; ``by`` is who revoked.
    """

    issuer: str
    subject: str
    at: float
    by: str
    reason: str
    name: str | None = None


@dataclass(frozen=True)
class RevokedCertificate:
    """An end-entity certificate that is revoked: its serial, its CA's name in slash form; times in POSIX seconds."""

    serial: int
    authority: str
    at: float
    ends_at: float


@dataclass(frozen=True)
class _Lists:
    """Identities by the digest that stands for them, sessions by their record's key, certificates by serial."""

    identities: Mapping[str, Revocation] = field(default_factory=dict)
    sessions: Mapping[str, Revocation] = field(default_factory=dict)
    certificates: Mapping[int, RevokedCertificate] = field(default_factory=dict)


class Revocations:
    """The revocations, as this process knows them."""

    def __init__(self, store: Store, clock: Callable[[], float], *, stale_for: float) -> None:
        self._store = store
        self._clock = clock
        self.stale_for = stale_for
        self._lists = _Lists()
        self._version = ABSENT
        self._read_at = float("-inf")
        self._noticed = 0
        self._reading = asyncio.Lock()
        store.watch(self._changed)  # as long as there is the store

    async def require(self, identity: Identity, session_key: str | None) -> None:
        """Raise :class:`SubjectRevokedError` for who is revoked, StoreUnavailableError when that is not known."""
        if time.monotonic() - self._read_at >= _REREAD_SECONDS:
            await self._read()
        lists = self._lists
        if not lists.identities and not lists.sessions:
            return
        if identity_digest(identity.issuer, identity.subject) in lists.identities:
            raise SubjectRevokedError(_IDENTITY_REVOKED)
        revoked = None if session_key is None else lists.sessions.get(session_key)
        if revoked is None:
            return
        if revoked.name is not None:
            raise _closed(revoked.name)
        if identity.issued_at <= revoked.at:
            raise SubjectRevokedError("an administrator has revoked the session of this token; obtain a new token")

    async def require_subject(self, issuer: str, subject: str) -> None:
        """Raise SubjectRevokedError for a revoked identity, of which no token is at hand."""
        await self._read()
        if identity_digest(issuer, subject) in self._lists.identities:
            raise SubjectRevokedError(_IDENTITY_REVOKED)

    async def require_open(self, session_key: str, name: str) -> None:
        """Raise SubjectRevokedError for a standing session that was revoked and not opened again."""
        await self._read()
        if session_key in self._lists.sessions:
            raise _closed(name)

    async def latest(self) -> int:
        """Learn what another process may have changed, and return what is another number after every change.

        While the store is away, it is the last that was read.
        """
        with contextlib.suppress(StoreUnavailableError):
            await self._read()
        return self._version

    async def identities(self) -> list[Revocation]:
        """Return the revoked identities."""
        await self._read(must=True)
        return list(self._lists.identities.values())

    async def revoke_identity(self, revocation: Revocation) -> None:
        """Refuse an identity until it is restored. Raises StoreUnavailableError, RequestInvalidError."""
        digest = identity_digest(revocation.issuer, revocation.subject)
        await self._change(lambda lists: replace(lists, identities={**lists.identities, digest: revocation}))

    async def restore_identity(self, issuer: str, subject: str) -> bool:
        """Take an identity's revocation back; tell whether there was one."""
        digest = identity_digest(issuer, subject)
        known = digest in {identity_digest(each.issuer, each.subject) for each in await self.identities()}
        if known:
            await self._change(lambda lists: replace(lists, identities=_without(lists.identities, digest)))
        return known

    async def revoke_session(self, session_key: str, revocation: Revocation) -> None:
        """Refuse the tokens of a session that were issued up to now; a standing one until it is opened."""
        await self._change(lambda lists: replace(lists, sessions={**lists.sessions, session_key: revocation}))

    async def open_session(self, session_key: str) -> None:
        """Let a standing session be opened again."""
        await self._change(lambda lists: replace(lists, sessions=_without(lists.sessions, session_key)))

    def is_relied_on(self) -> bool:
        """Tell whether what was read last still holds without the store."""
        return time.monotonic() - self._read_at <= self.stale_for

    def is_revoked(self, serial: int) -> bool:
        """Tell whether an end-entity certificate is revoked, as far as was read last."""
        return serial in self._lists.certificates

    async def certificates(self, authority: str) -> list[RevokedCertificate]:
        """Return what is revoked of one CA's, by its name in slash form. Raises StoreUnavailableError."""
        await self._read(must=True)
        return [each for each in self._lists.certificates.values() if each.authority == authority]

    async def revoke_certificates(self, revoked: Sequence[RevokedCertificate]) -> None:
        """Revoke certificates until they end."""
        added = {each.serial: each for each in revoked}
        if added:
            await self._change(lambda lists: replace(lists, certificates={**added, **lists.certificates}))

    def _changed(self, key: str | None) -> None:
        if key is None or key == REVOCATIONS:
            self._noticed += 1
            self._read_at = min(self._read_at, time.monotonic() - _REREAD_SECONDS)

    async def _read(self, *, must: bool = False) -> None:
        """Read the record, unless somebody just has. Without ``must`` a failure is borne for a while."""
        async with self._reading:
            now = time.monotonic()
            if now - self._read_at < _REREAD_SECONDS and not must:
                return
            try:
                await self._fetch(now)
            except StoreUnavailableError:
                if must or now - self._read_at > self.stale_for:
                    raise

    async def _fetch(self, now: float) -> None:
        noticed = self._noticed
        record = await self._store.get(REVOCATIONS)
        if record is None and self._lists != _Lists():
            await self._write_again()
        elif record is None:
            self._version = ABSENT
        elif record.version != self._version:
            self._lists, self._version = _decoded(decode_fields(record.value)), record.version
        # what was heard of while this was read may be newer
        self._read_at = now if noticed == self._noticed else now - _REREAD_SECONDS

    async def _write_again(self) -> None:
        """Write what the store has lost: who was revoked stays revoked as long as anybody remembers."""
        _log.error("revocations_lost", extra={"known": len(self._lists.identities) + len(self._lists.sessions)})
        value = encode_fields(_encoded(self._lists))
        with contextlib.suppress(ConflictError):  # another has been quicker; it is read the next time
            self._version = await self._store.put(
                REVOCATIONS, value, expires_at=self._clock() + _KEEP_SECONDS, if_version=ABSENT
            )

    async def _change(self, change: Callable[[_Lists], _Lists]) -> None:
        while True:
            await self._read(must=True)
            lists = self._pruned(change(self._lists))
            value = encode_fields(_encoded(lists))
            try:
                version = await self._store.put(
                    REVOCATIONS, value, expires_at=self._clock() + _KEEP_SECONDS, if_version=self._version
                )
            except ConflictError:
                continue
            self._lists, self._version = lists, version
            return

    def _pruned(self, lists: _Lists) -> _Lists:
        since = self._clock() - _KEEP_SESSIONS_SECONDS
        sessions = {key: each for key, each in lists.sessions.items() if each.name is not None or each.at > since}
        certificates = {serial: each for serial, each in lists.certificates.items() if each.ends_at > self._clock()}
        if len(lists.identities) + len(sessions) > _MAX_ENTRIES:
            raise RequestInvalidError(f"more than {_MAX_ENTRIES} revocations are not kept; restore identities first")
        if len(certificates) > _MAX_ENTRIES:  # those that end soonest do the least harm
            lasting = sorted(certificates.items(), key=lambda each: each[1].ends_at)[-_MAX_ENTRIES:]
            certificates = dict(lasting)
        return _Lists(lists.identities, sessions, certificates)


def _closed(name: str) -> SubjectRevokedError:
    return SubjectRevokedError(
        f"an administrator has revoked the standing session '{name}'; `ttscache session open {name}` opens it"
    )


def _without(entries: Mapping[str, Revocation], key: str) -> dict[str, Revocation]:
    return {each: revocation for each, revocation in entries.items() if each != key}


def _encoded(lists: _Lists) -> dict[str, Any]:
    return {
        "identities": {key: asdict(each) for key, each in lists.identities.items()},
        "sessions": {key: asdict(each) for key, each in lists.sessions.items()},
        "certificates": [asdict(each) for each in lists.certificates.values()],
    }


def _decoded(fields: Mapping[str, Any]) -> _Lists:
    identities, sessions = (
        {key: Revocation(**each) for key, each in fields[kind].items()} for kind in ("identities", "sessions")
    )
    certificates = [RevokedCertificate(**each) for each in fields["certificates"]]
    return _Lists(identities, sessions, {each.serial: each for each in certificates})
