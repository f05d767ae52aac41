"""The part of a configuration that says whose tokens are taken, and how sessions are held with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from proxy_gen.keys import load_private_key
from ttscache.config.certificates import require_authorities
from ttscache.config.document import Path
from ttscache.config.notes import Notes
from ttscache.config.secrets import SecretReference
from ttscache.config.settings import IssuerConfiguration, SessionPolicy, StandingSession
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.net.urls import unsafe_url_reason
from ttscache.upstream.settings import AuthMethod, ExchangeSettings

_MAX_LEEWAY = 300


def issuer(notes: Notes, path: Path, part: Mapping[str, Any]) -> IssuerConfiguration:
    """Build an issuer."""
    if reason := unsafe_url_reason(part["url"]):
        notes.wrong((*path, "url"), reason)
    leeway = notes.seconds((*path, "leeway"), part["leeway"])
    if leeway > _MAX_LEEWAY:
        notes.wrong((*path, "leeway"), "must be at most 5m: longer makes expired tokens good")
    ca_file = notes.directory / part["ca_file"] if "ca_file" in part else None
    if ca_file is not None:
        with notes.noting((*path, "ca_file")):
            require_authorities(ca_file)
    return IssuerConfiguration(
        identity=IssuerSettings(
            name=part["name"],
            url=part["url"],
            token_issuer=part.get("token_issuer", part["url"]),
            audiences=frozenset(part["audiences"]),
            algorithms=frozenset(part["algorithms"]),
            token_profile=TokenProfile(part["token_profile"]),
            leeway=leeway,
            ca_file=ca_file,
        ),
        exchange=_exchange(notes, (*path, "exchange"), part["exchange"]) if "exchange" in part else None,
        session=_session(notes, (*path, "session"), part["session"]),
    )


def standing_session(
    notes: Notes, path: Path, part: Mapping[str, Any], *, exchanging: frozenset[str]
) -> StandingSession:
    """Build a standing session; ``exchanging`` are the issuers that sessions are held with.

    The token's file may come later: whoever renews it writes it anew.
    """
    if part["issuer"] not in exchanging:
        notes.wrong((*path, "issuer"), f"there is no issuer '{part['issuer']}' with `exchange` under `issuers`")
    if ("token" in part) == ("client_credentials" in part):
        notes.wrong(path, "must have either `token: {file: PATH}` or `client_credentials: true`")
    token = notes.directory / part["token"]["file"] if "token" in part else None
    return StandingSession(part["name"], part["issuer"], token)


def _exchange(notes: Notes, path: Path, part: Mapping[str, Any]) -> ExchangeSettings:
    method = AuthMethod(part["auth_method"])
    wanted, other = "client_secret", "client_key"
    if method is AuthMethod.PRIVATE_KEY_JWT:
        wanted, other = other, wanted
    if other in part:
        notes.wrong((*path, other), f"is not used with auth_method {method.value}")
    secret = ""
    if wanted not in part:
        notes.wrong(path, f"the key '{wanted}' is missing, which auth_method {method.value} needs")
    else:
        with notes.noting((*path, wanted)):
            secret = SecretReference.of(part[wanted], notes.directory).read()
            if method is AuthMethod.PRIVATE_KEY_JWT:
                load_private_key(secret.encode())
    return ExchangeSettings(
        client_id=part["client_id"],
        secret=secret,
        auth_method=method,
        scopes=tuple(part["scopes"]),
        audience=part.get("audience"),
        key_id=part.get("client_key_id"),
    )


def _session(notes: Notes, path: Path, part: Mapping[str, Any]) -> SessionPolicy:
    names = (field.name for field in fields(SessionPolicy))
    policy = SessionPolicy(**{name: notes.seconds((*path, name), part[name], at_least=1) for name in names})
    if policy.grace < policy.confirm:
        notes.wrong((*path, "grace"), "must not be shorter than `confirm`")
    if policy.absolute < policy.confirm:
        notes.wrong((*path, "absolute"), "must not be shorter than `confirm`")
    return policy
