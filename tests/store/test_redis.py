"""Redis beyond the common suite: a real server that is set up badly, goes away, comes back, or answers nobody."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.crc import key_slot

from tests.store.benches import address_of
from tests.tools.faultproxy import Blackhole, Cut, FaultProxy, Latency, Pass
from tests.tools.redis import RedisServer
from ttscache.errors import StoreMisconfiguredError, StoreUnavailableError
from ttscache.store import redis as redis_module
from ttscache.store.base import ABSENT, ConflictError, Store
from ttscache.store.redis import RedisStore
from ttscache.store.redis_address import RedisAddress

LATER = 4_000_000_000.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(persistent=True) as running:
        yield running


@asynccontextmanager
async def opened(address: RedisAddress) -> AsyncIterator[RedisStore]:
    store = RedisStore(address, time.time)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def through(server: RedisServer) -> AsyncIterator[tuple[RedisStore, FaultProxy]]:
    """A store behind a proxy of which the tests decide what passes."""
    async with FaultProxy(server.port) as proxy, opened(RedisAddress("127.0.0.1", proxy.port, 0, tls=False)) as store:
        await store.put("first", b"", expires_at=LATER)
        yield store, proxy


async def back(store: Store) -> None:
    """Wait until the store answers again."""
    async with asyncio.timeout(10):
        while True:
            try:
                await store.get("first")
            except StoreUnavailableError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_a_server_that_evicts_is_refused() -> None:
    with RedisServer(policy="allkeys-lru") as server:
        async with opened(address_of(server)) as store:
            with pytest.raises(StoreMisconfiguredError, match="maxmemory-policy allkeys-lru"):
                await store.get("a")
            server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await back(store)


async def test_a_user_of_its_own() -> None:
    with RedisServer(users={"ttscache": "word"}) as server:
        async with opened(address_of(server, "ttscache", "word")) as store:
            lease = await store.acquire("a", seconds=10)
            version = await store.put("a", b"1", expires_at=LATER)
            assert [key async for key, _ in store.scan("")] == ["a"]
            assert (await store.get("a") is not None, version > 0, lease is not None) == (True, True, True)
            store.watch(lambda _: None)
        for user, password in ((None, None), ("ttscache", "another"), ("nobody", "word")):
            async with opened(address_of(server, user, password)) as store:
                with pytest.raises(StoreUnavailableError) as refused:
                    await store.get("a")
                assert "word" not in refused.value.message.replace("password", "")


async def test_tls_is_verified() -> None:
    with RedisServer(tls=True) as server:
        address = address_of(server)
        async with opened(address) as store:
            await store.put("a", b"1", expires_at=LATER)
        stranger = RedisAddress(address.host, address.port, 0, tls=True)
        async with opened(stranger) as store:
            with pytest.raises(StoreUnavailableError, match="certificate"):
                await store.get("a")


async def test_a_password_is_not_shown(server: RedisServer) -> None:
    assert "planted" not in repr(address_of(server, "ttscache", "planted"))


async def test_what_was_written_is_there_after_a_kill(server: RedisServer) -> None:
    async with opened(address_of(server)) as store:
        version = await store.put("first", b"1", expires_at=LATER)
        server.kill()
        with pytest.raises(StoreUnavailableError):
            await store.get("first")
        started = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await store.get("first")
        assert time.monotonic() - started < 0.2, "nobody waits for a server that is known to be down"
        server.start()
        await back(store)
        assert await store.put("first", b"2", expires_at=LATER, if_version=version) > version


async def test_a_restart_between_two_calls_is_not_noticed(server: RedisServer) -> None:
    async with opened(address_of(server)) as store:
        version = await store.put("first", b"1", expires_at=LATER)
        server.stop()
        server.start()
        # the kept connection is dead, and the server has forgotten the scripts
        assert await store.put("first", b"2", expires_at=LATER, if_version=version) > version


async def test_versions_and_fences_grow_also_when_everything_was_lost() -> None:
    with RedisServer() as server:
        async with opened(address_of(server)) as store:
            version = await store.put("first", b"1", expires_at=LATER)
            lease = await store.acquire("first", seconds=10)
            server.kill()
            server.start()
            assert await store.get("first") is None
            assert await store.put("first", b"2", expires_at=LATER, if_version=ABSENT) > version
            again = await store.acquire("first", seconds=10)
            assert lease is not None
            assert again is not None
            assert again.fence > lease.fence


async def test_a_write_whose_answer_is_lost_is_made_once(server: RedisServer) -> None:
    async with through(server) as (store, proxy):
        version = await store.put("a", b"1", expires_at=LATER)
        proxy.mode = Cut(0, then=Pass())
        second = await store.put("a", b"2", expires_at=LATER, if_version=version)
        record = await store.get("a")
        assert record is not None
        assert (record.value, record.version) == (b"2", second)
        proxy.mode = Cut(0, then=Pass())
        lease = await store.acquire("b", seconds=10)
        assert lease is not None, "it was ours already"
        with pytest.raises(ConflictError):
            await store.put("a", b"3", expires_at=LATER, if_version=version)


async def test_cancelled_callers_leave_nobody_another_s_answer(server: RedisServer) -> None:
    async with through(server) as (store, proxy):
        for number in range(100):
            await store.put(f"k{number}", str(number).encode(), expires_at=LATER)
        proxy.mode = Latency(0.02)
        for turn in range(10):
            asked = [asyncio.create_task(store.get(f"k{number}")) for number in range(100)]
            await asyncio.sleep(0.002 * turn)
            for task in asked[turn % 3 :: 3]:
                task.cancel()
            for number, answer in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
                if isinstance(answer, BaseException):
                    assert isinstance(answer, asyncio.CancelledError)
                else:
                    assert answer is not None
                    assert answer.value == str(number).encode()


async def test_a_server_that_answers_nobody(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "_TIMEOUT", 0.3)
    async with through(server) as (store, proxy):
        proxy.mode = Blackhole()
        started = time.monotonic()
        outcomes = await asyncio.gather(*(store.get("first") for _ in range(1000)), return_exceptions=True)
        assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)
        assert time.monotonic() - started < 3
        proxy.mode = Pass()
        await back(store)


async def test_a_server_that_is_stopped_and_goes_on(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_module, "_TIMEOUT", 0.3)
    async with opened(address_of(server)) as store:
        await store.put("first", b"1", expires_at=LATER)
        server.pause()
        with pytest.raises(StoreUnavailableError):
            await store.get("first")
        server.resume()
        await back(store)
        assert (await store.get("first")) is not None


async def test_a_server_that_has_become_a_replica_is_left(server: RedisServer) -> None:
    async with opened(address_of(server)) as store:
        await store.put("first", b"1", expires_at=LATER)
        before = {line["id"] for line in clients(server)}
        server.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailableError):
            await store.put("first", b"2", expires_at=LATER)
        await back(store)
        assert not {line["id"] for line in clients(server)} & before, "by its name the new master may be found now"
        server.ask("REPLICAOF", "NO", "ONE")
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(StoreUnavailableError):
                    await store.put("first", b"3", expires_at=LATER)
                    break
                await asyncio.sleep(0.05)


def clients(server: RedisServer) -> list[dict[str, str]]:
    """The server's connections over the network."""
    with server.admin() as admin:
        listed = admin.client_list()
    return [each for each in listed if each["addr"].startswith("127.0.0.1:")]


async def test_what_others_write_is_heard(server: RedisServer) -> None:
    async with opened(address_of(server)) as one, opened(address_of(server)) as other:
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        one.watch(heard.put_nowait)
        assert await asyncio.wait_for(heard.get(), 5) is None, "anything may have changed before"
        await one.put("own", b"", expires_at=LATER)
        await other.put("a", b"", expires_at=LATER)
        await other.delete("b")
        assert [await asyncio.wait_for(heard.get(), 5) for _ in range(2)] == ["a", "b"]
        server.kill()
        server.start()
        assert await asyncio.wait_for(heard.get(), 10) is None, "something may have been missed"


async def test_the_lease_of_one_that_died_is_free_long_before_its_end() -> None:
    with RedisServer(faked=True) as server:
        async with opened(address_of(server)) as living:
            dying = RedisStore(address_of(server), time.time)
            assert await dying.acquire("a", seconds=3600) is not None
            await dying.keep_leases()
            assert await living.acquire("a", seconds=10) is None
            await dying.close()  # it gives nothing back, as one that was killed
            server.set_clock(server.now + 9)
            assert await living.acquire("a", seconds=10) is not None


async def test_each_script_stays_in_one_slot(server: RedisServer) -> None:
    async with opened(address_of(server)) as store:
        for number in range(300):
            await store.put(f"{{x}}a{number}", b"", expires_at=LATER)
        keys: list[bytes] = server.ask("KEYS", "*")
    records = [key for key in keys if b":record:" in key]
    sequences = {key_slot(key) for key in keys if key.endswith(b":sequence")}
    assert len(records) == 300
    assert {key_slot(key) for key in records} == sequences
    assert len(sequences) > 100, "they spread over a cluster"
