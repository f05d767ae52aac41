"""Opening a session: with somebody's token by exchange, or as the daemon's own client."""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from ttscache.broker.issuers import ExchangingIssuer, Granted
from ttscache.errors import ExchangeRefusedError, RateLimitedError, RefusedError
from ttscache.model import Identity, Session, SessionState
from ttscache.net.deadline import Deadline
from ttscache.upstream.token_endpoint import TokenAnswer

# Long enough to take a loop's sting, short enough for who has just signed the AUP.
_REFUSED_SECONDS = 3.0
_MOST_REFUSED = 10
_MAX_REFUSALS = 10_000


class Opener(Protocol):
    """Asks an issuer for a new session."""

    async def __call__(self, deadline: Deadline) -> Session:
        """Return it. Raises ExchangeRefusedError, UnavailableErrors."""


class Opening:
    """Makes sessions of what issuers grant."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def by_exchange(
        self, issuer: ExchangingIssuer, identity: Identity, subject_token: str, name: str | None = None
    ) -> Opener:
        """Return the opener for a subject token; ``name`` is a standing session's."""

        async def opened(deadline: Deadline) -> Session:
            answer = await issuer.endpoint.exchange(subject_token, deadline)
            granted = await issuer.inspected(answer, identity.subject, self._clock(), deadline)
            return self._session(issuer, identity.subject, answer, granted, name=name)

        return opened

    def by_client(self, issuer: ExchangingIssuer, name: str) -> Opener:
        """Return the opener for the daemon's own client."""

        async def opened(deadline: Deadline) -> Session:
            answer = await issuer.endpoint.client_credentials(deadline)
            granted = await issuer.inspected(answer, None, self._clock(), deadline)
            subject = issuer.identify(granted.claims).subject
            return self._session(issuer, subject, answer, granted, name=name, client_credentials=True)

        return opened

    def _session(
        self,
        issuer: ExchangingIssuer,
        subject: str,
        answer: TokenAnswer,
        granted: Granted,
        *,
        name: str | None,
        client_credentials: bool = False,
    ) -> Session:
        now = self._clock()
        refresh_token = None if client_credentials else answer.refresh_token
        renewable = client_credentials or refresh_token is not None
        return Session(
            issuer=issuer.name,
            subject=subject,
            generation=secrets.token_hex(8),
            state=SessionState.ACTIVE,
            opened_at=now,
            confirmed_at=now,
            ends_at=now + issuer.policy.absolute if renewable else granted.expires_at,
            refresh_token=refresh_token,
            asked=issuer.asked,
            access_token=answer.access_token if issuer.keeps_token_of(name) else None,
            access_ends_at=granted.expires_at,
            claims=json.dumps(granted.claims),
            name=name,
            client_credentials=client_credentials,
        )


class Refusals:
    """What issuers refused a moment ago: not asked again at once, for the answer costs them as much as a good one.

    Tokens are known by what stands for them; where several of one session are refused, so are the others.
    """

    def __init__(self) -> None:
        self._by_token: OrderedDict[str, tuple[RefusedError, float]] = OrderedDict()
        self._by_key: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def note(self, key: str, presented: str, refusal: RefusedError) -> None:
        """Remember a refusal for a few seconds."""
        until = time.monotonic() + _REFUSED_SECONDS
        self._by_token[presented] = (refusal, until)
        count, before = self._by_key.get(key, (0, 0.0))
        self._by_key[key] = (count + 1 if time.monotonic() < before else 1, until)
        for entries in (self._by_token, self._by_key):
            if len(entries) > _MAX_REFUSALS:
                entries.popitem(last=False)

    def require_none(self, key: str, presented: str) -> None:
        """Raise what was refused to this token, or RateLimitedError where too many of the session's were."""
        now = time.monotonic()
        refusal, until = self._by_token.get(presented, (None, 0.0))
        if refusal is not None and now < until:
            raise refusal
        count, until = self._by_key.get(key, (0, 0.0))
        if count >= _MOST_REFUSED and now < until:
            raise RateLimitedError(
                "the issuer has refused several tokens of this identity just now; try again later",
                retry_after=until - now,
            )


async def after(previous: Session | None, opening: Callable[[], Awaitable[Session]]) -> Session:
    """Return what is opened; a refusal tells as well why the session before it ended."""
    try:
        return await opening()
    except ExchangeRefusedError as refusal:
        if previous is None or previous.end_reason is None:
            raise
        told = f"{refusal.message} (the session before ended: {previous.end_reason})"
        raise ExchangeRefusedError(told) from None
