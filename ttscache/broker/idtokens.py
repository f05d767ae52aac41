"""HTCondor IDTOKENs: signed with a key of the pool's, or relayed as the pool issued them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ttscache.authority.condor import CondorTokenError, issue_idtoken, subject_of
from ttscache.authority.condor_relay import IdToken, read_idtoken
from ttscache.broker.lifetimes import grant
from ttscache.config.secrets import SecretError, read_secret_file
from ttscache.config.settings import IdTokenProfile
from ttscache.errors import LifetimeRefusedError, MappingRefusedError, SignerUnavailableError
from ttscache.mapping.template import ClaimUnfitError
from ttscache.model import Decision, Identity, IssuedToken

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class TokenOrder:
    """A token to be issued; ``limits`` are what bounds its life: name to end in POSIX seconds."""

    identity: Identity
    decision: Decision
    profile: IdTokenProfile
    lifetime: int
    limits: Mapping[str, float]


class IdTokens:
    """Issues IDTOKENs. They are not kept: each costs a hash."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def issue(self, order: TokenOrder) -> IssuedToken:
        """Return a token. Raises MappingRefusedError, LifetimeRefusedError, SignerUnavailableError."""
        issued = self._signed(order) if order.profile.source is None else await self._relayed(order)
        _log.info(
            "idtoken_issued",
            extra={
                "issuer": order.identity.issuer,
                "subject": order.identity.subject,
                "pod": order.identity.pod_name,
                "rule": order.decision.rule,
                "token_subject": issued.subject,
                "profile": order.profile.name,
                "not_after": issued.not_after,
            },
        )
        return issued

    def _signed(self, order: TokenOrder) -> IssuedToken:
        profile, now = order.profile, self._clock()
        if profile.key is None:
            raise TypeError("a profile without `source` has a key")
        user = _user(order)
        granted = grant(profile, order.lifetime, now, order.limits)
        token, expires_at = issue_idtoken(
            profile.key,
            trust_domain=profile.trust_domain,
            user=user,
            scopes=profile.scopes,
            now=now,
            lifetime=int(granted.not_after - now),
        )
        subject = subject_of(user, profile.trust_domain)
        return IssuedToken(token, subject, profile.scopes, expires_at, profile.name, granted.shortened_by)

    async def _relayed(self, order: TokenOrder) -> IssuedToken:
        """Hand the pool's token on: its life is its own, whatever was asked for, and must reach the minimum."""
        token = await asyncio.to_thread(self._read, order.profile)
        granted = grant(order.profile, order.lifetime, self._clock(), {"source": token.expires_at})
        ends_with = order.limits.get("token")
        if ends_with is not None and ends_with < token.expires_at:
            raise LifetimeRefusedError(
                f"the pool's token of profile '{order.profile.name}' lives longer than the token that was presented"
            )
        if not set(token.scopes) <= set(order.profile.scopes):
            raise SignerUnavailableError(
                f"the pool's token of profile '{order.profile.name}' may do more than the profile's scopes say",
                retry_after=_RETRY_SECONDS,
            )
        shortened = granted.shortened_by
        return IssuedToken(token.token, token.subject, token.scopes, token.expires_at, order.profile.name, shortened)

    def _read(self, profile: IdTokenProfile) -> IdToken:
        try:
            return read_idtoken(read_secret_file(profile.source).decode("ascii"), self._clock())  # type: ignore[arg-type] # it has one
        except (SecretError, CondorTokenError, UnicodeDecodeError) as error:
            _log.warning("token_unreadable", extra={"profile": profile.name, "reason": str(error)})
            why = str(error) if isinstance(error, CondorTokenError) else "its file cannot be read"
            raise SignerUnavailableError(
                f"the pool's token of profile '{profile.name}' cannot be relayed: {why}", retry_after=_RETRY_SECONDS
            ) from None


def _user(order: TokenOrder) -> str:
    """Return the token's user. Raises MappingRefusedError for one that no token may be for."""
    decision = order.decision
    claims = {**order.identity.claims, "account": decision.account}
    try:
        user = order.profile.user.fill(claims, _unfit_in_user)
        subject_of(user, order.profile.trust_domain)
    except (ClaimUnfitError, CondorTokenError) as error:
        raise MappingRefusedError(
            f"profile '{order.profile.name}' gives no usable user for rule '{decision.rule}': {error}", decision.trace
        ) from None
    return user


def _unfit_in_user(value: str) -> str | None:
    """A claim may be a part of the user's name; the domain is the profile's to say, never the caller's."""
    return "has an '@' in it" if "@" in value else None
