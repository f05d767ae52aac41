"""Sessions: the daemon's own standing with an issuer on an identity's behalf.

Won by token exchange, kept alive by refresh, ended when the issuer says no, opened again by the next good token.
"""

from __future__ import annotations

import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from ttscache.broker.flights import Flights
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.keys import session_key, standing_key
from ttscache.broker.leases import leased
from ttscache.broker.opening import Opener, Opening, Refusals, after
from ttscache.broker.refreshing import LEASE_SECONDS, UPSTREAM_SECONDS, Refresher
from ttscache.broker.renewals import Renewals
from ttscache.broker.session_records import SessionRecords
from ttscache.broker.session_rules import in_grace
from ttscache.errors import (
    ExchangeRefusedError,
    OverloadedError,
    StoreUnavailableError,
    UnavailableError,
    UpstreamUnavailableError,
)
from ttscache.metrics import SESSIONS_ENDED, SESSIONS_OPENED
from ttscache.model import Identity, Session, SessionState
from ttscache.net.deadline import Deadline
from ttscache.store.base import ConflictError, Store

_log = logging.getLogger(__name__)

# After a failed refresh, callers that can go on without do not try another for so long, or as the failure asks.
_REFRESH_PAUSE = 5.0
_MAX_REFRESH_PAUSE = 300.0
# A caller that can go on without a refresh waits for one no longer than this, and never for more than half its time.
_PATIENCE_IN_GRACE = 5.0
# Sessions that are in use are confirmed behind at this share of `confirm`: spread, and before anybody waits for it.
_CONFIRM_SHARE = (0.8, 0.95)
_AHEAD_SHARE = 0.25
_MAX_IN_MEMORY = 10_000


class Sessions:
    """All sessions of this process, over a store that others may share."""

    def __init__(
        self,
        store: Store,
        issuers: Mapping[str, ExchangingIssuer],
        clock: Callable[[], float],
        renewals: Renewals,
        records: SessionRecords,
    ) -> None:
        self._store = store
        self._issuers = issuers
        self._clock = clock
        self._renewals = renewals
        self.records = records
        self._refresher = Refresher(self.records, clock)
        self._opening = Opening(clock)
        self._refusals = Refusals()
        self._flights = Flights("session")
        # monotonic times before which no refresh is tried that can wait
        self._not_before: OrderedDict[str, float] = OrderedDict()

    @property
    def changes(self) -> int:
        """What grows whenever anything is learnt of any session."""
        return self.records.changes

    def state_of(self, session: Session) -> SessionState:
        """Return where a session stands now: also one that nobody has ended may be over."""
        issuer = self._issuers.get(session.issuer)
        over = issuer is None or not issuer.is_usable(session, self._clock())
        return SessionState.ENDED if over else session.state

    def key_of(self, session: Session) -> str:
        """Return the key of a session's record."""
        asked = self._issuers[session.issuer].asked
        if session.name is not None:
            return standing_key(session.issuer, session.name, asked)
        return session_key(session.issuer, session.subject, asked)

    async def current(
        self,
        identity: Identity,
        subject_token: str,
        deadline: Deadline,
        before_opening: Callable[[], None] = lambda: None,
    ) -> Session:
        """Return the identity's session, opening one by exchange when there is none.

        ``before_opening`` is called by who has the issuer asked; it may raise. Raises :class:`ExchangeRefusedError`,
        or one of the UnavailableErrors.
        """
        issuer = self._issuers[identity.issuer]
        opener = self._opening.by_exchange(issuer, identity, subject_token)
        key = issuer.session_key(identity)
        return await self._current(key, issuer, opener, identity.digest, deadline, before_opening)

    async def standing(
        self, issuer_name: str, name: str, opener: Callable[[Opening, ExchangingIssuer], Opener], deadline: Deadline
    ) -> Session:
        """Return the standing session of a name, opening it when there is none. Raises as :meth:`current`."""
        issuer = self._issuers[issuer_name]
        key = standing_key(issuer_name, name, issuer.asked)
        return await self._current(key, issuer, opener(self._opening, issuer), name, deadline)

    async def _current(
        self,
        key: str,
        issuer: ExchangingIssuer,
        opener: Opener,
        presented: str,
        deadline: Deadline,
        before_opening: Callable[[], None] = lambda: None,
    ) -> Session:
        """``presented`` stands for the token that opens: a refusal of another's says nothing of it."""
        while True:
            session = await self.records.read(key)
            if session is not None and issuer.is_usable(session, self._clock()):
                self.records.note_asked(key)
                return session
            self._refusals.require_none(key, presented)
            if not self._flights.is_under_way(("open", key)):
                before_opening()
            try:
                opened, _ = await self._flights.join(
                    ("open", key), lambda: self._open(key, issuer, opener, presented), deadline
                )
            except OverloadedError as error:
                raise UpstreamUnavailableError(
                    f"issuer '{issuer.name}' has not answered in time; try again, the exchange goes on",
                    retry_after=error.retry_after,
                ) from None
            except _OpeningRefusedError as error:
                if error.presented == presented:
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
        key, issuer = self.key_of(session), self._issuers[session.issuer]
        known = self._same((await self.records.require_read(key)).session, session)
        if not issuer.is_due(known, self._clock()):
            return known
        graceful = in_grace(known, issuer.policy, self._clock())
        if graceful and self._paused(key):
            return known
        # within grace the refresh may take its time, this caller need not
        patience = deadline.within(min(deadline.remaining / 2, _PATIENCE_IN_GRACE)) if graceful else deadline
        try:
            refreshed, _ = await self._flights.join(("refresh", key), lambda: self._refresh(key, issuer), patience)
        except UnavailableError as error:
            if not graceful or isinstance(error, StoreUnavailableError):
                raise
            _log.warning("minting_degraded", extra={"issuer": known.issuer, "code": error.code})
            self._pause(key, error.retry_after)  # what one has waited for in vain, others need not
            return known
        return self._same(refreshed, session)

    def confirm_behind(self, session: Session) -> None:
        """Have the session refreshed when it is due, or about to be, without anybody waiting for it."""
        key, issuer, now = self.key_of(session), self._issuers[session.issuer], self._clock()
        if issuer.is_due(session, now) and not self._paused(key):
            self._renewals.hasten(
                ("session", key),
                until=session.confirmed_at + issuer.policy.grace,
                work=lambda: self._behind(key, issuer),
            )

    async def revoke(self, key: str, reason: str) -> Session | None:
        """End a session whatever it is at: a refresh that is under way will find its write refused.

        Returns it, or None when there is none that has not ended.
        """
        while True:
            held = await self.records.fetch(key)
            if held.session is None or held.session.state is SessionState.ENDED:
                return None
            ended = replace(held.session, state=SessionState.ENDED, end_reason=reason, refresh_token=None)
            try:
                await self.records.save(key, ended, held.version)
            except ConflictError:
                continue
            SESSIONS_ENDED.labels(ended.issuer, "revoked").inc()
            return held.session

    async def drain(self) -> None:
        """Wait for what is under way with issuers: its outcome must reach the store."""
        await self._flights.drain()

    def _same(self, found: Session | None, wanted: Session) -> Session:
        """Return what is known of a session now. Raises SessionGoneError when it has ended or been replaced."""
        usable = found is not None and self._issuers[found.issuer].is_usable(found, self._clock())
        if found is None or not usable or found.generation != wanted.generation:
            raise SessionGoneError
        return found

    def _paused(self, key: str) -> bool:
        return time.monotonic() < self._not_before.get(key, 0.0)

    def _pause(self, key: str, seconds: float) -> None:
        self._not_before[key] = time.monotonic() + max(_REFRESH_PAUSE, min(seconds, _MAX_REFRESH_PAUSE))
        self._not_before.move_to_end(key)
        if len(self._not_before) > _MAX_IN_MEMORY:
            self._not_before.popitem(last=False)

    async def _open(self, key: str, issuer: ExchangingIssuer, opener: Opener, presented: str) -> Session:
        async with issuer.places.place(Deadline.after(UPSTREAM_SECONDS)):
            deadline = Deadline.after(UPSTREAM_SECONDS)
            try:
                # the lease is a write: with a full disk nothing is asked of the issuer that could not be kept
                async with leased(self._store, key, seconds=LEASE_SECONDS, deadline=deadline):
                    held = await self.records.fetch(key)
                    if held.session is not None and issuer.is_usable(held.session, self._clock()):
                        return held.session
                    session = await after(held.session, lambda: opener(deadline))
                    await self.records.save(key, session, held.version)
            except ExchangeRefusedError as refusal:
                self._refusals.note(key, presented, refusal)
                raise _OpeningRefusedError(presented, refusal) from None
            except ConflictError:
                raise _lease_lost() from None
        SESSIONS_OPENED.labels(session.issuer).inc()
        _log.info(
            "session_opened", extra={"issuer": session.issuer, "subject": session.subject, "session": session.name}
        )
        self.records.note_asked(key)
        self._plan(key, issuer, session)
        return session

    async def _refresh(self, key: str, issuer: ExchangingIssuer, ahead: float = 0.0) -> Session:
        try:
            async with issuer.places.place(Deadline.after(UPSTREAM_SECONDS)):
                refreshed = await self._refresh_leased(key, issuer, ahead)
        except StoreUnavailableError:
            raise  # nothing was asked of the issuer
        except UnavailableError as error:
            self._pause(key, error.retry_after)
            raise
        except ConflictError:
            raise _lease_lost() from None
        self._plan(key, issuer, refreshed)
        return refreshed

    async def _refresh_leased(self, key: str, issuer: ExchangingIssuer, ahead: float) -> Session:
        deadline = Deadline.after(UPSTREAM_SECONDS)
        async with leased(self._store, key, seconds=LEASE_SECONDS, deadline=deadline) as lease:
            held = await self.records.fetch(key)
            session, now = held.session, self._clock()
            if session is None or not issuer.is_usable(session, now) or not session.is_renewable:
                raise SessionGoneError
            if not issuer.is_due(session, now, ahead=ahead):
                return session
            refreshed = await self._refresher.refresh(key, held, issuer, lease)
            self._not_before.pop(key, None)
            return refreshed

    def _plan(self, key: str, issuer: ExchangingIssuer, session: Session) -> None:
        """Plan the next confirmation, some time before it is due."""
        if session.is_renewable:
            share = random.uniform(*_CONFIRM_SHARE)  # noqa: S311 - jitter
            self._renewals.plan(
                ("session", key),
                at=session.confirmed_at + share * issuer.policy.confirm,
                until=session.confirmed_at + issuer.policy.grace,
                work=lambda: self._ahead(key, issuer, session),
            )

    async def _ahead(self, key: str, issuer: ExchangingIssuer, session: Session) -> None:
        """Confirm a session that somebody has asked for in the time that it was good for; standing ones in any case."""
        asked_lately = self._clock() - self.records.asked_at(key) <= issuer.policy.confirm
        if session.name is not None or asked_lately:
            await self._behind(key, issuer, ahead=_AHEAD_SHARE * issuer.policy.confirm)

    async def _behind(self, key: str, issuer: ExchangingIssuer, ahead: float = 0.0) -> None:
        task, _ = self._flights.start(("refresh", key), lambda: self._refresh(key, issuer, ahead))
        try:
            await task
        except SessionGoneError:
            return


def _lease_lost() -> OverloadedError:
    """Return the error for a write that came too late: whoever has the lease now has written."""
    return OverloadedError("another replica is at this session; try again", retry_after=2.0)


class SessionGoneError(Exception):
    """The session that something rested upon has ended, or another has taken its place: ask for the current one."""


class _OpeningRefusedError(Exception):
    """The issuer refused to open a session for what was presented."""

    def __init__(self, presented: str, refusal: ExchangeRefusedError) -> None:
        super().__init__(str(refusal))
        self.presented = presented
        self.refusal = refusal
