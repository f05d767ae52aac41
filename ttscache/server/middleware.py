"""What is around every handler: a request's id, its errors' answers, its log line."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache

from aiohttp import web
from prometheus_client import Counter

from ttscache.errors import NotFoundError, OverloadedError, RequestInvalidError, RequestTooLargeError, TtsError
from ttscache.metrics import REFUSALS, REQUESTS
from ttscache.server.answers import MethodNotAllowedError, error_answer
from ttscache.server.logs import request_id
from ttscache.server.services import Current

_log = logging.getLogger(__name__)
_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
# Of what went well one line in so many: ten thousand pods' fetches would bury what did not.
_SAMPLE = 100
_ERROR = 400
# Ten thousand pods may start at once, and some come twice; each waits with some 20 KB of memory.
_MAX_IN_FLIGHT = 15_000
_ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})


async def edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], current: Current
) -> web.StreamResponse:
    """Run a handler; every answer leaves with a request id, every error as the one table has it."""
    given = request.headers.get("X-Request-ID")
    drawn = random.getrandbits(64)  # no secret
    this = given if given and _GIVEN_ID.match(given) else f"{drawn:016x}"
    request_id.set(this)
    started = time.monotonic()
    code = None
    current.in_flight += 1
    try:
        _require_room(request, current)
        response = await handler(request)
    except TtsError as error:
        code = error.code
        response = error_answer(error, request.path, this)
    except web.HTTPException as error:
        translated = _translated(error)
        code = None if translated is None else translated.code
        response = error_answer(translated, request.path, this)
    except Exception as error:
        if request.transport is None and isinstance(error, ConnectionError):
            _log.info("caller_gone")
            raise
        # whatever it is, the caller gets an answer and the log has its place
        _log.exception("request_failed")
        response = error_answer(None, request.path, this)
    finally:
        current.in_flight -= 1
    response.headers["X-Request-ID"] = this
    response.headers["Server"] = "ttscache"  # aiohttp would name all versions
    _count(_route(request), response.status).inc()
    if code is not None:
        REFUSALS.labels(code).inc()
    if response.status >= _ERROR or drawn % _SAMPLE == 0:
        _log_request(request, response.status, code, started)
    return response


def _require_room(request: web.Request, current: Current) -> None:
    if current.in_flight > _MAX_IN_FLIGHT and request.path not in _ALWAYS:
        raise OverloadedError("too many requests are under way already; try again", retry_after=5.0)


def _translated(error: web.HTTPException) -> TtsError | None:
    if isinstance(error, web.HTTPNotFound):
        return NotFoundError("nothing is at this path")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowedError(", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPExpectationFailed):
        return RequestInvalidError("of `Expect` only `100-continue` is understood")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return RequestTooLargeError("the request's body is larger than anything that is read here")
    if error.status < 500:  # noqa: PLR2004 - a client's error of a kind that no handler of ours raises
        return RequestInvalidError("the request is malformed")
    return None


@lru_cache(maxsize=1000)
def _count(route: str | None, status: int) -> Counter:
    return REQUESTS.labels(route or "none", str(status))


def _route(request: web.Request) -> str | None:
    """Return the path as it is written here, not what was asked for: people paste tokens into URLs."""
    match = request._match_info  # None while nothing has looked for the route
    resource = None if match is None else match.route.resource
    return None if resource is None else resource.canonical


def _log_request(request: web.Request, status: int, code: str | None, started: float) -> None:
    _log.info(
        "request",
        extra={
            "method": request.method,
            "path": _route(request),
            "status": status,
            "code": code,
            "peer": request.remote,
            "seconds": round(time.monotonic() - started, 4),
        },
    )
