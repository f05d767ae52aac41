"""What is around every handler: a request's id, its errors' answers, its log line."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from ttscache.errors import NotFoundError, RequestInvalidError, RequestTooLargeError, TtsError
from ttscache.server.answers import MethodNotAllowedError, error_answer
from ttscache.server.logs import request_id

_log = logging.getLogger(__name__)
_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
# Of what went well one line in so many: ten thousand pods' fetches would bury what did not.
_SAMPLE = 100
_ERROR = 400


async def edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Run a handler; every answer leaves with a request id, every error as the one table has it."""
    given = request.headers.get("X-Request-ID")
    drawn = random.getrandbits(64)  # no secret
    current = given if given and _GIVEN_ID.match(given) else f"{drawn:016x}"
    request_id.set(current)
    started = time.monotonic()
    code = None
    try:
        response = await handler(request)
    except TtsError as error:
        code = error.code
        response = error_answer(error, request.path, current)
    except web.HTTPException as error:
        translated = _translated(error)
        code = None if translated is None else translated.code
        response = error_answer(translated, request.path, current)
    except Exception as error:
        if request.transport is None and isinstance(error, ConnectionError):
            _log.info("caller_gone")
            raise
        # whatever it is, the caller gets an answer and the log has its place
        _log.exception("request_failed")
        response = error_answer(None, request.path, current)
    response.headers["X-Request-ID"] = current
    response.headers["Server"] = "ttscache"  # aiohttp would name all versions
    if response.status >= _ERROR or drawn % _SAMPLE == 0:
        _log_request(request, response.status, code, started)
    return response


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


def _log_request(request: web.Request, status: int, code: str | None, started: float) -> None:
    resource = request.match_info.route.resource
    _log.info(
        "request",
        extra={
            "method": request.method,
            # not what was asked for: people paste tokens into URLs
            "path": None if resource is None else resource.canonical,
            "status": status,
            "code": code,
            "peer": request.remote,
            "seconds": round(time.monotonic() - started, 4),
        },
    )
