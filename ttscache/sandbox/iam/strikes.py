"""Faults of the transport: how a spoiled answer leaves the server."""

import contextlib
import json
import socket
import struct
from collections.abc import Mapping

from aiohttp import web

from ttscache.sandbox.iam.faults import REPLACING, Fault
from ttscache.sandbox.iam.messages import Reply

# Well above what any client of ours reads, and little enough to be sent while a test waits.
HUGE = 4 * 1024 * 1024
ENDLESS = 256 * 1024 * 1024
_BLANKS = b" " * 65536

_HTML = "<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h1>It broke</h1></body></html>"
_BODIES = {
    "html": (_HTML, "text/html"),
    "empty": ("", "application/json"),
    "error": (json.dumps({"error": "server_error", "error_description": "It broke"}), "application/json"),
    "garbage": ('{"access_token": "ey', "application/json"),
}


async def replacement(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Send what the fault says in place of an answer."""
    if fault.reset:
        return _reset(request)
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    if fault.redirect:
        return web.Response(status=fault.status or 302, headers=headers | {"Location": fault.redirect})
    kind = fault.body if fault.body in REPLACING else "error"
    text, content_type = _BODIES[kind]
    return web.Response(status=fault.status or 200, text=text, content_type=content_type, headers=headers)


async def delivered(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    """Send the answer, with what the fault changes within it and on its way."""
    body = b"" if reply.body is None else json.dumps(_altered(reply.body, fault)).encode()
    headers = {"Content-Type": "application/json;charset=UTF-8", **reply.headers}
    match fault.body:
        case "truncated":
            return await _truncated(request, reply.status, headers, body)
        case "huge":
            return web.Response(status=reply.status, headers=headers, body=body + b" " * HUGE)
        case "endless":
            return await _endless(request, reply.status, headers, body)
        case _:
            return web.Response(status=reply.status, headers=headers, body=body)


def _altered(body: Mapping[str, object], fault: Fault) -> dict[str, object]:
    if "error" in body:
        return dict(body)
    return {name: value for name, value in {**body, **fault.answer}.items() if name not in fault.omit}


def _reset(request: web.Request) -> web.Response:
    """Cut the connection so that the client sees a reset, not an orderly end."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        # Lingering for zero seconds makes closing send RST (man 7 socket).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _truncated(request: web.Request, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _endless(request: web.Request, status: int, headers: dict[str, str], body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    # A client that has read enough hangs up, which is the end that is hoped for.
    with contextlib.suppress(ConnectionError):
        await response.write(body)
        for _ in range(ENDLESS // len(_BLANKS)):
            await response.write(_BLANKS)
    return response
