"""Standing sessions: identities of the site's own, which the daemon keeps sessions for without being asked."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.keys import digest, standing_key
from ttscache.broker.opening import Opener, Opening
from ttscache.broker.readiness import Status
from ttscache.broker.revocations import Revocations
from ttscache.broker.sessions import Sessions
from ttscache.config.secrets import SecretError, read_secret_file
from ttscache.config.settings import StandingSession
from ttscache.errors import ExchangeRefusedError, NotFoundError, TokenError, TtsError
from ttscache.model import Identity, Session
from ttscache.net.backoff import backoff
from ttscache.net.deadline import Deadline

_log = logging.getLogger(__name__)
_KEEP_SECONDS = 5.0
_OPEN_SECONDS = 30.0
# how much longer than an upstream's backoff a refused token is left alone: it is a person who renews it
_PATIENCE = 10.0

Verify = Callable[[str, Deadline], Awaitable[Identity]]


class StandingSessions:
    """The standing sessions by name. ``verify`` tells whose the token in a file is."""

    def __init__(
        self,
        configured: Mapping[str, StandingSession],
        issuers: Mapping[str, ExchangingIssuer],
        sessions: Sessions,
        revocations: Revocations,
        verify: Verify,
    ) -> None:
        self._configured = configured
        self._issuers = issuers
        self._sessions = sessions
        self._revocations = revocations
        self._verify = verify
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._status: dict[str, Status] = {}
        self._identities: dict[str, tuple[str, Identity]] = {}

    def status(self) -> Mapping[str, Status]:
        """Return how each was when it was last looked after; degraded, while nobody has yet."""
        return {name: self._status.get(name, Status.DEGRADED) for name in self._configured}

    def adopt(self, previous: StandingSessions) -> None:
        """Take over how those of the same name were."""
        self._status = dict(previous._status)

    def key(self, name: str) -> str:
        """Return the key of a standing session's record. Raises NotFoundError."""
        wanted = self._configured.get(name)
        if wanted is None:
            raise NotFoundError("there is no standing session of this name under `sessions`")
        return standing_key(wanted.issuer, name, self._issuers[wanted.issuer].asked)

    def record_keys(self) -> tuple[str, ...]:
        """Return the keys of all their records."""
        return tuple(self.key(name) for name in self._configured)

    async def current(self, name: str, deadline: Deadline) -> tuple[Identity, Session]:
        """Return a standing session and whom it stands for, by the newest that the issuer said of it.

        Opens it when it is not open. Raises SubjectRevokedError while it is revoked, ExchangeRefusedError,
        UnavailableErrors.
        """
        await self._revocations.require_open(self.key(name), name)
        wanted = self._configured[name]
        known = await self._sessions.records.read(self.key(name))
        if known is not None:  # also one that has ended: nothing is opened for who is revoked
            await self._revocations.require_subject(known.issuer, known.subject)
        session = await self._sessions.standing(wanted.issuer, name, self._opener(wanted), deadline)
        identity = self._standing_for(wanted, session)
        await self._revocations.require(identity, None)
        return identity, session

    async def open(self, name: str, deadline: Deadline) -> Session:
        """Take a revocation back and open the session. Raises as :meth:`current`."""
        await self._revocations.open_session(self.key(name))
        self._not_before.pop(name, None)
        return (await self.current(name, deadline))[1]

    async def run(self) -> None:
        """Look after all of them until cancelled."""
        while self._configured:
            await asyncio.gather(*(self._look_after(name) for name in self._configured))
            await asyncio.sleep(_KEEP_SECONDS)

    async def _look_after(self, name: str) -> None:
        if time.monotonic() < self._not_before.get(name, 0.0):
            return
        try:
            _, session = await self.current(name, Deadline.after(_OPEN_SECONDS))
            self._sessions.confirm_behind(session)
        except TtsError as error:
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            self._not_before[name] = time.monotonic() + backoff(failures) * _PATIENCE
            self._status[name] = Status.DOWN
            _log.warning("standing_session_down", extra={"session": name, "code": error.code, "reason": error.message})
        else:
            self._failures[name] = 0
            self._status[name] = Status.OK

    def _standing_for(self, wanted: StandingSession, session: Session) -> Identity:
        """Return whom a session stands for; its claims are read once, for thousands of pods may ask."""
        claims = session.claims or "{}"
        known, identity = self._identities.get(wanted.name, ("", None))
        if identity is None or known != claims:
            identity = replace(
                self._issuers[wanted.issuer].identify(json.loads(claims)),
                session=wanted.name,
                digest=digest("standing", wanted.name, claims),
            )
            self._identities[wanted.name] = claims, identity
        return identity

    def _opener(self, wanted: StandingSession) -> Callable[[Opening, ExchangingIssuer], Opener]:
        def opener(opening: Opening, issuer: ExchangingIssuer) -> Opener:
            if wanted.token is None:
                return opening.by_client(issuer, wanted.name)

            async def opened(deadline: Deadline) -> Session:
                token = await asyncio.to_thread(self._token, wanted)
                identity = await self._identity(wanted, token, deadline)
                await self._revocations.require(identity, None)
                return await opening.by_exchange(issuer, identity, token, wanted.name)(deadline)

            return opened

        return opener

    def _token(self, wanted: StandingSession) -> str:
        if wanted.token is None:
            raise TypeError("a standing session with a token")
        try:
            return read_secret_file(wanted.token).decode().strip()
        except (SecretError, UnicodeDecodeError) as error:
            _log.warning("token_unreadable", extra={"session": wanted.name, "reason": str(error)})  # of our own files
            raise ExchangeRefusedError(
                f"the token of the standing session '{wanted.name}' cannot be read; its log says why"
            ) from None

    async def _identity(self, wanted: StandingSession, token: str, deadline: Deadline) -> Identity:
        try:
            identity = await self._verify(token, deadline)
        except TokenError as error:
            raise ExchangeRefusedError(
                f"the token of the standing session '{wanted.name}' is not taken ({error.code}); write a new one"
            ) from None
        if identity.issuer != wanted.issuer:
            raise ExchangeRefusedError(f"the token of the standing session '{wanted.name}' is another issuer's")
        return identity
