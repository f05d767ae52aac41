"""An issuer as the broker needs it: its token endpoint, and a way to inspect what comes from there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ttscache.config.settings import SessionPolicy
from ttscache.errors import ExchangeRefusedError, TokenError
from ttscache.identity.claims import audiences, scopes
from ttscache.net.deadline import Deadline
from ttscache.upstream.settings import ExchangeSettings
from ttscache.upstream.token_endpoint import TokenAnswer, TokenEndpoint


@dataclass(frozen=True)
class ExchangingIssuer:
    """An issuer with which the daemon holds sessions.

    ``inspect`` verifies a token that this issuer made, whatever its audience, and returns its claims.
    """

    name: str
    policy: SessionPolicy
    settings: ExchangeSettings
    endpoint: TokenEndpoint
    inspect: Callable[[str, Deadline], Awaitable[Mapping[str, Any]]]

    async def expiry_of(self, answer: TokenAnswer, subject: str, now: float, deadline: Deadline) -> float:
        """Return when the granted token ends, in POSIX seconds, after taking no word of the answer for granted.

        The token itself must verify and still be the subject's, its audience and scope what was asked for or
        narrower; `issued_token_type` proves nothing; the end is the earlier of `exp` and `expires_in`.
        Raises :class:`ExchangeRefusedError`.
        """
        try:
            claims = await self.inspect(answer.access_token, deadline)
        except TokenError as error:
            raise self._refused(f"a token that does not verify ({error.code})") from None
        if claims.get("sub") != subject:
            raise self._refused("a token of another subject")
        if self.settings.audience is not None and audiences(claims) != {self.settings.audience}:
            raise self._refused("a token for another audience than was asked for")
        granted = scopes(claims) | (answer.scopes or frozenset())
        if granted - set(self.settings.scopes):
            raise self._refused("a token with more scopes than were asked for")
        expires_at = float(claims["exp"])
        return expires_at if answer.expires_in is None else min(expires_at, now + answer.expires_in)

    def _refused(self, what: str) -> ExchangeRefusedError:
        return ExchangeRefusedError(f"issuer '{self.name}' answered the exchange with {what}; tell its administrators")
