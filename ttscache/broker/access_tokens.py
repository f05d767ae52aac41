"""Access tokens for services: exchanged down to an audience and scopes, inspected, and cached by both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ttscache.broker.cache import Cache, Wanted
from ttscache.broker.flights import LeaderError, on_own_account
from ttscache.broker.issuers import ExchangingIssuer, Granted
from ttscache.broker.keys import access_token_key, digest
from ttscache.broker.lifetimes import asked_lifetime, grant
from ttscache.broker.narrowing import narrowing
from ttscache.broker.opening import Refusals
from ttscache.broker.policy import Policy, still_grants, substance
from ttscache.broker.reception import Asker, Reception, persistently
from ttscache.config.settings import AccessTokenProfile
from ttscache.errors import (
    AudienceRefusedError,
    ExchangeRefusedError,
    ProfileRefusedError,
    RateLimitedError,
    ScopeRefusedError,
    UpstreamUnavailableError,
)
from ttscache.identity.claims import scopes
from ttscache.metrics import ISSUED
from ttscache.model import CredentialRequest, Decision, IssuedToken, Session
from ttscache.net.deadline import Deadline
from ttscache.upstream.token_endpoint import GrantRefusedError, Narrowing, TokenAnswer

_log = logging.getLogger(__name__)
# an exchange, and before it a refresh that an issuer takes its time for
_EXCHANGE_SECONDS = 60.0
# what an issuer's refusal of a narrowed token means to the caller
_REFUSALS: dict[str, type[AudienceRefusedError | ScopeRefusedError]] = {
    "invalid_target": AudienceRefusedError,
    "invalid_scope": ScopeRefusedError,
    "insufficient_scope": ScopeRefusedError,
}


@dataclass(frozen=True)
class _Order:
    """What is asked for, and by whom."""

    asker: Asker
    decision: Decision
    profile: AccessTokenProfile
    lifetime: int
    narrowing: Narrowing


class AccessTokens:
    """Exchanges tokens with the issuers that sessions are held with."""

    def __init__(
        self, policy: Policy, reception: Reception, cache: Cache[IssuedToken], clock: Callable[[], float]
    ) -> None:
        self._policy = policy
        self._reception = reception
        self._cache = cache
        self._clock = clock
        self._refusals = Refusals()

    async def issue(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> IssuedToken:
        """Return an access token for a service. Raises any of the errors of :mod:`ttscache.errors` but tokens'."""
        await self._reception.require_welcome(asker.identity)
        return await persistently(lambda: self._issue(asker, request, deadline))

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._cache.drain()

    async def _issue(self, asker: Asker, request: CredentialRequest, deadline: Deadline) -> IssuedToken:
        order = self._order(asker, request)
        session = await self._reception.session(asker, deadline)
        if session is None:
            raise ProfileRefusedError(
                f"tokens of issuer '{asker.identity.issuer}' stay as they are: it has no `exchange`"
            )
        self._reception.sessions.confirm_behind(session)
        wanted = self._wanted(order, session)
        cached = await on_own_account(
            asker,
            lambda: self._cache.get(
                wanted, lambda: self._made(wanted.key, order, session), deadline, lambda: self._still_granted(order)
            ),
        )
        return cached.credential

    def _order(self, asker: Asker, request: CredentialRequest) -> _Order:
        decision = self._policy.decide(asker.identity)
        profile = self._policy.profile(decision, request, AccessTokenProfile)
        lifetime = asked_lifetime(profile, request.lifetime)
        return _Order(asker, decision, profile, lifetime, narrowing(asker.identity, decision, profile, request))

    def _wanted(self, order: _Order, session: Session) -> Wanted:
        identity = order.asker.identity
        asked = (order.profile, order.lifetime, order.narrowing)
        what = digest(session.generation, repr(substance(order.decision)), repr(asked))
        key = access_token_key(identity.issuer, identity.subject, what)
        return Wanted(key, (identity.issuer, identity.subject), order.profile.min_lifetime)

    def _still_granted(self, order: _Order) -> bool:
        """Tell whether it may be renewed with nobody there: the token of who came may have ended."""
        identity = order.asker.identity
        can_ask = identity.session is not None or self._clock() < identity.expires_at
        return can_ask and still_grants(self._policy, self._reception.newest(identity), order.decision)

    async def _made(self, key: str, order: _Order, session: Session) -> IssuedToken:
        """Make it; what fails for the token or the allowance of who leads the flight says nothing of the others'.

        Those who act by a standing session have its token in common, and so what the issuer refuses to it.
        """
        standing = order.asker.identity.session is not None
        presented = f"{key} {'' if standing else order.asker.identity.digest}"  # refused for this, not for all
        try:
            self._refusals.require_none(key, presented)
            self._reception.charge(order.asker)
            return await self._exchanged(order, session)
        except RateLimitedError as limited:
            raise LeaderError(order.asker, limited) from None
        except (ExchangeRefusedError, AudienceRefusedError, ScopeRefusedError) as refusal:
            self._refusals.note(key, presented, refusal)
            if standing:
                raise
            raise LeaderError(order.asker, refusal) from None

    async def _exchanged(self, order: _Order, session: Session) -> IssuedToken:
        deadline, identity = Deadline.after(_EXCHANGE_SECONDS), order.asker.identity
        await self._reception.require_welcome(identity)  # also of a renewal, for which nobody has come to the door
        issuer = self._reception.issuers[identity.issuer]
        subject_token = await self._subject_token(order.asker, session, deadline)
        async with issuer.places.place(deadline):
            answer = await self._asked(issuer, subject_token, order.narrowing, deadline)
        granted = await issuer.inspected(answer, identity.subject, self._clock(), deadline, order.narrowing)
        await self._reception.require_welcome(identity)
        issued = self._issued(order, granted, _granted_scopes(order.narrowing, answer, granted))
        ISSUED.labels(order.profile.name).inc()
        _log_issue(order, issued)
        return issued

    async def _subject_token(self, asker: Asker, session: Session, deadline: Deadline) -> str:
        """Return what is exchanged: the presented token; of a standing session its own, for nobody presents one."""
        confirmed = await self._reception.sessions.confirmed(session, deadline)
        if asker.identity.session is None:
            return asker.subject_token
        if confirmed.access_token is None or confirmed.access_ends_at <= self._clock():
            raise UpstreamUnavailableError(f"issuer '{session.issuer}' does not renew the session's token; try again")
        return confirmed.access_token

    async def _asked(
        self, issuer: ExchangingIssuer, subject_token: str, wanted: Narrowing, deadline: Deadline
    ) -> TokenAnswer:
        try:
            return await issuer.endpoint.exchange(subject_token, deadline, wanted)
        except GrantRefusedError as refusal:
            kind = _REFUSALS.get(refusal.error)
            if kind is None:
                raise
            what = "audience" if kind is AudienceRefusedError else "scopes"
            raise kind(f"issuer '{issuer.name}' refuses the {what} that this token was to have") from None

    def _issued(self, order: _Order, granted: Granted, scopes: tuple[str, ...]) -> IssuedToken:
        limits = {"issuer": granted.expires_at}
        until = grant(order.profile, order.lifetime, self._clock(), limits)
        subject, name = order.asker.identity.subject, order.profile.name
        return IssuedToken(granted.token, subject, scopes, until.not_after, name, until.shortened_by)


def _granted_scopes(asked: Narrowing, answer: TokenAnswer, granted: Granted) -> tuple[str, ...]:
    """Return what the token may do: IAM drops without a word what a policy denies. Raises ScopeRefusedError.

    What the token itself says counts, else what was said of it.
    """
    in_token = any(granted.claims.get(name) is not None for name in ("scope", "scp"))
    told = scopes(granted.claims) if in_token else answer.scopes
    if told is None:
        return asked.scopes  # RFC 6749 section 5.1: silence means as asked
    if not told:
        raise ScopeRefusedError("the issuer grants none of the scopes that this token was to have")
    return tuple(sorted(told))


def _log_issue(order: _Order, issued: IssuedToken) -> None:
    identity = order.asker.identity
    _log.info(
        "access_token_issued",
        extra={
            "issuer": identity.issuer,
            "subject": identity.subject,
            "pod": identity.pod_name,
            "rule": order.decision.rule,
            "profile": issued.profile,
            "audiences": order.narrowing.audiences,
            "scopes": issued.scopes,
            "not_after": issued.not_after,
        },
    )
