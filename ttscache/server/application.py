"""The application of all audiences, and the protocol under it, whose own errors are ours too."""

from __future__ import annotations

import logging
import secrets
from functools import partial
from types import ModuleType

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from ttscache.errors import RequestInvalidError, RequestTooLargeError, TtsError
from ttscache.server import (
    admin,
    credentials,
    legacy,
    monitoring,
    openapi,
    probes,
    redeem,
    token_endpoint,
    trust,
)
from ttscache.server.admin_access import ON_SOCKET
from ttscache.server.answers import error_answer
from ttscache.server.logs import request_id
from ttscache.server.middleware import edge
from ttscache.server.parsing import MAX_BODY_BYTES
from ttscache.server.services import CURRENT, Current

_log = logging.getLogger(__name__)
# A bearer token of 16 KiB, with room to be told apart from garbage.
_MAX_HEADER_BYTES = 24 * 1024
_MAX_REQUEST_LINE = 8 * 1024
_BAD_REQUEST = 400
_KEEP_ALIVE_SECONDS = 75.0


def application(current: Current) -> web.Application:
    """Return the application of the network's listener."""
    return _application(current, (token_endpoint, credentials, redeem, trust, probes, monitoring, openapi, admin))


def admin_application(current: Current) -> web.Application:
    """Return the application of the administrators' unix socket."""
    return _application(current, (probes, monitoring, openapi, admin), on_socket=True)


def legacy_application(current: Current) -> web.Application:
    """Return the application of the listener for old worker images."""
    return _application(current, (legacy,))


def _application(current: Current, audiences: tuple[ModuleType, ...], *, on_socket: bool = False) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[CURRENT] = current
    app[ON_SOCKET] = on_socket
    for audience in audiences:
        app.add_routes(audience.routes())
    return app


class Runner(web.AppRunner):
    """aiohttp's runner, with bounds on headers, without its access log, and with our protocol errors."""

    def __init__(self, app: web.Application, shutdown_timeout: float) -> None:
        self._current = app[CURRENT]
        super().__init__(
            app,
            access_log=None,
            max_line_size=_MAX_REQUEST_LINE,
            max_field_size=_MAX_HEADER_BYTES,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=shutdown_timeout,
            # a body counts as it was sent: unpacked, a few bytes could stand for any number
            auto_decompress=False,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        # around all of aiohttp's application: its middlewares are costlier, and not asked about a bad `Expect`
        handler = partial(edge, handler=made.request_handler, current=self._current)
        return _Server(handler, request_factory=made.request_factory, **made._kwargs)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    """Requests that do not even parse get the same answers; aiohttp would log and echo what they hold."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may repeat what was sent, a token too
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer has been sent already")
        error: TtsError | None = None
        if _is_too_large(exc):
            error = RequestTooLargeError("headers or request line are larger than anything read here", headers=True)
        elif status == _BAD_REQUEST:
            error = RequestInvalidError("not a request in HTTP")
        current = secrets.token_hex(8)
        request_id.set(current)
        # a caller that went away is no fault of anybody's here
        ours = error is None and not isinstance(exc, ConnectionError)
        level = logging.ERROR if ours else logging.INFO
        _log.log(level, "protocol_error", extra={"exception": type(exc).__name__, "peer": request.remote})
        response = error_answer(error, request.path, current)
        response.force_close()
        return response


def _is_too_large(error: BaseException | None) -> bool:
    # too many headers have no type of their own
    return isinstance(error, LineTooLong) or (
        isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers")
    )
