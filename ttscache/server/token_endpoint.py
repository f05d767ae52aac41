"""The token endpoint: token exchange (RFC 8693) into credentials, and its metadata (RFC 8414)."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from aiohttp import web

from ttscache.errors import RequestInvalidError, TokenMissingError
from ttscache.net.deadline import Deadline
from ttscache.server.answers import (
    NO_STORE,
    TOKEN_PATH,
    InvalidScopeError,
    InvalidTargetError,
    UnsupportedGrantError,
)
from ttscache.server.parsing import from_texts, read_body, refuse_unknown, single_values
from ttscache.server.services import services_of

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
X509_PROXY_TYPE = "urn:ttscache:params:oauth:token-type:x509-proxy"
_SUBJECT_TOKEN_TYPES = frozenset(
    {"urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"}
)
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
            "requested_token_types_supported": [X509_PROXY_TYPE],
        }
    )


async def exchange(request: web.Request) -> web.StreamResponse:
    """Exchange a subject token for a credential."""
    services = services_of(request)
    deadline = Deadline.after(services.settings.server.deadline)
    fields = _fields(request, await read_body(request, deadline))
    token = _subject_token(fields)
    wanted = from_texts(fields)
    identity = await services.verifier.verify(token, deadline)
    credential = await services.broker.issue(identity, token, wanted, deadline)
    return web.json_response(
        {
            "access_token": credential.pem.decode(),
            "issued_token_type": X509_PROXY_TYPE,
            "token_type": "N_A",
            "expires_in": max(0, int(credential.not_after - time.time())),
        },
        headers={**NO_STORE, "Pragma": "no-cache"},  # RFC 6749 section 5.1
    )


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
    given = {name: [value for value in values if value] for name, values in fields.items()}
    grant, kind, requested = (
        next(iter(given.get(name, [])), None) for name in ("grant_type", "subject_token_type", "requested_token_type")
    )
    if grant != GRANT_TYPE:
        raise UnsupportedGrantError(f"`grant_type` must be {GRANT_TYPE}")
    if given.get("actor_token") or given.get("actor_token_type"):
        raise RequestInvalidError("delegation is not supported: there must be no `actor_token`")
    if not given.get("subject_token"):
        raise TokenMissingError("the parameter `subject_token` is missing")
    if kind not in _SUBJECT_TOKEN_TYPES:
        raise RequestInvalidError("`subject_token_type` must be one of " + ", ".join(sorted(_SUBJECT_TOKEN_TYPES)))
    if requested not in {None, X509_PROXY_TYPE}:
        raise RequestInvalidError(f"`requested_token_type` must be {X509_PROXY_TYPE}")
    # what cannot be narrowed must not be given out as if it were
    if given.get("audience") or given.get("resource"):
        raise InvalidTargetError("an X.509 proxy cannot be bound to an audience or resource")
    if given.get("scope"):
        raise InvalidScopeError("an X.509 proxy cannot be bound to scopes")
    return given["subject_token"][0].strip()  # a file's last newline is easily sent along
