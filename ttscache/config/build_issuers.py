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
from ttscache.config.settings import ClusterApi, IssuerConfiguration, SessionPolicy, StandingSession
from ttscache.identity.settings import NO_AUDIENCE, IssuerSettings, TokenProfile
from ttscache.net.urls import unsafe_url_reason
from ttscache.upstream.settings import AuthMethod, ExchangeSettings

_MAX_LEEWAY = 300
# https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
_API_SERVER_KEYS = "/openid/v1/jwks"


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
    kind = TokenProfile(part["token_profile"])
    _check_cluster(notes, path, part, kind)
    return IssuerConfiguration(
        identity=IssuerSettings(
            name=part["name"],
            url=part["url"],
            token_issuer=part.get("token_issuer", part["url"]),
            audiences=frozenset(part["audiences"]),
            algorithms=frozenset(part["algorithms"]),
            token_profile=kind,
            leeway=leeway,
            ca_file=ca_file,
            # the API server's document names an address that its own network may not reach, and not by a name
            jwks_url=part["url"].rstrip("/") + _API_SERVER_KEYS if "api" in part else None,
        ),
        exchange=_exchange(notes, (*path, "exchange"), part["exchange"]) if "exchange" in part else None,
        session=_session(notes, (*path, "session"), part["session"]),
        api=_api(notes, part["api"]) if "api" in part else None,
    )


def _api(notes: Notes, part: Mapping[str, Any]) -> ClusterApi:
    """The token's file may come later, and is not asked who may read it: the kubelet lets a container's users."""
    return ClusterApi(notes.directory / part["token"]["file"], part["review"])


def _check_cluster(notes: Notes, path: Path, part: Mapping[str, Any], kind: TokenProfile) -> None:
    """A cluster's tokens are no IAM's: nothing is exchanged, and they must be made for this daemon."""
    if kind is not TokenProfile.KUBERNETES:
        if "api" in part:
            notes.wrong((*path, "api"), "is for token_profile kubernetes only")
        return
    if "exchange" in part:
        notes.wrong((*path, "exchange"), "clusters exchange no tokens; `workloads` name the session that pods act by")
    if NO_AUDIENCE in part["audiences"]:
        notes.wrong((*path, "audiences"), "a cluster's tokens must have this daemon's audience")


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
