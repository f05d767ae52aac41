import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.broker.world import Clock, World, start
from ttscache.store.base import Store
from ttscache.store.sealing import SealedStore, SealingKey
from ttscache.store.sqlite import SqliteStore

StartWorld = Callable[..., Awaitable[World]]
RING = (SealingKey("k1", b"1" * 32),)


def sealed_sqlite(path: Path) -> Callable[[Clock], Store]:
    return lambda clock: SealedStore(SqliteStore(path, clock, lambda: time.monotonic() + clock.slept), RING)


@pytest.fixture
async def start_world(tmp_path: Path) -> AsyncIterator[StartWorld]:
    """Start worlds over a sealed SQLite file; they end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(**iam: object) -> World:
            world = await start(sealed_sqlite(tmp_path / "state.db"), **iam)
            stack.push_async_callback(world.close)
            return world

        yield begin


@pytest.fixture
async def world(start_world: StartWorld) -> World:
    return await start_world()
