"""Opening a session: with somebody's token by exchange, or as the daemon's own client."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol

from ttscache.broker.issuers import ExchangingIssuer, Granted
from ttscache.errors import ExchangeRefusedError
from ttscache.model import Identity, Session, SessionState
from ttscache.net.deadline import Deadline
from ttscache.upstream.token_endpoint import TokenAnswer


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
            access_token=answer.access_token if issuer.keeps_access_token else None,
            access_ends_at=granted.expires_at,
            claims=json.dumps(granted.claims),
            name=name,
            client_credentials=client_credentials,
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
