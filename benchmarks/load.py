"""A load generator that costs far less than what it loads: raw keep-alive connections to loopback, bounded in time."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import cast

_HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
# Above the round's own end: a server that hangs ends the run.
_PATIENCE = 15.0


def request_for(token: str) -> bytes:
    """Return the bytes of the request for a proxy."""
    head = f"GET /v1/proxy HTTP/1.1\r\nHost: {_HOST}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}User-Agent: benchmark\r\nAccept: */*\r\n\r\n".encode()


@dataclass
class _Round:
    request: bytes
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
        self._transport.write(self._round.request)

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
            self._transport.write(self._round.request)

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


async def load(port: int, request: bytes, *, connections: int, seconds: float) -> tuple[int, float]:
    """Ask over and over on so many connections; return the number of answers, and in how many seconds."""
    loop = asyncio.get_running_loop()
    round_ = _Round(request)
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
    return head, await reader.readexactly(_answer_length(head) - len(head))


async def connect(port: int, *, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a loopback port."""
    return await asyncio.open_connection(_HOST, port, ssl=tls)
