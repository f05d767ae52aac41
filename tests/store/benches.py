"""The stores under test, each with a way to let time pass."""

import atexit
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.tools.redis import RedisServer
from ttscache.store.base import Store
from ttscache.store.memory import MemoryStore
from ttscache.store.redis import LEASE_BEAT, RedisStore
from ttscache.store.redis_address import RedisAddress
from ttscache.store.sealing import SealedStore, SealingKey
from ttscache.store.sqlite import SqliteStore

# what is 0 for the server's clock: it stands, as the others do, between the steps of a test
EPOCH = 2_000_000_000.0
RING = (SealingKey("k1", b"1" * 32), SealingKey("k0", b"0" * 32))


@cache
def redis_server() -> RedisServer:
    """One server with a clock of its own, for all tests of this process."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(RedisServer(faked=True))


def address_of(server: RedisServer, user: str | None = None, password: str | None = None) -> RedisAddress:
    tls = server.url.startswith("rediss:")
    return RedisAddress("127.0.0.1", server.port, 0, tls, user, password, server.ca_file)


class Times:
    """The wall clock and the clock of leases; they stand until they are moved."""

    def __init__(self) -> None:
        self.wall = 2_000_000_000.0
        self.lease = 1000.0

    def elapse(self, seconds: float) -> None:
        """What time does: both clocks go on."""
        self.wall += seconds
        self.lease += seconds


# lets time pass: for the process, and for the store's server
Elapsing = Callable[[Store, Times, float], Awaitable[None]]


async def passing(_: Store, times: Times, seconds: float) -> None:
    """Nobody but this process has a clock."""
    times.elapse(seconds)


async def passing_at_redis(store: Store, times: Times, seconds: float) -> None:
    """The server's clock goes on as well, in steps in which the holder of a lease has told that it lives."""
    bare = store._inner if isinstance(store, SealedStore) else store
    assert isinstance(bare, RedisStore)
    left = seconds
    while left > 0:
        step = min(left, LEASE_BEAT)
        times.elapse(step)
        left -= step
        # the wall clock of a process may jump, the server's goes on with what only goes on
        redis_server().stop_clock(times.lease + EPOCH)
        await bare.keep_leases()


@dataclass
class Bench:
    """A store, and how to let time pass for it."""

    store: Store
    times: Times
    passing: Elapsing = passing

    async def elapse(self, seconds: float) -> None:
        await self.passing(self.store, self.times, seconds)

    @property
    def now(self) -> float:
        return self.times.wall


def sqlite_store(path: Path, times: Times) -> SqliteStore:
    return SqliteStore(path, lambda: times.wall, lambda: times.lease)


def _memory(_: Path, times: Times) -> Store:
    return MemoryStore(lambda: times.wall, lambda: times.lease)


def _sqlite(directory: Path, times: Times) -> Store:
    return sqlite_store(directory / "state.db", times)


def _sealed(directory: Path, times: Times) -> Store:
    return SealedStore(_sqlite(directory, times), RING)


def _redis(_: Path, times: Times) -> Store:
    redis_server().ask("FLUSHALL")
    redis_server().stop_clock(times.lease + EPOCH)
    return RedisStore(address_of(redis_server()), lambda: times.wall, lambda: times.lease)


def _sealed_redis(directory: Path, times: Times) -> Store:
    return SealedStore(_redis(directory, times), RING)


# one line more, and another store is held to the same suite
STORES: dict[str, Callable[[Path, Times], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sealed": _sealed,
    "redis": _redis,
    "sealed-redis": _sealed_redis,
}
PASSING: dict[str, Elapsing] = {"redis": passing_at_redis, "sealed-redis": passing_at_redis}
