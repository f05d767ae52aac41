"""The Redis of the tests is what they take it for."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest
import redis
import redis.asyncio
from redis.exceptions import NoPermissionError

from tests.net.private_ca import PrivateCa
from tests.tools.programs import wait_for
from tests.tools.redis import RedisServer


def client(server: RedisServer, **settings: object) -> redis.Redis:
    """Connect as others do: by the address."""
    return redis.Redis.from_url(server.url, **settings)


def within(server: RedisServer, of: float) -> bool:
    return abs(server.now - of) < 10


async def test_it_answers() -> None:
    with RedisServer() as server:
        assert within(server, time.time())
        async with redis.asyncio.Redis.from_url(server.url) as asynchronous:
            await asynchronous.set("a", b"1")
            assert await asynchronous.get("a") == b"1"
        assert server.ask("GET", "a") == b"1"


@pytest.mark.parametrize("persistent", [True, False])
def test_what_is_kept(*, persistent: bool) -> None:
    with RedisServer(persistent=persistent) as server:
        port = server.port
        for end in (server.kill, server.stop):
            server.ask("SET", "a", "1")
            end()
            with client(server) as other, pytest.raises(redis.ConnectionError, match="refused"):
                other.ping()
            server.start()
            assert server.port == port
            assert server.ask("GET", "a") == (b"1" if persistent else None)


def test_nothing_is_left_behind() -> None:
    with RedisServer(faked=True) as server:
        process = Path(f"/proc/{server.pid}")
        directory = server.directory
        assert process.exists()
    assert not process.exists()
    assert not directory.exists()
    assert not list(Path("/dev/shm").glob(f"*faketime*_{process.name}"))  # noqa: S108 - libfaketime's


async def test_one_that_hangs() -> None:
    with RedisServer() as server:
        async with redis.asyncio.Redis.from_url(server.url) as waiting:
            server.pause()
            answer = asyncio.ensure_future(waiting.set("a", "1"))
            done, _ = await asyncio.wait([answer], timeout=0.05)
            assert not done
            server.resume()
            assert await answer
        server.pause()
        server.stop()
        server.start()
        server.pause()
        server.kill()


def test_its_clock_can_be_set_live() -> None:
    with RedisServer(faked=True) as server:
        assert within(server, time.time())
        server.set_clock(2e9)
        assert within(server, 2e9)
        server.ask("SET", "a", "1", "PX", 100_000)
        server.set_clock(2e9 + 50)
        assert server.ask("GET", "a") == b"1"
        assert 0 < server.ask("PTTL", "a") < 60_000
        server.set_clock(2e9 + 200)
        assert server.ask("GET", "a") is None
        server.set_clock(1e9)
        assert within(server, 1e9)
        server.ask("SET", "a", "1", "PX", 50)
        wait_for(lambda: True if server.ask("GET", "a") is None else None, lambda: "its clock stands")


def test_its_clock_goes_on_over_a_restart() -> None:
    with RedisServer(faked=True, persistent=True) as server:
        server.set_clock(2e9)
        server.ask("SET", "a", "1", "PX", 100_000)
        server.ask("SET", "b", "1")
        server.kill()
        server.set_clock(2e9 + 200)
        server.start()
        assert within(server, 2e9 + 200)
        assert (server.ask("GET", "a"), server.ask("GET", "b")) == (None, b"1")


def test_users_have_their_rights_and_others_none() -> None:
    password = 'a "b" #c'
    with RedisServer(users={"ttscache": password}) as server:
        with client(server) as nobody, pytest.raises(redis.AuthenticationError):
            nobody.ping()
        with client(server, username="ttscache", password="wrong") as wrong, pytest.raises(redis.AuthenticationError):
            wrong.ping()
        with client(server, username="ttscache", password=password) as user:
            user.set("ttscache:a", "1")
            assert user.eval("return redis.call('GET', KEYS[1])", 1, "ttscache:a") == b"1"
            user.publish("ttscache:a", "1")
            assert user.info()
            for words in (
                ["SET", "a", "1"],
                ["PUBLISH", "a", "1"],
                ["KEYS", "*"],
                ["FLUSHALL"],
                ["CONFIG", "GET", "*"],
            ):
                with pytest.raises(NoPermissionError):
                    user.execute_command(*words)
        assert server.ask("KEYS", "*") == [b"ttscache:a"]


def test_tls_is_verified(tmp_path: Path) -> None:
    with RedisServer(tls=True) as server:
        assert server.url.startswith("rediss:")
        with client(server, ssl_ca_certs=str(server.ca_file)) as trusting:
            trusting.set("a", "1")
        other_ca = PrivateCa().write(tmp_path / "other.pem")
        with client(server, ssl_ca_certs=str(other_ca)) as doubting, pytest.raises(redis.ConnectionError) as refusal:
            doubting.ping()
        assert isinstance(refusal.value.__context__, ssl.SSLCertVerificationError)
        with redis.Redis(port=server.port) as plain, pytest.raises(redis.ConnectionError):
            plain.ping()
        assert server.ask("GET", "a") == b"1"


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_a_full_one_does_what_its_policy_says(policy: str) -> None:
    with RedisServer(policy=policy, maxmemory="3mb") as server, server.admin() as admin:
        admin.set("first", b"x")

        def fill() -> None:
            for number in range(30):
                admin.set(f"k{number}", b"x" * 200_000)

        if policy == "noeviction":
            with pytest.raises(redis.OutOfMemoryError):
                fill()
        else:
            fill()
        assert (admin.dbsize() < 31) is True
