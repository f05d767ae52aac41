"""What administrators see and do: sessions, credentials, revocations."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from proxy_gen.names import DistinguishedName
from ttscache.broker.codec import PROXY, decode_session, describe_parent
from ttscache.broker.keys import CREDENTIALS, PARENTS, SESSIONS, identity_digest
from ttscache.broker.revocations import Revocation, Revocations, RevokedCertificate
from ttscache.broker.sessions import Sessions
from ttscache.broker.standing import StandingSessions
from ttscache.errors import NotFoundError, RecordUnreadableError
from ttscache.model import Session
from ttscache.net.deadline import Deadline
from ttscache.store.base import Record, Store

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_REVOKED = "revoked by an administrator"


@dataclass(frozen=True)
class Act:
    """Who acts, and why as he says."""

    by: str
    reason: str


@dataclass(frozen=True)
class Page:
    """What a listing is asked for: whose (None: everybody's), how many, and behind which entry."""

    issuer: str | None
    subject: str | None
    limit: int
    after: str


@dataclass(frozen=True)
class KnownCredential:
    """A credential that is kept, or an end-entity certificate; never its key. Times in POSIX seconds.

    ``profile`` is None for an end-entity certificate, whose own serial is ``eec_serial``.
    """

    key: str
    issuer: str
    subject: str
    dn: str
    authority: str
    profile: str | None
    serial: int
    eec_serial: int
    not_after: float


class Administration:
    """The acts. Each is told in the log; what it revokes is refused by all replicas as soon as they hear of it."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        standing: StandingSessions,
        revocations: Revocations,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._standing = standing
        self._revocations = revocations
        self._clock = clock

    async def sessions(self, page: Page) -> list[tuple[str, Session]]:
        """Return sessions with their keys, in the order of these."""
        found: list[tuple[str, Session]] = []
        async for key, record in self._session_records(page):
            session = _readable(decode_session, record)
            if session is not None and _is_wanted(page, session.issuer, session.subject):
                found.append((key, session))
            if len(found) >= page.limit:
                break
        return found

    async def revoke_session(self, key: str, act: Act) -> Session:
        """End a session and refuse the tokens that were issued before now. Raises NotFoundError."""
        record = await self._store.get(key) if key.startswith(SESSIONS) else None
        if record is None:
            raise NotFoundError("there is no session of this id; `ttscache session list` shows those that there are")
        session = decode_session(record.value)
        await self._revocations.revoke_session(key, self._revocation(session, act))
        await self._sessions.revoke(key, f"{_REVOKED}: {act.reason}" if act.reason else _REVOKED)
        _told("session_revoked", act, issuer=session.issuer, subject=session.subject, session=session.name)
        return session

    async def open_session(self, name: str, act: Act, deadline: Deadline) -> Session:
        """Open a standing session, also one that was revoked. Raises NotFoundError, and as opening does."""
        session = await self._standing.open(name, deadline)
        _told("session_opened_again", act, issuer=session.issuer, subject=session.subject, session=name)
        return session

    async def credentials(self, page: Page) -> list[KnownCredential]:
        """Return what is kept: cached credentials, then end-entity certificates (or what stands in their place)."""
        await self._revocations.latest()  # for :meth:`is_revoked`: perhaps nobody has come to the door for long
        found: list[KnownCredential] = []
        async for each in self._known(page):
            if _is_wanted(page, each.issuer, each.subject):
                found.append(each)
            if len(found) >= page.limit:
                break
        return found

    async def revoke_credential(self, eec_serial: int, act: Act) -> RevokedCertificate:
        """Revoke an end-entity certificate, and so all proxies below it, until it ends. Raises NotFoundError."""
        everybody = Page(None, None, 0, "")
        async for each in self._known(everybody):
            if each.eec_serial == eec_serial and each.profile is None:
                (revoked,) = await self._revoke_certificates([each])
                _told("credential_revoked", act, issuer=each.issuer, subject=each.subject, eec_serial=str(eec_serial))
                return revoked
        raise NotFoundError("there is no end-entity certificate of this serial; `ttscache credential list` shows them")

    def is_revoked(self, eec_serial: int) -> bool:
        """Tell whether an end-entity certificate is revoked."""
        return self._revocations.is_revoked(eec_serial)

    async def revoked_identities(self) -> list[Revocation]:
        """Return the revoked identities."""
        return await self._revocations.identities()

    async def revoke_identity(self, issuer: str, subject: str, act: Act) -> None:
        """Refuse an identity until it is restored; end its sessions, revoke its certificates, drop its credentials."""
        await self._revocations.revoke_identity(Revocation(issuer, subject, self._clock(), act.by, act.reason))
        page = Page(issuer, subject, 0, "")
        async for key in self._sessions_of(page):
            await self._sessions.revoke(key, _REVOKED)
        kept = [each async for each in self._known(page)]
        await self._revoke_certificates([each for each in kept if each.profile is None])
        for each in kept:
            await self._store.delete(each.key)
        _told("identity_revoked", act, issuer=issuer, subject=subject)

    async def restore_identity(self, issuer: str, subject: str, act: Act) -> None:
        """Take an identity's revocation back. Raises NotFoundError."""
        if not await self._revocations.restore_identity(issuer, subject):
            raise NotFoundError("this identity is not revoked")
        _told("identity_restored", act, issuer=issuer, subject=subject)

    async def _revoke_certificates(self, certificates: Sequence[KnownCredential]) -> list[RevokedCertificate]:
        now = self._clock()
        revoked = [RevokedCertificate(each.eec_serial, each.authority, now, each.not_after) for each in certificates]
        await self._revocations.revoke_certificates(revoked)
        return revoked

    async def _session_records(self, page: Page) -> AsyncIterator[tuple[str, Record]]:
        """Yield the records that can be wanted, in the order of their keys."""
        if page.issuer is None or page.subject is None:
            async for found in self._store.scan(SESSIONS, page.after):
                yield found
            return
        for key in sorted([key async for key in self._sessions_of(page)]):
            record = await self._store.get(key) if key > page.after else None
            if record is not None:
                yield key, record

    async def _sessions_of(self, page: Page) -> AsyncIterator[str]:
        """Yield the keys of an identity's sessions; standing ones are not under its name."""
        async for key, _ in self._store.scan(_narrowed(SESSIONS, page)):
            yield key
        for key in self._standing.record_keys():
            record = await self._store.get(key)
            session = None if record is None else _readable(decode_session, record)
            if session is not None and _is_wanted(page, session.issuer, session.subject):
                yield key

    async def _known(self, page: Page) -> AsyncIterator[KnownCredential]:
        for prefix, described in ((CREDENTIALS, _cached), (PARENTS, _end_entity)):
            async for key, record in self._store.scan(_narrowed(prefix, page), page.after):
                found = _readable(partial(described, key), record)
                if found is not None:
                    yield found

    def _revocation(self, session: Session, act: Act) -> Revocation:
        return Revocation(session.issuer, session.subject, self._clock(), act.by, act.reason, session.name)


def _narrowed(prefix: str, page: Page) -> str:
    """Return the beginning of the keys that can be wanted."""
    if page.issuer is None or page.subject is None:
        return prefix
    return f"{prefix}{identity_digest(page.issuer, page.subject)}/"


def _is_wanted(page: Page, issuer: str, subject: str) -> bool:
    return page.issuer in {None, issuer} and page.subject in {None, subject}


def _readable(decode: Callable[[bytes], _Value], record: Record) -> _Value | None:
    try:
        return decode(record.value)
    except RecordUnreadableError:
        return None  # another version's


def _cached(key: str, value: bytes) -> KnownCredential:
    cached = PROXY.decode(value)
    credential = cached.credential
    return KnownCredential(
        key=key,
        issuer=cached.owner[0],
        subject=cached.owner[1],
        dn=credential.subject,
        authority=credential.issuer,
        profile=credential.profile,
        serial=credential.serial,
        eec_serial=credential.eec_serial,
        not_after=credential.not_after,
    )


def _end_entity(key: str, value: bytes) -> KnownCredential:
    issuer, subject, certificate = describe_parent(value)
    return KnownCredential(
        key=key,
        issuer=issuer,
        subject=subject,
        dn=DistinguishedName(certificate.subject).slash,
        authority=DistinguishedName(certificate.issuer).slash,
        profile=None,
        serial=certificate.serial_number,
        eec_serial=certificate.serial_number,
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def _told(event: str, act: Act, **what: str | None) -> None:
    _log.info(event, extra={"by": act.by, "reason": act.reason, **what})
