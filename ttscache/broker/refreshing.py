"""Confirming a session: refreshing it, for a refresh token may be good for one use only.

It runs under the store's lease; a mark is durable before the token is sent, and the new token is durable before
anything else is done with the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace

from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.session_records import Held, SessionRecords
from ttscache.broker.session_rules import CLOCK_TOLERANCE
from ttscache.errors import (
    ExchangeRefusedError,
    OverloadedError,
    SessionLostError,
    StoreUnavailableError,
    UnavailableError,
    UpstreamUnavailableError,
)
from ttscache.metrics import SESSIONS_ENDED, SESSIONS_REFRESHED
from ttscache.model import Session, SessionState
from ttscache.net.deadline import Deadline
from ttscache.store.base import Lease
from ttscache.upstream.token_endpoint import GrantRefusedError, RefreshDoubtfulError, TokenAnswer

_log = logging.getLogger(__name__)

# A refresh took IAM 5 to 20 s in a production outage (indigo-iam/iam#580): giving up earlier loses the token.
UPSTREAM_SECONDS = 40.0
# A new refresh token that the store does not take at once is tried again for so long.
_SAVE_SECONDS = 30.0
_SAVE_PAUSE = 0.5
# Keys of the issuer may have to be fetched to inspect its answer.
_INSPECT_SECONDS = 10.0
# Outlasts all that is done under it.
LEASE_SECONDS = UPSTREAM_SECONDS + _SAVE_SECONDS + _INSPECT_SECONDS + 20.0
# These speak of our client, not of the user: the session stands.
_OUR_FAULT = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request"})


class Refresher:
    """Confirms sessions; whoever calls holds the session's lease."""

    def __init__(self, records: SessionRecords, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock

    async def refresh(self, key: str, held: Held, issuer: ExchangingIssuer, lease: Lease) -> Session:
        """Return the session, confirmed. A mark found there is stale: its holder is gone, the token may be spent.

        Where the holder may only be out of reach, the mark counts until all that he can have been at is over: never
        are there two who use one token.

        Raises :class:`ExchangeRefusedError` or :class:`SessionLostError` when it ends now, UnavailableErrors, and
        ConflictError when the lease was lost on the way.
        """
        session = _there(held)
        doubtful = session.state is SessionState.REFRESHING
        now = self._clock()
        if doubtful and not lease.is_sole and now - LEASE_SECONDS < session.marked_at <= now + CLOCK_TOLERANCE:
            raise OverloadedError(
                "another replica may be at this session's refresh, or has died over it; try again",
                retry_after=session.marked_at + LEASE_SECONDS - now,
            )
        marked = await self._records.save(
            key, replace(session, state=SessionState.REFRESHING, fence=lease.fence, marked_at=now), held.version
        )
        try:
            answer = await self._asked(issuer, session)
        except GrantRefusedError as refusal:
            if refusal.error in _OUR_FAULT:
                await self._records.save(key, session, marked.version)
                raise UpstreamUnavailableError(refusal.message, retry_after=30.0) from None
            raise await self.end(key, marked, refusal, lost=doubtful) from None
        except RefreshDoubtfulError:
            # the mark stays, for whoever comes next tries the token once more; but nobody is at it any more
            with contextlib.suppress(StoreUnavailableError):
                await self._records.save(key, replace(_there(marked), marked_at=0.0), marked.version)
            raise
        except UnavailableError:
            await self._records.save(key, session, marked.version)
            raise
        return await self._rotated(key, marked, issuer, answer)

    async def end(
        self, key: str, held: Held, refusal: ExchangeRefusedError, *, lost: bool
    ) -> ExchangeRefusedError | SessionLostError:
        """End a session, keep the reason, and return the error that tells it."""
        reason = "session_lost" if lost else refusal.message
        ended = replace(_there(held), state=SessionState.ENDED, end_reason=reason, refresh_token=None)
        await self._records.save(key, ended, held.version)
        SESSIONS_ENDED.labels(ended.issuer, "lost" if lost else "refused").inc()
        _log.warning("session_ended", extra={"issuer": ended.issuer, "subject": ended.subject, "reason": reason})
        if lost:
            return SessionLostError(
                "the outcome of a refresh was lost, and with it the session; try again to open a new one"
            )
        return ExchangeRefusedError(f"{refusal.message}; the session has ended, obtain a new token and try again")

    async def _asked(self, issuer: ExchangingIssuer, session: Session) -> TokenAnswer:
        deadline = Deadline.after(UPSTREAM_SECONDS)
        if session.client_credentials:
            return await issuer.endpoint.client_credentials(deadline)
        return await issuer.endpoint.refresh(str(session.refresh_token), deadline)

    async def _rotated(self, key: str, marked: Held, issuer: ExchangingIssuer, answer: TokenAnswer) -> Session:
        """Make the new token durable, and only then look at the rest of the answer."""
        session = _there(marked)
        kept = None if session.client_credentials else answer.refresh_token or session.refresh_token
        rotated = replace(session, state=SessionState.ACTIVE, refresh_token=kept)
        saved = await self._save_surely(key, rotated, marked.version)
        try:
            granted = await issuer.inspected(answer, rotated.subject, self._clock(), Deadline.after(_INSPECT_SECONDS))
        except ExchangeRefusedError as refusal:
            raise await self.end(key, saved, refusal, lost=False) from None
        confirmed = replace(
            rotated,
            confirmed_at=self._clock(),
            access_token=answer.access_token if issuer.keeps_token_of(session.name) else None,
            access_ends_at=granted.expires_at,
            claims=json.dumps(granted.claims),
        )
        SESSIONS_REFRESHED.labels(session.issuer).inc()
        return _there(await self._records.save(key, confirmed, saved.version))

    async def _save_surely(self, key: str, session: Session, version: int) -> Held:
        """Save a session whose old token is spent, again and again while the store does not take it."""
        deadline = Deadline.after(_SAVE_SECONDS)
        while True:
            try:
                return await self._records.save(key, session, version)
            except StoreUnavailableError:
                if deadline.remaining < _SAVE_PAUSE:
                    _log.exception("refresh_token_not_saved", extra={"issuer": session.issuer})
                    raise
                await asyncio.sleep(_SAVE_PAUSE)


def _there(held: Held) -> Session:
    if held.session is None:
        raise TypeError("a session that is being confirmed is there")
    return held.session
