"""An issuer as the broker needs it: its token endpoint, and a way to inspect what comes from there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ttscache.broker.keys import digest, session_key
from ttscache.broker.session_rules import is_due, is_usable
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
from ttscache.model import Identity, Session
from ttscache.net.bulkhead import Bulkhead
from ttscache.net.deadline import Deadline
from ttscache.upstream.settings import ExchangeSettings
from ttscache.upstream.token_endpoint import TokenAnswer, TokenEndpoint

# Calls at once to one issuer: some fewer than connections, for its keys and its metadata are fetched as well.
_PLACES = 12
# as many identities as a large site starts at once
_MAX_WAITING = 10_000
# enough to tell a handful of configurations apart
_ASKED_DIGITS = 16
# scopes that take a group or a path
_PARAMETRIC = re.compile(r"(?:wlcg\.groups|storage\.(?:read|create|modify|stage))(?::(?P<path>/\S*))?\Z")


@dataclass(frozen=True)
class Granted:
    """What a token answer is good for: the claims of the token in it, and its end in POSIX seconds."""

    claims: Mapping[str, Any]
    expires_at: float


@dataclass(frozen=True)
class ExchangingIssuer:
    """An issuer with which the daemon holds sessions.

    ``inspect`` verifies a token that this issuer made, whatever its audience, and returns its claims; ``identify``
    tells whom claims of this issuer's mean. With ``keeps_access_token`` the granted token itself is kept in the
    session, for the issuer is called with it. ``places`` bounds the calls that are under way.
    """

    name: str
    policy: SessionPolicy
    settings: ExchangeSettings
    endpoint: TokenEndpoint
    inspect: Callable[[str, Deadline], Awaitable[Mapping[str, Any]]]
    identify: Callable[[Mapping[str, Any]], Identity]
    keeps_access_token: bool = False
    places: Bulkhead = field(default_factory=lambda: Bulkhead(_PLACES, _MAX_WAITING))

    @cached_property
    def asked(self) -> str:
        """What stands for the scopes and the audience that sessions are opened with."""
        return digest(self.settings.audience or "", *self.settings.scopes)[:_ASKED_DIGITS]

    def is_usable(self, session: Session, now: float) -> bool:
        """Tell whether a session has not ended."""
        return is_usable(session, self.policy, now)

    def is_due(self, session: Session, now: float, *, ahead: float = 0.0) -> bool:
        """Tell whether a session is to be confirmed; ``ahead`` is by how many seconds early."""
        return is_due(session, self.policy, now, keeps_access_token=self.keeps_access_token, ahead=ahead)

    def session_key(self, identity: Identity) -> str:
        """Return the key of an identity's session, as sessions are opened now."""
        return session_key(identity.issuer, identity.subject, self.asked)

    async def inspected(self, answer: TokenAnswer, subject: str | None, now: float, deadline: Deadline) -> Granted:
        """Return what was granted, after taking no word of the answer for it.

        The token itself must verify and still be the subject's (None: whoever it is), its audience and scope what
        was asked for or narrower; `issued_token_type` proves nothing; the end is the earlier of `exp` and `expires_in`.
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
        if subject is not None and claims.get("sub") != subject:
            raise self._refused("a token of another subject")
        if self.settings.audience is not None and not _is_narrowed(audience, self.settings.audience):
            raise self._refused("a token for another audience than was asked for")
        asked = self.settings.scopes  # without any the choice is the issuer's
        if asked and not all(any(_covers(one, scope) for one in asked) for scope in granted):
            raise self._refused("a token with more scopes than were asked for")
        ends = [float(claims["exp"])] + ([] if answer.expires_in is None else [now + answer.expires_in])
        return Granted(claims, min(ends))

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
