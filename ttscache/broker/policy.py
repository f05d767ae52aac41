"""What may be asked for: the mapping rules, the profiles, and what a request comes to by them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from proxy_gen.errors import FqanRefusedError as NotAnFqanError
from proxy_gen.voms.fqan import Fqan
from ttscache.config.settings import AccessTokenProfile, IdTokenProfile, Profile, ProxyProfile
from ttscache.errors import (
    FqanRefusedError,
    MappingRefusedError,
    ProfileRefusedError,
    ProfileUnknownError,
    RequestInvalidError,
    TracedRefusalError,
)
from ttscache.mapping.engine import decide
from ttscache.mapping.rules import Rule
from ttscache.model import CredentialRequest, Decision, Identity

_Kind = TypeVar("_Kind", ProxyProfile, IdTokenProfile, AccessTokenProfile)


@dataclass(frozen=True)
class Policy:
    """Rules and profiles of a configuration."""

    rules: Sequence[Rule]
    profiles: Mapping[str, Profile]

    def decide(self, identity: Identity) -> Decision:
        """Return the mapping's decision, within what this identity may ask for at all.

        Raises MappingRefusedError or DnRefusedError, with the trace.
        """
        decision = decide(self.rules, identity)
        if identity.profiles is None:
            return decision
        allowed = tuple(name for name in identity.profiles if name in decision.profiles)
        if not allowed:
            raise MappingRefusedError(
                f"rule '{decision.rule}' allows no profile that this workload may have", decision.trace
            )
        return replace(decision, profiles=allowed)

    def allowed_profiles(self, decision: Decision) -> tuple[Profile, ...]:
        """Return the profiles that the decision allows, the default first."""
        return tuple(self.profiles[name] for name in decision.profiles)

    def profile(self, decision: Decision, request: CredentialRequest, kind: type[_Kind]) -> _Kind:
        """Return the profile that is asked for, or else the rule's first of the kind. Raises TtsErrors."""
        if request.profile is None:
            found = next((each for each in self.allowed_profiles(decision) if isinstance(each, kind)), None)
            if found is None:
                raise ProfileRefusedError(f"rule '{decision.rule}' allows no profile of the type that was asked for")
            return found
        profile = self.profiles.get(request.profile)
        if profile is None:
            raise ProfileUnknownError("there is no profile of this name; /v1/whoami lists those that are allowed")
        if profile.name not in decision.profiles:
            raise ProfileRefusedError(
                f"rule '{decision.rule}' does not allow profile '{profile.name}'; allowed: "
                + ", ".join(decision.profiles)
            )
        if not isinstance(profile, kind):
            raise RequestInvalidError(f"profile '{profile.name}' is of another type than was asked for")
        return profile


def carried_fqans(
    decision: Decision, profile: ProxyProfile, request: CredentialRequest, vo: Callable[[str], str]
) -> dict[str, tuple[Fqan, ...]]:
    """Return what the proxy carries, by attribute authority, in the order asked for: the first is the primary.

    ``vo`` tells the VO of an authority. Raises :class:`FqanRefusedError` for what the rule does not grant or the
    profile does not carry.
    """
    granted = [_fqan(text) for text in decision.fqans]
    wanted = list(dict.fromkeys(_parsed(text) for text in request.fqans)) or granted
    if not set(wanted) <= set(granted):
        raise FqanRefusedError(f"rule '{decision.rule}' does not grant every FQAN that was asked for")
    vos = {name: vo(name) for name in profile.voms}
    carried = {name: tuple(fqan for fqan in wanted if fqan.vo == vo) for name, vo in vos.items()}
    if request.fqans and sum(map(len, carried.values())) < len(wanted):
        carries = f"attributes of {', '.join(vos.values())} only" if vos else "no VOMS attributes"
        raise FqanRefusedError(f"profile '{profile.name}' carries {carries}")
    return {name: fqans for name, fqans in carried.items() if fqans}


def substance(decision: Decision) -> tuple[object, ...]:
    """Return what a decision gives, without how it came about."""
    return decision.rule, decision.dn, decision.account, decision.fqans, decision.scopes, decision.shared


def still_grants(policy: Policy, newest: Identity | None, decision: Decision) -> bool:
    """Tell whether an issuer's last word of somebody would get the same: nobody presents a token now."""
    if newest is None:
        return False
    try:
        return substance(policy.decide(newest)) == substance(decision)
    except TracedRefusalError:
        return False


_fqan = lru_cache(maxsize=1000)(Fqan.parse)


def _parsed(text: str) -> Fqan:
    try:
        return _fqan(text)
    except NotAnFqanError as error:
        raise RequestInvalidError(str(error)) from None
