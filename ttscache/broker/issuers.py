"""An issuer as the broker needs it: its token endpoint, and a way to inspect what comes from there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ttscache.broker.keys import digest, session_key, standing_key
from ttscache.broker.scopes import all_covered
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
from ttscache.upstream.token_endpoint import Narrowing, TokenAnswer, TokenEndpoint

# Calls at once to one issuer: some fewer than connections, for its keys and its metadata are fetched as well.
_PLACES = 12
# as many identities as a large site starts at once
_MAX_WAITING = 10_000
# enough to tell a handful of configurations apart
_ASKED_DIGITS = 16


@dataclass(frozen=True)
class Granted:
    """What a token answer is good for: the token in it, its claims, its end in POSIX seconds."""

    token: str = field(repr=False)
    claims: Mapping[str, Any]
    expires_at: float


@dataclass(frozen=True)
class ExchangingIssuer:
    """An issuer with which the daemon holds sessions.

    ``inspect`` verifies a token that this issuer made, whatever its audience, and returns its claims; ``identify``
    tells whom claims of this issuer's mean. With ``keeps_access_token`` the granted token itself is kept in the
    session, for the issuer is called with it; in standing sessions it is kept with ``hands_out_tokens``, for there it
    is what is exchanged. ``places`` bounds the calls that are under way.
    """

    name: str
    policy: SessionPolicy
    settings: ExchangeSettings
    endpoint: TokenEndpoint
    inspect: Callable[[str, Deadline], Awaitable[Mapping[str, Any]]]
    identify: Callable[[Mapping[str, Any]], Identity]
    keeps_access_token: bool = False
    hands_out_tokens: bool = False
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
        return is_due(session, self.policy, now, keeps_access_token=self.keeps_token_of(session.name), ahead=ahead)

    def keeps_token_of(self, name: str | None) -> bool:
        """Tell whether the access token is kept in a session; ``name`` is a standing one's."""
        return self.keeps_access_token or (self.hands_out_tokens and name is not None)

    def session_key(self, identity: Identity) -> str:
        """Return the key of an identity's session, as sessions are opened now."""
        if identity.session is not None:
            return standing_key(identity.issuer, identity.session, self.asked)
        return session_key(identity.issuer, identity.subject, self.asked)

    async def inspected(
        self,
        answer: TokenAnswer,
        subject: str | None,
        now: float,
        deadline: Deadline,
        narrowing: Narrowing | None = None,
    ) -> Granted:
        """Return what was granted, after taking no word of the answer for it.

        The token itself must verify and still be the subject's (None: whoever it is), its audience and scope what
        was asked for (by ``narrowing``, else as sessions are opened) or narrower; `issued_token_type` proves nothing;
        the end is the earlier of `exp` and `expires_in`.
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
        asked = narrowing or self._opening
        if asked.audiences and not (audience and audience <= set(asked.audiences)):
            raise self._refused("a token for another audience than was asked for")
        # without any the choice is the issuer's
        if asked.scopes and not all_covered(asked.scopes, granted):
            raise self._refused("a token with more scopes than were asked for")
        ends = [float(claims["exp"])] + ([] if answer.expires_in is None else [now + answer.expires_in])
        return Granted(answer.access_token, claims, min(ends))

    @cached_property
    def _opening(self) -> Narrowing:
        """What is asked for when a session is opened; IAM takes several audiences between blanks."""
        return Narrowing(tuple((self.settings.audience or "").split()), self.settings.scopes)

    def _refused(self, what: str) -> ExchangeRefusedError:
        return ExchangeRefusedError(f"issuer '{self.name}' answered the exchange with {what}; tell its administrators")
