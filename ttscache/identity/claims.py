"""Where each token profile keeps what mapping rules ask for, read with bounds."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ttscache.errors import TokenMalformedError
from ttscache.identity.settings import TokenProfile

_MAX_VALUES = 1000
_MAX_VALUE_LENGTH = 1024
_ENTITLEMENTS = ("entitlements", "eduperson_entitlement", "eduperson_entitlements")
# what the tokens of many users have the same values of
_COMMON = frozenset(
    {"iss", "aud", "scope", "scp", "client_id", "azp", "wlcg.ver", "wlcg.groups", "groups", *_ENTITLEMENTS}
)
# AARC-G002 / G069: urn:<nid>:<namespace>[:...]:group:<a>[:<b>...][:role=<r>][#<authority>]. A slash in a group's
# name would make it look like another's subgroup.
_AARC_GROUP = re.compile(r"urn:[^#]*?:group:(?P<path>[^#/]+)(?:#.*)?\Z")


def groups(profile: TokenProfile, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups, each with a leading slash, in the token's order (the first is the WLCG default)."""
    if profile is TokenProfile.WLCG:
        found = string_list(claims, "wlcg.groups")
    elif profile is TokenProfile.AARC:
        matches = (_AARC_GROUP.match(entitlement) for entitlement in entitlements(claims))
        found = tuple(_aarc_path(match["path"]) for match in matches if match)
    else:
        found = string_list(claims, "groups")
    return tuple(with_leading_slash(group) for group in found)


def with_leading_slash(group: str) -> str:
    """IAM's own profile writes groups without the slash that WLCG's has."""
    return group if group.startswith("/") else "/" + group


def entitlements(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the entitlements under any of the names that the AARC profile has had."""
    present = (name for name in _ENTITLEMENTS if name in claims)
    return tuple(dict.fromkeys(value for name in present for value in string_list(claims, name)))


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes: RFC 8693's space-separated string, or a list under `scope` or `scp`."""
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            return _split(value) if len(value) <= _MAX_VALUE_LENGTH else frozenset(value.split())
        if value is not None:
            return frozenset(string_list(claims, name))
    return frozenset()


def client_id(claims: Mapping[str, Any]) -> str | None:
    """Return the client that the token was issued to."""
    value = claims.get("client_id", claims.get("azp"))
    return value if isinstance(value, str) else None


def audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return `aud`, a string or a list of them (RFC 7519 section 4.1.3); empty when it is absent."""
    return frozenset(string_list(claims, "aud"))


def string_list(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a claim that is a string or a list of strings. Raises :class:`TokenMalformedError` for another form."""
    value = claims.get(name)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > _MAX_VALUES:
        raise TokenMalformedError(f"the token's claim '{name}' is not a list of at most {_MAX_VALUES} strings")
    for item in values:
        if not isinstance(item, str) or len(item) > _MAX_VALUE_LENGTH:
            raise TokenMalformedError(f"the token's claim '{name}' is not a list of strings of reasonable length")
    return tuple(values)


def shared(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same claims, holding once in memory what the tokens of many have in common.

    For verified claims only: others have no say in what is kept.
    """
    return {sys.intern(name): _shared(value) if name in _COMMON else value for name, value in claims.items()}


def _shared(value: Any) -> Any:  # noqa: ANN401 - whatever JSON came
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, list):
        return [sys.intern(item) if isinstance(item, str) else item for item in value]
    return value


@lru_cache(maxsize=512)
def _split(scope: str) -> frozenset[str]:
    """A set has several times the size of its string, and a client's users mostly have the same."""
    return frozenset(scope.split())


def _aarc_path(path: str) -> str:
    parts = [part for part in path.split(":") if not part.startswith("role=")]
    return "/" + "/".join(parts)
