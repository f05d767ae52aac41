"""The claims of access tokens, ID tokens and user information, by token profile."""

from collections.abc import Iterable

from ttscache.sandbox.iam.config import User
from ttscache.sandbox.iam.state import Account, Grant

Claims = dict[str, object]

# WLCG common JWT profile, section 2.2: the audience of a token that is not for one service in particular.
WLCG_ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"

_WLCG_GROUPS = "wlcg.groups"
_ENTITLEMENT_NAMESPACE = "urn:geant:sandbox.example"


def access_claims(profile: str, grant: Grant, account: Account | None) -> Claims:
    """Return what the profile adds to `iss`, `sub`, `exp`, `iat`, `jti` and `client_id`.

    `aud` is there when one was asked for, and in `wlcg` tokens always.
    """
    user = account.user if account else None
    claims: Claims = {"scope": " ".join(grant.scope)}
    match profile:
        case "wlcg":
            claims |= _wlcg(user, grant.scope)
        case "iam":
            claims |= user_claims(user) if user else {}
        case "aarc":
            claims |= _aarc(user) if user else {}
        case "kc":
            claims |= {"roles": _plain_groups(user)} if user else {}
    if grant.audience:
        claims["aud"] = grant.audience[0] if len(grant.audience) == 1 else list(grant.audience)
    if grant.actor is not None:
        claims["act"] = dict(grant.actor)
    return claims


def user_claims(user: User) -> Claims:
    """Return all that is told about a user; groups have no leading slash outside of `wlcg.groups`."""
    return {
        "name": user.name,
        "preferred_username": user.username,
        "email": user.email,
        "organisation_name": user.organisation_name,
        "groups": _plain_groups(user),
    }


def disclosed(user: User, scope: Iterable[str]) -> Claims:
    """Return what the scopes `profile` and `email` disclose (OpenID Connect Core section 5.4); groups are profile."""
    granted = frozenset(scope)
    return {
        name: value
        for name, value in user_claims(user).items()
        if ("email" if name == "email" else "profile") in granted
    }


def wlcg_groups(user: User, scope: Iterable[str]) -> list[str]:
    """Return `wlcg.groups` in the order asked for, then the others; empty when no scope asks for groups.

    A group named by its scope comes where it is named; one that the user is not in is left out (WLCG common JWT
    profile, section 3.1.2).
    """
    asked = [one for one in scope if one == _WLCG_GROUPS or one.startswith(f"{_WLCG_GROUPS}:")]
    groups: list[str] = []
    for one in asked:
        named = one.partition(":")[2]
        groups += [group for group in user.groups if not named or group == named]
    return list(dict.fromkeys(groups + list(user.groups))) if asked else []


def _wlcg(user: User | None, scope: tuple[str, ...]) -> Claims:
    claims: Claims = {"wlcg.ver": "1.0", "aud": WLCG_ANY_AUDIENCE}
    groups = wlcg_groups(user, scope) if user else []
    return claims | {_WLCG_GROUPS: groups} if groups else claims


def _aarc(user: User) -> Claims:
    entitlements = [f"{_ENTITLEMENT_NAMESPACE}:group:{group.replace('/', ':')}" for group in _plain_groups(user)]
    return {
        "eduperson_scoped_affiliation": "member@sandbox.example",
        "eduperson_entitlement": entitlements,
        "entitlements": entitlements,
        "eduperson_assurance": ["https://refeds.org/assurance", "https://refeds.org/assurance/IAP/low"],
        "voperson_id": f"{user.sub}@sandbox.example",
    }


def _plain_groups(user: User) -> list[str]:
    return [group.removeprefix("/") for group in user.groups]
