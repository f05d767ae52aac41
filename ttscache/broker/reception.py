"""The door: who is welcome, and on which session what he asks for rests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.limits import Allowances
from ttscache.broker.revocations import Revocations
from ttscache.broker.sessions import SessionGoneError, Sessions
from ttscache.broker.standing import StandingSessions
from ttscache.errors import SessionLostError, TokenError
from ttscache.model import Identity, Session
from ttscache.net.deadline import Deadline

_Issued = TypeVar("_Issued")
_SESSION_TRIES = 3


@dataclass(frozen=True, slots=True)
class Asker:
    """Who presents a token, and from which address (a pod: its own, whatever node it is on).

    For who acts by a standing session the token says nothing to the issuer.
    """

    identity: Identity
    subject_token: str
    peer: str


class Reception:
    """Receives askers. ``issuers`` are those with which sessions are held."""

    def __init__(
        self,
        issuers: Mapping[str, ExchangingIssuer],
        sessions: Sessions,
        standing: StandingSessions,
        revocations: Revocations,
        allowances: Allowances,
    ) -> None:
        self.issuers = issuers
        self.sessions = sessions
        self.allowances = allowances
        self._standing = standing
        self._revocations = revocations

    def newest(self, identity: Identity) -> Identity | None:
        """Return the identity by what its issuer said last; None when nothing is known.

        An issuer that no session is held with says nothing but its tokens.
        """
        issuer = self.issuers.get(identity.issuer)
        if issuer is None:
            return identity
        session = self.sessions.records.last(issuer.session_key(identity))
        if session is None or session.claims is None:
            return None
        try:
            known = issuer.identify(json.loads(session.claims))
        except TokenError:
            return None
        return replace(known, session=identity.session, profiles=identity.profiles)

    async def require_welcome(self, identity: Identity) -> None:
        """Raise SubjectRevokedError for who is revoked, StoreUnavailableError when that is not known."""
        issuer = self.issuers.get(identity.issuer)
        await self._revocations.require(identity, None if issuer is None else issuer.session_key(identity))

    def charge(self, asker: Asker) -> None:
        """Count what is to be made for who asks. Raises RateLimitedError."""
        self.allowances.issue(asker.identity.issuer, asker.identity.subject, asker.peer)

    async def session(self, asker: Asker, deadline: Deadline) -> Session | None:
        """Return the session of who asks, opened if need be; None with an issuer without any. Raises TtsErrors."""
        identity = asker.identity
        if identity.session is not None:
            return (await self._standing.current(identity.session, deadline))[1]
        if identity.issuer not in self.issuers:
            return None
        return await self.sessions.current(identity, asker.subject_token, deadline, lambda: self.charge(asker))

    async def confirmed_session(self, asker: Asker, deadline: Deadline) -> Session | None:
        """Return the session as what is made may rest upon it: see :meth:`Sessions.confirmed`."""
        session = await self.session(asker, deadline)
        return None if session is None else await self.sessions.confirmed(session, deadline)


async def persistently(attempt: Callable[[], Awaitable[_Issued]]) -> _Issued:
    """Try again where another caller or replica has ended the session: the token at hand may open the next."""
    for _ in range(_SESSION_TRIES):
        try:
            return await attempt()
        except SessionGoneError:
            continue
    raise SessionLostError("the session ended as soon as it was opened; try again")
