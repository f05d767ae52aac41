"""What an access token may be exchanged down to. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ttscache.broker.scopes import all_covered
from ttscache.config.settings import AccessTokenProfile
from ttscache.errors import AudienceRefusedError, ScopeRefusedError
from ttscache.model import CredentialRequest, Decision, Identity
from ttscache.upstream.token_endpoint import Narrowing

_REFRESHING = "offline_access"
_GROUPS = "wlcg.groups"
# these speak of a user at a browser; no service decides by them (OpenID Connect Core sections 3.1.2.1 and 5.4)
_OPENID = frozenset({"openid", "profile", "email", "address", "phone", _REFRESHING})


def narrowing(
    identity: Identity, decision: Decision, profile: AccessTokenProfile, request: CredentialRequest
) -> Narrowing:
    """Return audiences and scopes as they are asked for, or else the profile's first audience and all scopes.

    Scopes stay within the rule's, or where it has none within the token's own. Raises AudienceRefusedError,
    ScopeRefusedError.
    """
    return Narrowing(_audiences(profile, request), _scopes(identity, decision, request))


def _audiences(profile: AccessTokenProfile, request: CredentialRequest) -> tuple[str, ...]:
    asked = tuple(sorted(set(request.audiences))) or profile.audiences[:1]
    if not set(asked) <= set(profile.audiences):
        raise AudienceRefusedError(f"profile '{profile.name}' gives tokens for {', '.join(profile.audiences)} only")
    return asked


def _scopes(identity: Identity, decision: Decision, request: CredentialRequest) -> tuple[str, ...]:
    bounds = decision.scopes or tuple(sorted(identity.scopes))
    if _REFRESHING in request.scopes:
        raise ScopeRefusedError(f"{_REFRESHING} is never given out: ask again for each token")
    if not all_covered(bounds, request.scopes):
        whose = f"rule '{decision.rule}' gives" if decision.scopes else "the presented token has"
        raise ScopeRefusedError(f"{whose} other scopes: {' '.join(bounds) or 'none'}")
    scopes = _ordered(request.scopes or tuple(each for each in bounds if each not in _OPENID))
    if not scopes:
        raise ScopeRefusedError(f"neither rule '{decision.rule}' nor the presented token has scopes for a service")
    return scopes


def _ordered(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes in one order, whatever they were asked in; of WLCG's groups the first is the default, and stays."""
    apart = dict.fromkeys(scopes)
    groups = [scope for scope in apart if scope.startswith(_GROUPS)]
    return (*sorted(apart.keys() - set(groups)), *groups)
