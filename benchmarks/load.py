"""A load generator that costs far less than what it loads: raw keep-alive connections to loopback, bounded in time."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# returns the body of the answer
Send = Callable[[bytes], Awaitable[bytes]]

_HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\AHTTP/1.1 200 .*\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE | re.DOTALL)
# Above the round's own end: a server that hangs ends the run.
_PATIENCE = 15.0


def request_for(token: str, *more: str, path: str = "/v1/proxy") -> bytes:
    """Return the bytes of the request for a proxy; ``more`` are further headers."""
    fields = [f"Host: {_HOST}", f"Authorization: Bearer {token}", "User-Agent: benchmark", "Accept: */*", *more]
    return "\r\n".join([f"GET {path} HTTP/1.1", *fields, "\r\n"]).encode()


def post_for(token: str, body: bytes, *more: str) -> bytes:
    """Return the bytes of the request for a proxy with a JSON body; ``more`` are further headers."""
    return post("/v1/proxy", body, f"Authorization: Bearer {token}", *more)


def post(path: str, body: bytes, *more: str) -> bytes:
    """Return the bytes of a request with a JSON body; ``more`` are further headers."""
    fields = [f"Host: {_HOST}", "User-Agent: benchmark", "Accept: */*", "Content-Type: application/json"]
    lines = [f"POST {path} HTTP/1.1", *fields, f"Content-Length: {len(body)}", *more, "\r\n"]
    return "\r\n".join(lines).encode() + body


@dataclass
class _Round:
    requests: Iterator[bytes]
    answers: int = 0
    over: bool = False
    failed: str | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    open_connections: int = 0


class _Connection(asyncio.Protocol):
    """Sends the next request when an answer is complete, until the round is over."""

    def __init__(self, round_: _Round) -> None:
        self._round = round_
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are of types of its own
        self._transport = cast("asyncio.Transport", transport)
        self._round.open_connections += 1
        self._transport.write(next(self._round.requests))

    def data_received(self, data: bytes) -> None:
        if self._missing == 0:
            try:
                self._missing = _answer_length(data)
            except ValueError as error:
                self._round.failed = str(error)
                self._transport.abort()
                return
        self._missing -= len(data)
        if self._missing > 0:
            return
        self._round.answers += 1
        if self._round.over:
            self._transport.close()
        else:
            self._transport.write(next(self._round.requests))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why is the same to us
        if not self._round.over:
            self._round.failed = self._round.failed or "a connection ended early"
        self._round.open_connections -= 1
        if self._round.open_connections == 0:
            self._round.closed.set()


def _answer_length(data: bytes) -> int:
    """Return how long the answer is that begins here; its head comes in one piece on loopback.

    Raises ValueError for another than a 200.
    """
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, end + 2)
    if length is None or not data.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"an answer is not the one that is measured: {data[:200]!r}")
    return end + 4 + int(length[1])


async def load(port: int, *requests: bytes, connections: int, seconds: float) -> tuple[int, float]:
    """Send these requests over and over on so many connections; return how many answers came, in how many seconds."""
    loop = asyncio.get_running_loop()
    round_ = _Round(cycle(requests))
    started = loop.time()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(round_), _HOST, port)
    await asyncio.sleep(seconds)
    round_.over = True
    async with asyncio.timeout(_PATIENCE):
        await round_.closed.wait()
    if round_.failed is not None:
        raise RuntimeError(round_.failed)
    return round_.answers, loop.time() - started


async def fetch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[bytes, bytes]:
    """Ask once on an open connection; return head and body of the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if _CHUNKED.search(head):
        return head, await _chunks(reader)
    return head, await reader.readexactly(_answer_length(head) - len(head))


async def keeping(port: int, number: int) -> list[Send]:
    """Return as many ways to ask, each on a connection that it keeps."""
    return [_on(await connect(port)) for _ in range(number)]


def _on(connection: Connection) -> Send:
    async def send(request: bytes) -> bytes:
        return (await fetch(*connection, request))[1]

    return send


async def fetch_once(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Ask on a connection of its own; return the answer's body."""
    reader, writer = await connect(port, tls=tls)
    _, body = await fetch(reader, writer, request)
    writer.close()
    await writer.wait_closed()
    return body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Return a body that comes in pieces of its own framing (RFC 9112 section 7.1), without trailers."""
    body = b""
    while length := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(length + 2))[:-2]
    await reader.readexactly(2)
    return body


async def connect(port: int, *, tls: ssl.SSLContext | None = None) -> Connection:
    """Open a connection to a loopback port."""
    return await asyncio.open_connection(_HOST, port, ssl=tls)
