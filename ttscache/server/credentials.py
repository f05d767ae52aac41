"""/v1: proxies for the bearer of a token, and what the mapping says of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from aiohttp import web

from ttscache.broker.credentials import CredentialBroker
from ttscache.config.settings import AccessTokenProfile, IdTokenProfile, Profile, ProxyProfile
from ttscache.errors import TracedRefusalError
from ttscache.model import Credential, Decision, Identity, Pod, RuleTrace
from ttscache.net.deadline import Deadline
from ttscache.server.answers import NO_STORE
from ttscache.server.asking import asker_of
from ttscache.server.parsing import (
    bearer_token,
    from_json,
    from_query,
    is_known,
    prefers_json,
    read_body,
    refuse_unknown,
)
from ttscache.server.services import Services, services_of

# the names of the types in profiles
X509_PROXY = "x509-proxy"
CONDOR_IDTOKEN = "condor-idtoken"
ACCESS_TOKEN = "access-token"  # noqa: S105 - a name, no secret
_TYPES: dict[type[Profile], str] = {
    ProxyProfile: X509_PROXY,
    IdTokenProfile: CONDOR_IDTOKEN,
    AccessTokenProfile: ACCESS_TOKEN,
}
_JSON_TYPE = "application/json; charset=utf-8"
_HEADERS = {**NO_STORE, "Vary": "Accept, Authorization"}
_PEM_HEADERS = {**_HEADERS, "Content-Type": "application/x-pem-file"}
_JSON_HEADERS = {**_HEADERS, "Content-Type": _JSON_TYPE}


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [
        web.get("/v1/proxy", get_proxy, allow_head=False),
        web.post("/v1/proxy", post_proxy),
        web.get("/v1/whoami", whoami, allow_head=False),
    ]


async def get_proxy(request: web.Request) -> web.StreamResponse:
    """Answer with the cached proxy, whose key the daemon made; 304 when the caller has it already."""
    services = services_of(request)
    token = bearer_token(request)
    deadline = _deadline(services)
    wanted = from_query(request)
    asker = await asker_of(request, services, token, deadline)
    credential = await services.broker.issue(asker, wanted, deadline)
    headers = _tagged_json(credential.serial) if prefers_json(request) else _tagged_pem(credential.serial)
    if "If-None-Match" in request.headers and is_known(request, headers["ETag"].strip('"')):
        return web.Response(status=304, headers=headers)
    return _answer(credential, headers)


async def post_proxy(request: web.Request) -> web.StreamResponse:
    """Answer with a proxy for a CSR, or for a key that the daemon makes."""
    services = services_of(request)
    deadline = _deadline(services)
    token = bearer_token(request)
    refuse_unknown(request.query, set(), "query parameter")
    wanted = from_json(await read_body(request, deadline))
    asker = await asker_of(request, services, token, deadline)
    credential = await services.broker.issue(asker, wanted, deadline)
    return _answer(credential, _JSON_HEADERS if prefers_json(request) else _PEM_HEADERS)


async def whoami(request: web.Request) -> web.StreamResponse:
    """Answer with the identity, and what the mapping gives it or why it gives nothing."""
    services = services_of(request)
    token = bearer_token(request)
    refuse_unknown(request.query, set(), "query parameter")
    asker = await asker_of(request, services, token, _deadline(services))
    await services.reception.require_welcome(asker.identity)
    return web.json_response(whoami_json(services.broker, asker.identity), headers=_HEADERS)


def whoami_json(broker: CredentialBroker, identity: Identity) -> dict[str, Any]:
    """Return an identity with its decision, or why there is none, as it stands in answers."""
    body: dict[str, Any] = {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "client_id": identity.client_id,
        "groups": identity.groups,
        "scopes": sorted(identity.scopes),
        "entitlements": identity.entitlements,
        "token_expires_at": rfc3339(identity.expires_at),
        "session": identity.session,
        "pod": None if identity.pod is None else pod_json(identity.pod),
        "authority": broker.authority,
        "decision": None,
        "refused": None,
    }
    try:
        decision = broker.policy.decide(identity)
    except TracedRefusalError as refusal:
        body["refused"] = {"code": refusal.code, "detail": refusal.message}
        return body | {"trace": trace_json(refusal.trace)}
    body["decision"] = decision_json(decision) | {
        "profiles": {
            profile.name: profile_json(profile, broker) for profile in broker.policy.allowed_profiles(decision)
        }
    }
    return body | {"trace": trace_json(decision.trace)}


def pod_json(pod: Pod) -> dict[str, str]:
    """Return a pod as it stands in answers."""
    return {
        "cluster": pod.cluster,
        "namespace": pod.namespace,
        "service_account": pod.service_account,
        "name": pod.name,
        "uid": pod.uid,
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as it stands in answers."""
    return {
        "rule": decision.rule,
        "dn": decision.dn,
        "account": decision.account,
        "fqans": decision.fqans,
        "scopes": decision.scopes,
        "profiles": decision.profiles,
    }


def profile_json(profile: Profile, broker: CredentialBroker) -> dict[str, Any]:
    """Return a profile as it stands in answers; lifetimes in seconds."""
    common = {
        "type": _TYPES[type(profile)],
        "lifetime": profile.lifetime,
        "min_lifetime": profile.min_lifetime,
        "max_lifetime": profile.max_lifetime,
    }
    if isinstance(profile, ProxyProfile):
        return common | {"key": profile.key.value, "limited": profile.limited, "vos": broker.vos(profile)}
    if isinstance(profile, IdTokenProfile):
        return common | {"trust_domain": profile.trust_domain, "scopes": profile.scopes}
    if isinstance(profile, AccessTokenProfile):
        return common | {"audiences": profile.audiences}
    return common


def trace_json(trace: tuple[RuleTrace, ...]) -> list[dict[str, object]]:
    """Return a trace as it stands in answers."""
    return [{"rule": entry.rule, "matched": entry.matched, "why": entry.why} for entry in trace]


def credential_json(credential: Credential) -> dict[str, object]:
    """Return a credential as it stands in answers: DNs in slash form, times RFC 3339, the serial a decimal string."""
    return {
        "pem": credential.pem.decode(),
        "subject": credential.subject,
        "identity": credential.identity,
        "account": credential.account,
        "issuer": credential.issuer,
        "not_before": rfc3339(credential.not_before),
        "not_after": rfc3339(credential.not_after),
        "fqans": credential.fqans,
        "serial": str(credential.serial),
        "profile": credential.profile,
        "shortened_by": credential.shortened_by,
    }


def rfc3339(seconds: float) -> str:
    """Return POSIX seconds in the form of RFC 3339, in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=10_000)
def _tagged_pem(serial: int) -> Mapping[str, str]:
    return {**_PEM_HEADERS, "ETag": _etag("pem", serial)}


@lru_cache(maxsize=10_000)
def _tagged_json(serial: int) -> Mapping[str, str]:
    return {**_JSON_HEADERS, "ETag": _etag("json", serial)}


def _etag(form: str, serial: int) -> str:
    """Return the tag of one form of a credential; the serial stands for bytes that cost much more to hash."""
    return f'"{hashlib.sha256(f"{form} {serial}".encode()).hexdigest()[:32]}"'


def _deadline(services: Services) -> Deadline:
    return Deadline.after(services.settings.server.deadline)


def _answer(credential: Credential, headers: Mapping[str, str]) -> web.Response:
    if headers["Content-Type"] == _JSON_TYPE:
        return web.Response(text=json.dumps(credential_json(credential)), headers=headers)
    return web.Response(body=credential.pem, headers=headers)
