"""A network that misbehaves on demand: a TCP proxy on loopback between a client and a server.

What goes wrong is a mode, switched by assignment, and it takes effect at once, also for what is on its way:

    async with FaultProxy(port) as proxy:
        proxy.mode = Latency(0.2)

It runs in the event loop of the test. A server that is not there looks like one that resets connections; a connection
may be reset while the client still waits for it to be made.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
from dataclasses import dataclass, replace
from typing import Self

_CHUNK = 65536
_TICK = 0.01


@dataclass(frozen=True, slots=True)
class Pass:
    """Forward everything."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Let a round trip take so much longer, half of it on each way."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Rate:
    """Forward no faster than this, on each connection and in each direction."""

    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connections that there are, and each new one as soon as it is accepted."""


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Accept connections, and forward nothing; in the next mode what was held goes on, as after a partition."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reset the connections that there are, and do not listen."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Forward in pieces of one byte, of two, and so on up to ``most``, and again."""

    most: int = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """Reset a connection after so many more bytes toward the client, counted over all; then go on in another mode."""

    after: int = 0
    then: "Mode" = Pass()


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Flip the bits of one byte toward the client, after so many right ones counted over all; then pass."""

    after: int = 0


Mode = Pass | Latency | Rate | Reset | Blackhole | Refuse | Slice | Cut | Corrupt


def bound(port: int = 0) -> socket.socket:
    """Return a socket that is bound and does not listen: its port stays refused, and the kernel gives it to nobody.

    Who names the port, and reuses addresses as servers do, can listen on it nevertheless.
    """
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made


def _linger(connection: socket.socket, *, reset: bool) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", int(reset), 0))


class FaultProxy:
    """Forwards from a port of its own to the server's, as the mode says."""

    def __init__(self, server_port: int) -> None:
        self.accepted = 0
        self._server_port = server_port
        self._mode: Mode = Pass()
        self._changed = asyncio.Event()
        self._sizes = itertools.count()
        self._links: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._reserved = bound()
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._refuse()
        await asyncio.gather(*self._reset(), return_exceptions=True)
        self._reserved.close()

    @property
    def port(self) -> int:
        """The port for clients, the same from the beginning to the end."""
        return int(self._reserved.getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections there are; ``accepted`` is how many there have ever been."""
        return len(self._links)

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if isinstance(mode, Refuse):
            self._refuse()
        elif self._listener is None:
            self._listen()
        if isinstance(mode, Reset | Refuse):
            self._reset()

    def _listen(self) -> None:
        self._listener = bound(self.port)
        self._listener.settimeout(0)
        self._listener.listen(128)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _reset(self) -> list[asyncio.Task[None]]:
        ended = list(self._links)
        for link in ended:
            link.cancel()
        return ended

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it went away before its turn
            return
        self.accepted += 1
        # from its first moment on, to be closed is to be reset, unless both sides end in order
        _linger(client, reset=True)
        if isinstance(self._mode, Reset):
            client.close()
            return
        link = self._loop.create_task(self._link(client))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        # a task that is cancelled before its first step never comes to close anything
        link.add_done_callback(lambda _: client.close())

    async def _link(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            _linger(server, reset=True)
            for end in (client, server):
                end.settimeout(0)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await self._loop.sock_connect(server, ("127.0.0.1", self._server_port))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(client, server, answers=False))
                    both.create_task(self._pump(server, client, answers=True))
                for end in (client, server):
                    _linger(end, reset=False)
            except* OSError:
                pass  # whatever it was: both sides are reset

    async def _pump(self, source: socket.socket, sink: socket.socket, *, answers: bool) -> None:
        while data := await self._loop.sock_recv(source, _CHUNK):
            await self._forward(data, sink, answers=answers)
        while await self._held(0):
            pass
        sink.shutdown(socket.SHUT_WR)

    async def _forward(self, data: bytes, sink: socket.socket, *, answers: bool) -> None:
        while data:
            size = self._size(len(data))
            if await self._held(size):
                continue  # in another mode by now
            piece, data = data[:size], data[size:]
            mode = self._mode
            if answers and isinstance(mode, Cut) and mode.after <= size:
                self._mode = Pass()
                await self._loop.sock_sendall(sink, piece[: mode.after])
                self.mode = mode.then
                raise ConnectionResetError
            await self._loop.sock_sendall(sink, self._counted(piece) if answers else piece)

    def _size(self, length: int) -> int:
        """How much of so many bytes goes at once."""
        match self._mode:
            case Slice(most):
                return min(length, next(self._sizes) % most + 1)
            case Rate(bytes_per_second):
                return min(length, max(1, int(bytes_per_second * _TICK)))
            case _:
                return length

    async def _held(self, size: int) -> bool:
        """Wait as long as the mode holds so many bytes; whether the mode was changed meanwhile."""
        changed = self._changed
        pause: float | None
        match self._mode:
            case Latency(seconds):
                pause = seconds / 2
            case Rate(bytes_per_second):
                pause = size / bytes_per_second
            case Blackhole():
                pause = None
            case _:
                await asyncio.sleep(0)  # others have their turn between two pieces
                return changed.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await changed.wait()
        return changed.is_set()

    def _counted(self, piece: bytes) -> bytes:
        """Count what goes toward the client, and corrupt the byte whose turn it is."""
        match self._mode:
            case Corrupt(after) if after < len(piece):
                self._mode = Pass()
                return piece[:after] + bytes([piece[after] ^ 0xFF]) + piece[after + 1 :]
            case (Cut(after) | Corrupt(after)) as mode:
                self._mode = replace(mode, after=after - len(piece))
        return piece
