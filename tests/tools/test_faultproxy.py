"""The proxy does to connections what its modes say."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.tools.faultproxy import (
    Blackhole,
    Corrupt,
    Cut,
    FaultProxy,
    Latency,
    Mode,
    Pass,
    Rate,
    Refuse,
    Reset,
    Slice,
    bound,
)

SOON = 5.0
# long enough that something which is not held would have come
A_WHILE = 0.05


class Client:
    """A connection through the proxy to a server that says everything again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, words: bytes) -> bytes:
        self.writer.write(words)
        return await self.hear(len(words))

    async def hear(self, length: int) -> bytes:
        async with asyncio.timeout(SOON):
            return await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """What still comes; raises ConnectionResetError where that is how it ends."""
        heard = b""
        async with asyncio.timeout(SOON):
            while piece := await self.reader.read(1):
                heard += piece
        return heard

    async def hears_nothing(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), A_WHILE)
        except TimeoutError:
            return True
        return False

    async def is_reset(self) -> bool:
        with pytest.raises(ConnectionResetError):
            await self.rest()
        return True


class Echo:
    """The server, which keeps what it read at a time, and the proxy before it."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.clients: list[Client] = []
        self.answering = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answering += 1
        try:
            while data := await reader.read(65536):
                self.read.append(data)
                writer.write(data)
                await writer.drain()
        except ConnectionResetError:
            self.read.append(b"reset")
        finally:
            self.answering -= 1
            writer.close()

    async def client(self, proxy: FaultProxy) -> Client:
        made = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
        self.clients.append(made)
        return made


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    yield made
    for client in made.clients:
        client.writer.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(echo.answer, "127.0.0.1", 0)
    async with server:
        async with FaultProxy(server.sockets[0].getsockname()[1]) as running:
            yield running
        await until(lambda: not echo.answering)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not reached():  # noqa: ASYNC110 - the proxy tells no one when a connection has ended
            await asyncio.sleep(0.001)


def mode_of(proxy: FaultProxy) -> Mode:
    """Ask for the mode anew: it changes by itself, which a type checker does not expect of an attribute."""
    return proxy.mode


async def test_everything_passes(proxy: FaultProxy, echo: Echo) -> None:
    client, other = await echo.client(proxy), await echo.client(proxy)
    words = bytes(range(256)) * 4000
    assert await client.say(words) == words
    assert await other.say(b"more") == b"more"
    assert (proxy.connections, proxy.accepted) == (2, 2)
    client.writer.write_eof()
    assert await client.rest() == b""
    other.writer.close()
    await until(lambda: not proxy.connections)
    assert proxy.accepted == 2
    assert b"reset" not in echo.read


async def test_latency(proxy: FaultProxy, echo: Echo) -> None:
    client = await echo.client(proxy)
    proxy.mode = Latency(0.1)
    begun = time.monotonic()
    assert await client.say(b"word") == b"word"
    assert 0.1 <= time.monotonic() - begun < SOON


async def test_rate(proxy: FaultProxy, echo: Echo) -> None:
    client = await echo.client(proxy)
    proxy.mode = Rate(20_000)
    begun = time.monotonic()
    await client.say(b"w" * 2000)
    assert 0.1 <= time.monotonic() - begun < SOON


@pytest.mark.parametrize("mode", [Latency(3600), Rate(0.001), Blackhole()], ids=lambda mode: type(mode).__name__)
async def test_what_is_held_goes_on_in_the_next_mode(proxy: FaultProxy, echo: Echo, mode: Mode) -> None:
    client = await echo.client(proxy)
    assert await client.say(b"before") == b"before"
    proxy.mode = mode
    client.writer.write(b"word")
    assert await client.hears_nothing()
    assert echo.read == [b"before"]
    proxy.mode = Pass()
    assert await client.hear(4) == b"word"


async def test_a_black_hole_takes_new_connections_and_hides_ends(proxy: FaultProxy, echo: Echo) -> None:
    old = await echo.client(proxy)
    await old.say(b"word")
    proxy.mode = Blackhole()
    new = await echo.client(proxy)
    new.writer.write(b"word")
    old.writer.write_eof()
    assert await new.hears_nothing()
    assert await old.hears_nothing()
    assert echo.read == [b"word"]
    proxy.mode = Pass()
    assert await old.rest() == b""
    assert await new.hear(4) == b"word"


async def test_a_black_hole_can_be_reset(proxy: FaultProxy, echo: Echo) -> None:
    proxy.mode = Blackhole()
    client = await echo.client(proxy)
    client.writer.write(b"word")
    assert await client.hears_nothing()
    proxy.mode = Reset()
    assert await client.is_reset()
    assert echo.read in ([], [b"reset"])


async def test_reset(proxy: FaultProxy, echo: Echo) -> None:
    old = await echo.client(proxy)
    await old.say(b"word")
    proxy.mode = Reset()
    assert await old.is_reset()
    with pytest.raises(ConnectionResetError):  # now or a moment later
        await (await echo.client(proxy)).rest()
    assert (proxy.connections, proxy.accepted) == (0, 2)
    proxy.mode = Pass()
    assert await (await echo.client(proxy)).say(b"again") == b"again"
    assert echo.read == [b"word", b"reset", b"again"]


async def test_refuse_and_back_on_the_same_port(proxy: FaultProxy, echo: Echo) -> None:
    old = await echo.client(proxy)
    await old.say(b"word")
    port = proxy.port
    for _ in range(2):
        proxy.mode = Refuse()
        with pytest.raises(ConnectionRefusedError):
            await echo.client(proxy)
        proxy.mode = Pass()
        assert await (await echo.client(proxy)).say(b"again") == b"again"
    assert await old.is_reset()
    assert proxy.port == port


@pytest.mark.parametrize("most", [1, 3])
async def test_slices(proxy: FaultProxy, echo: Echo, most: int) -> None:
    client = await echo.client(proxy)
    proxy.mode = Slice(most)
    words = bytes(range(100))
    assert await client.say(words) == words
    assert b"".join(echo.read) == words
    assert len(echo.read) > 10


@pytest.mark.parametrize("after", [0, 1, 9, 10])
async def test_a_cut_comes_after_so_many_bytes_and_once(proxy: FaultProxy, echo: Echo, after: int) -> None:
    client = await echo.client(proxy)
    proxy.mode = Cut(after)
    client.writer.write(b"0123456789")
    assert await client.hear(after) == b"0123456789"[:after]
    assert await client.is_reset()
    assert echo.read[0] == b"0123456789"
    assert mode_of(proxy) == Pass()
    again = await echo.client(proxy)
    assert await again.say(b"word") == b"word"


async def test_a_cut_counts_over_several_answers(proxy: FaultProxy, echo: Echo) -> None:
    client = await echo.client(proxy)
    proxy.mode = Cut(10)
    assert await client.say(b"word") == b"word"
    assert mode_of(proxy) == Cut(6)
    client.writer.write(b"more words")
    assert await client.hear(6) == b"more w"
    assert await client.is_reset()


async def test_after_a_cut_the_server_may_be_gone(proxy: FaultProxy, echo: Echo) -> None:
    client, other = await echo.client(proxy), await echo.client(proxy)
    await other.say(b"word")
    proxy.mode = Cut(2, then=Refuse())
    client.writer.write(b"word")
    assert await client.hear(2) == b"wo"
    assert await client.is_reset()
    assert await other.is_reset()
    with pytest.raises(ConnectionRefusedError):
        await echo.client(proxy)


async def test_one_byte_is_corrupted(proxy: FaultProxy, echo: Echo) -> None:
    client = await echo.client(proxy)
    proxy.mode = Corrupt(6)
    assert await client.say(b"\x00" * 4) == b"\x00" * 4
    assert await client.say(b"\x00" * 4) == b"\x00\x00\xff\x00"
    assert await client.say(b"\x00" * 4) == b"\x00" * 4
    assert set(b"".join(echo.read)) == {0}


async def test_a_server_that_is_not_there() -> None:
    with bound() as nobody:
        async with FaultProxy(nobody.getsockname()[1]) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await Client(reader, writer).is_reset()
            writer.close()
