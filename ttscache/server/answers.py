"""The one table that turns errors into answers: RFC 6749 bodies at the token endpoint, RFC 9457 problems elsewhere."""

from __future__ import annotations

import json
import math
from http import HTTPStatus

from aiohttp import web

from ttscache.errors import (
    AudienceRefusedError,
    BadRequestError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RequestTooLargeError,
    ScopeRefusedError,
    SubjectRevokedError,
    TokenError,
    TtsError,
    UnavailableError,
)


class GoneError(SubjectRevokedError):
    """Who asks is revoked, told in the way of clients that remove what they have at this status alone."""


TOKEN_PATH = "/token"  # noqa: S105 - a path
_STATUSES: tuple[tuple[type[TtsError], HTTPStatus], ...] = (
    (GoneError, HTTPStatus.NOT_FOUND),
    (RateLimitedError, HTTPStatus.TOO_MANY_REQUESTS),
    (TokenError, HTTPStatus.UNAUTHORIZED),
    (RefusedError, HTTPStatus.FORBIDDEN),
    (BadRequestError, HTTPStatus.BAD_REQUEST),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (RequestTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
)
INTERNAL_CODE = "internal"
NO_STORE = {"Cache-Control": "no-store"}


class MethodNotAllowedError(BadRequestError):
    """The path exists, with other methods."""

    code = "request_invalid"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"the path takes {allowed} only")
        self.allowed = allowed


class UnsupportedGrantError(BadRequestError):
    """Another grant than token exchange (RFC 6749 section 5.2)."""

    code = "request_invalid"


def error_answer(error: TtsError | None, path: str, request_id: str) -> web.Response:
    """Return the answer to an error; None stands for a fault of ours, of which nothing is told."""
    status = _status(error)
    code = INTERNAL_CODE if error is None else error.code
    detail = "a fault of the daemon's; its log has more under this request id" if error is None else error.message
    if path == TOKEN_PATH:
        status = _token_endpoint_status(status)
        body: dict[str, str | int] = {"error": _oauth_error(error, status), "error_description": detail}
        content_type = "application/json"
    else:
        body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
        content_type = "application/problem+json"
    body |= {"code": code, "request_id": request_id}
    headers = {**NO_STORE, "X-Request-ID": request_id, **_headers(error, status)}
    return web.Response(status=status, text=json.dumps(body), content_type=content_type, headers=headers)


def _status(error: TtsError | None) -> HTTPStatus:
    if error is None:
        return HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, MethodNotAllowedError):
        return HTTPStatus.METHOD_NOT_ALLOWED
    if isinstance(error, RequestTooLargeError) and error.headers:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def _token_endpoint_status(status: HTTPStatus) -> HTTPStatus:
    """A bad or refused subject token is a 400 there (RFC 8693 section 2.2.2): 401 speaks of client authentication."""
    refused = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return HTTPStatus.BAD_REQUEST if refused else status


def _oauth_error(error: TtsError | None, status: HTTPStatus) -> str:
    if isinstance(error, UnsupportedGrantError):
        return "unsupported_grant_type"
    if isinstance(error, AudienceRefusedError):
        return "invalid_target"
    if isinstance(error, ScopeRefusedError):
        return "invalid_scope"
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return "temporarily_unavailable"
    return "server_error" if error is None else "invalid_request"


def _headers(error: TtsError | None, status: HTTPStatus) -> dict[str, str]:
    if isinstance(error, UnavailableError):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if isinstance(error, MethodNotAllowedError):
        return {"Allow": error.allowed}
    if isinstance(error, TokenError) and status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750 section 3.1: no error code when no token was presented
        reason = "" if error.code == "token_missing" else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="ttscache"{reason}'}
    return {}
