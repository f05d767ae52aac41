"""The token endpoint: token exchange (RFC 8693) into credentials, and its metadata (RFC 8414)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from ttscache.errors import AudienceRefusedError, RequestInvalidError, ScopeRefusedError, TokenMissingError
from ttscache.model import IssuedToken
from ttscache.net.deadline import Deadline
from ttscache.server.answers import NO_STORE, TOKEN_PATH, UnsupportedGrantError
from ttscache.server.asking import asker_of
from ttscache.server.parsing import first_value, from_texts, read_body, refuse_unknown, single_values
from ttscache.server.services import services_of

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
X509_PROXY_TYPE = "urn:ttscache:params:oauth:token-type:x509-proxy"
CONDOR_IDTOKEN_TYPE = "urn:ttscache:params:oauth:token-type:condor-idtoken"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret
_REQUESTABLE = (X509_PROXY_TYPE, ACCESS_TOKEN_TYPE, CONDOR_IDTOKEN_TYPE)
# what means something for proxies only
_PROXY_PARAMETERS = ("csr", "limited", "fqan")
_SUBJECT_TOKEN_TYPES = frozenset({ACCESS_TOKEN_TYPE, "urn:ietf:params:oauth:token-type:jwt"})
_REPEATABLE = {"audience", "resource"}
# a form of more parameters than anybody sends
_MAX_PARAMETERS = 100


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [
        web.get("/.well-known/oauth-authorization-server", metadata),
        web.post(TOKEN_PATH, exchange),
    ]


async def metadata(request: web.Request) -> web.StreamResponse:
    """Answer where the token endpoint is and what it can issue."""
    refuse_unknown(request.query, set(), "query parameter")
    url = services_of(request).public_url
    return web.json_response(
        {
            "issuer": url,
            "token_endpoint": url + TOKEN_PATH,
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["none"],
            "requested_token_types_supported": list(_REQUESTABLE),
        }
    )


async def exchange(request: web.Request) -> web.StreamResponse:
    """Exchange a subject token for a credential."""
    services = services_of(request)
    deadline = Deadline.after(services.settings.server.deadline)
    fields = _fields(request, await read_body(request, deadline))
    token = _subject_token(fields)
    wanted = from_texts(fields)
    asker = await asker_of(request, services, token, deadline)
    requested = first_value(fields, "requested_token_type")
    if requested == CONDOR_IDTOKEN_TYPE:
        return _token_answer(await services.broker.issue_idtoken(asker, wanted, deadline), requested, "N_A")
    if requested == ACCESS_TOKEN_TYPE:
        return _token_answer(await services.access_tokens.issue(asker, wanted, deadline), requested, "Bearer")
    credential = await services.broker.issue(asker, wanted, deadline)
    shortened = credential.shortened_by
    return _answer(_body(credential.pem.decode(), X509_PROXY_TYPE, "N_A", credential.not_after), shortened)


def _token_answer(issued: IssuedToken, kind: str, token_type: str) -> web.Response:
    body = _body(issued.token, kind, token_type, issued.not_after)
    return _answer({**body, "scope": " ".join(issued.scopes)}, issued.shortened_by)


def _body(issued: str, kind: str, token_type: str, not_after: float) -> dict[str, object]:
    """Return what RFC 8693 section 2.2.1 wants; `N_A` is for what is no bearer token."""
    return {
        "access_token": issued,
        "issued_token_type": kind,
        "token_type": token_type,
        "expires_in": max(0, int(not_after - time.time())),
    }


def _answer(body: Mapping[str, object], shortened_by: tuple[str, ...]) -> web.Response:
    shortened = {"shortened_by": shortened_by} if shortened_by else {}
    return web.json_response({**body, **shortened}, headers={**NO_STORE, "Pragma": "no-cache"})  # RFC 6749 section 5.1


def _fields(request: web.Request, body: bytes) -> dict[str, list[str]]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestInvalidError("the body must be form-encoded (application/x-www-form-urlencoded)")
    try:
        items = parse_qsl(
            body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise RequestInvalidError("the body is not form-encoded") from None
    return single_values(items, repeatable=_REPEATABLE)


def _subject_token(fields: dict[str, list[str]]) -> str:
    """Check the parameters of RFC 8693 section 2.1 and return the subject token."""
    grant, kind, requested, token = (
        first_value(fields, name)
        for name in ("grant_type", "subject_token_type", "requested_token_type", "subject_token")
    )
    if grant != GRANT_TYPE:
        raise UnsupportedGrantError(f"`grant_type` must be {GRANT_TYPE}")
    if first_value(fields, "actor_token") or first_value(fields, "actor_token_type"):
        raise RequestInvalidError("delegation is not supported: there must be no `actor_token`")
    if token is None:
        raise TokenMissingError("the parameter `subject_token` is missing")
    if kind not in _SUBJECT_TOKEN_TYPES:
        raise RequestInvalidError("`subject_token_type` must be one of " + ", ".join(sorted(_SUBJECT_TOKEN_TYPES)))
    if requested not in {None, *_REQUESTABLE}:
        raise RequestInvalidError("`requested_token_type` must be one of " + ", ".join(_REQUESTABLE))
    is_proxy = requested in {None, X509_PROXY_TYPE}
    if not is_proxy and any(first_value(fields, name) for name in _PROXY_PARAMETERS):
        raise RequestInvalidError("`csr`, `limited` and `fqan` are for proxies")
    if requested != ACCESS_TOKEN_TYPE:
        _require_unbound(fields)
    return token.strip()  # a file's last newline is easily sent along


def _require_unbound(fields: dict[str, list[str]]) -> None:
    # what cannot be narrowed must not be given out as if it were
    if first_value(fields, "audience") or first_value(fields, "resource"):
        raise AudienceRefusedError("neither an X.509 proxy nor an IDTOKEN can be bound to an audience or resource")
    if first_value(fields, "scope"):
        raise ScopeRefusedError("an X.509 proxy cannot be bound to scopes, and those of an IDTOKEN are its profile's")
