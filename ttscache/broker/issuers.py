"""An issuer as the broker needs it: its token endpoint, and a way to inspect what comes from there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ttscache.broker.keys import digest
from ttscache.config.settings import SessionPolicy
from ttscache.errors import (
    ExchangeRefusedError,
    TokenError,
    TokenExpiredError,
    TokenNotYetValidError,
    TokenSignatureError,
    UpstreamUnavailableError,
)
from ttscache.identity.claims import audiences, scopes
from ttscache.net.deadline import Deadline
from ttscache.upstream.settings import ExchangeSettings
from ttscache.upstream.token_endpoint import TokenAnswer, TokenEndpoint

# scopes that take a group or a path
_PARAMETRIC = re.compile(r"(?:wlcg\.groups|storage\.(?:read|create|modify|stage))(?::(?P<path>/\S*))?\Z")


@dataclass(frozen=True)
class ExchangingIssuer:
    """An issuer with which the daemon holds sessions.

    ``inspect`` verifies a token that this issuer made, whatever its audience, and returns its claims. With
    ``keeps_access_token`` the granted token itself is kept in the session, for the issuer is called with it.
    """

    name: str
    policy: SessionPolicy
    settings: ExchangeSettings
    endpoint: TokenEndpoint
    inspect: Callable[[str, Deadline], Awaitable[Mapping[str, Any]]]
    keeps_access_token: bool = False

    @property
    def asked(self) -> str:
        """What stands for the scopes and the audience that sessions are opened with."""
        return digest(self.settings.audience or "", *self.settings.scopes)

    async def expiry_of(self, answer: TokenAnswer, subject: str, now: float, deadline: Deadline) -> float:
        """Return when the granted token ends, in POSIX seconds, after taking no word of the answer for granted.

        The token itself must verify and still be the subject's, its audience and scope what was asked for or
        narrower; `issued_token_type` proves nothing; the end is the earlier of `exp` and `expires_in`.
        Raises :class:`ExchangeRefusedError`; and :class:`UpstreamUnavailableError` for what says nothing of the
        subject: a clock that is wrong, here or there, or a key that the issuer has not shown us yet.
        """
        try:
            claims = await self.inspect(answer.access_token, deadline)
            audience, granted = audiences(claims), scopes(claims) | (answer.scopes or frozenset())
        except (TokenExpiredError, TokenNotYetValidError):
            raise UpstreamUnavailableError(
                f"issuer '{self.name}' answered with a token that is not valid now; the clock here or there is wrong",
                retry_after=60.0,
            ) from None
        except TokenSignatureError:
            raise UpstreamUnavailableError(
                f"issuer '{self.name}' answered with a token that none of the keys known here has signed",
                retry_after=30.0,
            ) from None
        except TokenError as error:
            raise self._refused(f"a token that does not verify ({error.code})") from None
        if claims.get("sub") != subject:
            raise self._refused("a token of another subject")
        if self.settings.audience is not None and not _is_narrowed(audience, self.settings.audience):
            raise self._refused("a token for another audience than was asked for")
        asked = self.settings.scopes  # without any the choice is the issuer's
        if asked and not all(any(_covers(one, scope) for one in asked) for scope in granted):
            raise self._refused("a token with more scopes than were asked for")
        expires_at = float(claims["exp"])
        return expires_at if answer.expires_in is None else min(expires_at, now + answer.expires_in)

    def _refused(self, what: str) -> ExchangeRefusedError:
        return ExchangeRefusedError(f"issuer '{self.name}' answered the exchange with {what}; tell its administrators")


def _is_narrowed(granted: frozenset[str], asked: str) -> bool:
    """Tell whether a token is for one of the audiences asked for (IAM takes several between blanks) and no other."""
    return bool(granted) and granted <= set(asked.split())


def _covers(asked: str, granted: str) -> bool:
    """Tell whether a scope is the one asked for or within it (WLCG common JWT profile sections 2.2.1 and 3.1).

    `wlcg.groups` includes each group of its, `storage.read:/cms` each path below it.
    """
    if granted == asked:
        return True
    wide = _PARAMETRIC.match(asked)
    if wide is None or ".." in granted:
        return False
    prefix = asked.rstrip("/") + "/" if wide["path"] else asked + ":/"
    return granted.startswith(prefix)
