"""Sessions: the daemon's own standing with an issuer on an identity's behalf.

Won by token exchange, kept alive by refresh, ended when the issuer says no. Refresh tokens may be good for one use
only, so a refresh runs under the store's lease, a mark is durable before the token is sent, and the new token is
durable before anything else is done with the answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ttscache.broker.codec import decode_session, encode_session
from ttscache.broker.flights import Flights
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.keys import session_key
from ttscache.broker.leases import leased
from ttscache.config.settings import SessionPolicy
from ttscache.errors import (
    ExchangeRefusedError,
    OverloadedError,
    SessionLostError,
    StoreUnavailableError,
    UnavailableError,
    UpstreamUnavailableError,
)
from ttscache.model import Identity, Session, SessionState
from ttscache.net.deadline import Deadline
from ttscache.store.base import ABSENT, ConflictError, Store
from ttscache.upstream.token_endpoint import GrantRefusedError, RefreshDoubtfulError, TokenAnswer

_log = logging.getLogger(__name__)

# A refresh took IAM 5 to 20 s in a production outage (indigo-iam/iam#580): giving up earlier loses the token.
_UPSTREAM_SECONDS = 40.0
# A new refresh token that the store does not take at once is tried again for so long.
_SAVE_SECONDS = 30.0
_SAVE_PAUSE = 0.5
# An access token that is kept is replaced when less than this is left of it.
_ACCESS_MARGIN = 120.0
# Keys of the issuer may have to be fetched to inspect its answer.
_INSPECT_SECONDS = 10.0
# Outlasts all that is done under it.
_LEASE_SECONDS = _UPSTREAM_SECONDS + _SAVE_SECONDS + _INSPECT_SECONDS + 20.0
# After a failed refresh, callers that can go on without do not try another for so long, or as the failure asks.
_REFRESH_PAUSE = 5.0
_MAX_REFRESH_PAUSE = 300.0
# A caller that can go on without a refresh waits for one no longer than this, and never for more than half its time.
_PATIENCE_IN_GRACE = 5.0
# Replicas' clocks differ a little: a confirmation that lies no further ahead is one of now.
_CLOCK_TOLERANCE = 60.0
# How long what another process may have changed is relied upon unread.
_REREAD_SECONDS = 1.0
_KEEP_ENDED_SECONDS = 86400.0
_MAX_IN_MEMORY = 50_000
# These speak of our client, not of the user: the session stands.
_OUR_FAULT = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request"})


@dataclass
class _Held:
    """A session as last read, with its version in the store; ``read_at`` is monotonic."""

    session: Session | None
    version: int
    read_at: float


class Sessions:
    """All sessions of this process, over a store that others may share."""

    def __init__(
        self,
        store: Store,
        issuers: Mapping[str, ExchangingIssuer],
        clock: Callable[[], float],
        *,
        stale_for: float,
    ) -> None:
        self._store = store
        self._issuers = issuers
        self._clock = clock
        self._stale_for = stale_for
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._flights = Flights()
        # grows whenever anything is learnt of any session
        self.changes = 0
        # monotonic times before which no refresh is tried that can wait
        self._not_before: OrderedDict[str, float] = OrderedDict()

    async def current(self, identity: Identity, subject_token: str, deadline: Deadline) -> Session:
        """Return the identity's session, opening one by exchange when there is none.

        Raises :class:`ExchangeRefusedError`, or one of the UnavailableErrors.
        """
        key = session_key(identity.issuer, identity.subject)
        while True:
            session = await self._read(key)
            if session is not None and self._usable(session):
                return session
            try:
                opened, _ = await self._flights.join(
                    ("open", key), lambda: self._open(key, identity, subject_token), deadline
                )
            except OverloadedError as error:
                raise UpstreamUnavailableError(
                    f"issuer '{identity.issuer}' has not answered in time; try again, the exchange goes on",
                    retry_after=error.retry_after,
                ) from None
            except _OpeningRefusedError as error:
                if error.digest == identity.digest:
                    raise error.refusal from None
                # it was another caller's token that the issuer refused: ours may be good
            else:
                return opened

    async def confirmed(self, session: Session, deadline: Deadline) -> Session:
        """Return the session, refreshed first when its confirmation is old: what minting rests upon.

        While the issuer does not answer, a session confirmed within `grace` is returned as it is.
        Raises :class:`ExchangeRefusedError` or :class:`SessionLostError` when it ends now, and
        :class:`SessionGoneError` when it had ended before, or another has taken its place.
        """
        key = session_key(session.issuer, session.subject)
        known = self._same((await self._require_read(key)).session, session)
        if not self._due(known):
            return known
        in_grace = self._clock() - known.confirmed_at <= self._policy(known).grace
        if in_grace and self._paused(key):
            return known
        # within grace the refresh may take its time, this caller need not
        patience = deadline.within(min(deadline.remaining / 2, _PATIENCE_IN_GRACE)) if in_grace else deadline
        try:
            refreshed, _ = await self._flights.join(("refresh", key), lambda: self._refresh(key), patience)
        except UnavailableError as error:
            if not in_grace or isinstance(error, StoreUnavailableError):
                raise
            _log.warning("minting_degraded", extra={"issuer": known.issuer, "code": error.code})
            self._pause(key, error.retry_after)  # what one has waited for in vain, others need not
            return known
        return self._same(refreshed, session)

    def _same(self, found: Session | None, wanted: Session) -> Session:
        """Return what is known of a session now. Raises SessionGoneError when it has ended or been replaced."""
        if found is None or found.generation != wanted.generation or not self._usable(found):
            raise SessionGoneError
        return found

    def confirm_behind(self, session: Session) -> None:
        """Refresh the session when it is due, without anybody waiting for it."""
        if not self._due(session):
            return
        key = session_key(session.issuer, session.subject)
        if not self._paused(key):
            self._flights.start(("refresh", key), lambda: self._refresh(key))

    async def drain(self) -> None:
        """Wait for what is under way with issuers: its outcome must reach the store."""
        await self._flights.drain()

    def _policy(self, session: Session) -> SessionPolicy:
        return self._issuers[session.issuer].policy

    def _usable(self, session: Session) -> bool:
        now = self._clock()
        idle = now - session.confirmed_at > self._policy(session).idle
        # opened with what is not asked for any more, it would be refused what is
        outdated = session.asked is not None and session.asked != self._issuers[session.issuer].asked
        return session.state is not SessionState.ENDED and now < session.ends_at and not idle and not outdated

    def _due(self, session: Session) -> bool:
        """Whether it was confirmed too long ago, or in a future that the clock has jumped back from."""
        if session.refresh_token is None:
            return False
        if self._issuers[session.issuer].keeps_access_token and self._lacks_access_token(session):
            return True
        age = self._clock() - session.confirmed_at
        confirmed = -_CLOCK_TOLERANCE <= age < self._policy(session).confirm
        return not confirmed or session.state is SessionState.REFRESHING

    def _lacks_access_token(self, session: Session) -> bool:
        return session.access_token is None or self._clock() >= session.access_ends_at - _ACCESS_MARGIN

    def _paused(self, key: str) -> bool:
        return time.monotonic() < self._not_before.get(key, 0.0)

    def _pause(self, key: str, seconds: float) -> None:
        self._not_before[key] = time.monotonic() + max(_REFRESH_PAUSE, min(seconds, _MAX_REFRESH_PAUSE))
        self._not_before.move_to_end(key)
        if len(self._not_before) > _MAX_IN_MEMORY:
            self._not_before.popitem(last=False)

    async def _read(self, key: str) -> Session | None:
        """Return what is known of a session, read again from the store when that was a while ago."""
        now = time.monotonic()
        held = self._held.get(key)
        if held is not None and now - held.read_at < _REREAD_SECONDS:
            return held.session
        try:
            return (await self._fetch(key)).session
        except StoreUnavailableError:
            if held is None or now - held.read_at > self._stale_for:
                raise
            return held.session

    async def _require_read(self, key: str) -> _Held:
        """Return the store's word of a moment ago: nothing new is minted upon what is merely remembered."""
        held = self._held.get(key)
        if held is None or time.monotonic() - held.read_at >= _REREAD_SECONDS:
            return await self._fetch(key)
        return held

    async def _fetch(self, key: str) -> _Held:
        record = await self._store.get(key)
        if record is None:
            return self._hold(key, None, ABSENT)
        return self._hold(key, decode_session(record.value), record.version)

    def _hold(self, key: str, session: Session | None, version: int) -> _Held:
        held = _Held(session, version, time.monotonic())
        previous = self._held.get(key)
        if previous is None or previous.session != session:
            self.changes += 1
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > _MAX_IN_MEMORY:
            self._held.popitem(last=False)
        return held

    async def _save(self, key: str, session: Session, version: int) -> _Held:
        expires_at = max(session.ends_at, self._clock() + _KEEP_ENDED_SECONDS)
        written = await self._store.put(key, encode_session(session), expires_at=expires_at, if_version=version)
        return self._hold(key, session, written)

    async def _open(self, key: str, identity: Identity, subject_token: str) -> Session:
        deadline = Deadline.after(_UPSTREAM_SECONDS)
        try:
            # the lease is a write: with a full disk nothing is asked of the issuer that could not be kept
            async with leased(self._store, key, seconds=_LEASE_SECONDS, deadline=deadline):
                held = await self._fetch(key)
                if held.session is not None and self._usable(held.session):
                    return held.session
                session = await self._exchanged(identity, subject_token, held.session, deadline)
                await self._save(key, session, held.version)
        except ConflictError:
            raise _lease_lost() from None
        _log.info("session_opened", extra={"issuer": session.issuer, "subject": session.subject})
        return session

    async def _exchanged(
        self, identity: Identity, subject_token: str, previous: Session | None, deadline: Deadline
    ) -> Session:
        issuer = self._issuers[identity.issuer]
        try:
            answer = await issuer.endpoint.exchange(subject_token, deadline)
            expires_at = await issuer.expiry_of(answer, identity.subject, self._clock(), deadline)
        except ExchangeRefusedError as refusal:
            if previous is not None and previous.end_reason is not None:
                told = f"{refusal.message} (the session before ended: {previous.end_reason})"
                refusal = ExchangeRefusedError(told)
            raise _OpeningRefusedError(identity.digest, refusal) from None
        return self._opened(identity, issuer, answer, expires_at)

    def _opened(self, identity: Identity, issuer: ExchangingIssuer, answer: TokenAnswer, expires_at: float) -> Session:
        now = self._clock()
        without_refresh = answer.refresh_token is None
        return Session(
            issuer=identity.issuer,
            subject=identity.subject,
            generation=secrets.token_hex(8),
            state=SessionState.ACTIVE,
            opened_at=now,
            confirmed_at=now,
            ends_at=expires_at if without_refresh else now + issuer.policy.absolute,
            refresh_token=answer.refresh_token,
            asked=issuer.asked,
            access_token=answer.access_token if issuer.keeps_access_token else None,
            access_ends_at=expires_at,
        )

    async def _refresh(self, key: str) -> Session:
        try:
            async with leased(
                self._store, key, seconds=_LEASE_SECONDS, deadline=Deadline.after(_UPSTREAM_SECONDS)
            ) as lease:
                held = await self._fetch(key)
                session = held.session
                if session is None or not self._usable(session) or session.refresh_token is None:
                    raise SessionGoneError
                if not self._due(session):
                    return session
                refreshed = await self._refresh_held(key, session, held.version, lease.fence)
                self._not_before.pop(key, None)
                return refreshed
        except StoreUnavailableError:
            raise  # nothing was asked of the issuer
        except UnavailableError as error:
            self._pause(key, error.retry_after)
            raise
        except ConflictError:
            raise _lease_lost() from None

    async def _refresh_held(self, key: str, session: Session, version: int, fence: int) -> Session:
        """Refresh under the lease. A mark found there is stale: its holder is gone, the token may be spent."""
        doubtful = session.state is SessionState.REFRESHING
        marked = await self._save(key, replace(session, state=SessionState.REFRESHING, fence=fence), version)
        issuer = self._issuers[session.issuer]
        try:
            answer = await issuer.endpoint.refresh(str(session.refresh_token), Deadline.after(_UPSTREAM_SECONDS))
        except GrantRefusedError as refusal:
            if refusal.error in _OUR_FAULT:
                await self._save(key, session, marked.version)
                raise UpstreamUnavailableError(refusal.message, retry_after=30.0) from None
            raise await self._ended(key, marked, refusal, doubtful=doubtful) from None
        except RefreshDoubtfulError:
            raise  # the mark stays: whoever comes next tries the token once more
        except UnavailableError:
            await self._save(key, session, marked.version)
            raise
        return await self._rotated(key, marked, issuer, answer)

    async def _rotated(self, key: str, marked: _Held, issuer: ExchangingIssuer, answer: TokenAnswer) -> Session:
        """Make the new token durable, and only then look at the rest of the answer."""
        if marked.session is None:
            raise TypeError("a marked session is there")
        kept = answer.refresh_token or marked.session.refresh_token
        rotated = replace(marked.session, state=SessionState.ACTIVE, refresh_token=kept)
        saved = await self._save_surely(key, rotated, marked.version)
        try:
            access_ends_at = await issuer.expiry_of(
                answer, rotated.subject, self._clock(), Deadline.after(_INSPECT_SECONDS)
            )
        except ExchangeRefusedError as refusal:
            raise await self._ended(key, saved, refusal, doubtful=False) from None
        confirmed = replace(
            rotated,
            confirmed_at=self._clock(),
            access_token=answer.access_token if issuer.keeps_access_token else None,
            access_ends_at=access_ends_at,
        )
        return (await self._save(key, confirmed, saved.version)).session or rotated

    async def _save_surely(self, key: str, session: Session, version: int) -> _Held:
        """Save a session whose old token is spent, again and again while the store does not take it."""
        deadline = Deadline.after(_SAVE_SECONDS)
        while True:
            try:
                return await self._save(key, session, version)
            except StoreUnavailableError:
                if deadline.remaining < _SAVE_PAUSE:
                    _log.exception("refresh_token_not_saved", extra={"issuer": session.issuer})
                    raise
                await asyncio.sleep(_SAVE_PAUSE)

    async def _ended(
        self, key: str, held: _Held, refusal: ExchangeRefusedError, *, doubtful: bool
    ) -> ExchangeRefusedError | SessionLostError:
        """End a session, keep the reason, and return the error that tells it."""
        if held.session is None:
            raise TypeError("a session that ends is there")
        reason = "session_lost" if doubtful else refusal.message
        ended = replace(held.session, state=SessionState.ENDED, end_reason=reason, refresh_token=None)
        await self._save(key, ended, held.version)
        _log.warning("session_ended", extra={"issuer": ended.issuer, "subject": ended.subject, "reason": reason})
        if doubtful:
            return SessionLostError(
                "the outcome of a refresh was lost, and with it the session; try again to open a new one"
            )
        return ExchangeRefusedError(f"{refusal.message}; the session has ended, obtain a new token and try again")


def _lease_lost() -> OverloadedError:
    """Return the error for a write that came too late: whoever has the lease now has written."""
    return OverloadedError("another replica is at this session; try again", retry_after=2.0)


class SessionGoneError(Exception):
    """The session that something rested upon has ended, or another has taken its place: ask for the current one."""


class _OpeningRefusedError(Exception):
    """The issuer refused to open a session for the token with this digest."""

    def __init__(self, digest: str, refusal: ExchangeRefusedError) -> None:
        super().__init__(str(refusal))
        self.digest = digest
        self.refusal = refusal
