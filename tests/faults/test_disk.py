"""Disks that are full, out of inodes or read-only, under the store and under the broker."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.broker.conftest import sealed_sqlite
from tests.broker.world import HOUR, World, start, together, until
from tests.faults.disks import fill, remount, tmpfs
from tests.faults.striking import Program
from tests.tools.programs import need
from ttscache.broker.readiness import Readiness, Status
from ttscache.errors import StoreUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.sandbox.iam import Fault
from ttscache.store.sqlite import SqliteStore

pytestmark = pytest.mark.root
LATER = time.time() + 3600


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with tmpfs(tmp_path / "disk", "size=512k", "nr_inodes=20") as where:
        yield where


@contextlib.asynccontextmanager
async def opened(disk: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(disk / "state.db", time.time)
    yield store
    await store.close()


async def refused(store: SqliteStore) -> str:
    """Write until the store says no; return what it says."""
    for _ in range(200):
        try:
            await store.put("filler", b"x" * 3000, expires_at=LATER)
        except StoreUnavailableError as error:
            return error.message
    raise AssertionError("the disk is not full")


async def test_a_full_disk_and_its_recovery(disk: Path) -> None:
    async with opened(disk) as store:
        await store.put("a", b"old", expires_at=LATER)
        ballast = fill(disk)
        said = await refused(store)
        assert said == f"the store {disk}/state.db cannot be used: database or disk is full"
        record = await store.get("a")  # what is there can be read
        assert record is not None
        assert record.value == b"old"
        ballast.unlink()
        await store.put("a", b"new", expires_at=LATER)
        assert await store.acquire("lease", seconds=1) is not None


async def test_a_read_only_disk(disk: Path) -> None:
    async with opened(disk) as store:
        await store.put("a", b"old", expires_at=LATER)
    remount(disk, "ro")
    with pytest.raises(StoreUnavailableError, match="ead-only") as caught:
        SqliteStore(disk / "state.db", time.time)
    assert "\n" not in caught.value.message
    remount(disk, "rw")
    async with opened(disk) as store:
        assert await store.get("a") is not None


def test_out_of_inodes(disk: Path) -> None:
    for number in range(30):
        with contextlib.suppress(OSError):
            (disk / f"f{number}").touch()
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        SqliteStore(disk / "state.db", time.time)
    for number in range(10):
        (disk / f"f{number}").unlink(missing_ok=True)
    store = SqliteStore(disk / "state.db", time.time)
    asyncio.run(store.close())


async def test_readiness_on_a_full_disk(disk: Path) -> None:
    async with opened(disk) as store:

        async def signer(_: Deadline) -> Status:
            return Status.OK

        async def status() -> Status:
            found = await Readiness(store, {}, signer, dict, lambda: False, time.time).dependencies()
            return found["store"]

        assert await status() is Status.OK
        ballast = fill(disk)
        await refused(store)
        # nothing new is kept, but what is cached is served
        assert await status() is Status.DEGRADED
        ballast.unlink()
        assert await status() is Status.OK
    with pytest.raises(StoreUnavailableError):
        await store.get("a")


@pytest.fixture
async def world(disk: Path) -> AsyncIterator[World]:
    made = await start(sealed_sqlite(disk / "state.db"), reuse_revokes_family=True)
    yield made
    await made.close()


def raw(world: World) -> SqliteStore:
    inner = world.stores[0]._inner  # type: ignore[attr-defined] # below the sealing
    assert isinstance(inner, SqliteStore)
    return inner


async def test_nothing_is_exchanged_or_minted_in_a_loop(disk: Path, world: World) -> None:
    replica = world.replica()
    first = await replica.issue(world.token("jane"))
    ballast = fill(disk)
    await refused(raw(world))
    for _ in range(10):
        assert await replica.issue(world.token("jane")) == first
        with pytest.raises(StoreUnavailableError):
            await replica.issue(world.token("joe"))
        with pytest.raises(StoreUnavailableError):
            await replica.issue(world.token("jane"), lifetime=3600)
    assert world.asked == {"token_exchange": 1}
    ballast.unlink()
    assert (await replica.issue(world.token("joe"))).account == "joe"


async def test_a_refresh_answer_that_cannot_be_stored_is_tried_again(disk: Path, world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    world.iam.faults.add(Fault(grant="refresh_token", delay=20))
    refreshing = asyncio.create_task(replica.confirmed(session, 20))
    await until(lambda: world.asked["refresh_token"] == 1)
    ballast = fill(disk)
    await refused(raw(world))
    world.iam.faults.clear()
    await until(lambda: world.granted["refresh_token"] == 1)
    with pytest.raises(StoreUnavailableError):
        await replica.store.put("probe", b"x" * 3000, expires_at=world.clock.time + 10)
    ballast.unlink()
    refreshed = await refreshing
    assert refreshed.confirmed_at == world.clock.time
    world.clock.time += HOUR
    # the token that was kept is the good one
    assert (await replica.confirmed(refreshed)).confirmed_at == world.clock.time
    assert (world.asked["refresh_token"], world.asked["token_exchange"]) == (2, 1)


async def test_a_mark_that_cannot_be_stored_spends_no_token(disk: Path, world: World) -> None:
    replica = world.replica()
    session = await replica.session()
    world.clock.time += HOUR
    ballast = fill(disk)
    await refused(raw(world))
    for outcome in await together(lambda: replica.confirmed(session), 5):
        assert isinstance(outcome, StoreUnavailableError)
    assert world.asked["refresh_token"] == 0
    ballast.unlink()
    assert (await replica.confirmed(session)).confirmed_at == world.clock.time


def test_killed_at_any_step_of_a_write(tmp_path: Path) -> None:
    need("strace")
    writer = Program(
        "import asyncio\nfrom ttscache.store.sqlite import SqliteStore\n"
        "store = SqliteStore(Path(sys.argv[1]), time.time)\n"
        "put = lambda v: asyncio.run(store.put('a', v * 3000, expires_at=time.time() + 1000))\nput(b'o')\n",
        "put(b'n')",
    )
    # the thread's own calls: counted for each thread, and the event loop writes to its pipe as well
    steps = writer.calls(("pwrite64", "fdatasync", "fsync"), tmp_path / "whole")
    assert len(steps) >= 3
    for number, step in enumerate(steps):
        path = tmp_path / f"s{number}"
        assert writer.struck(step, "signal=KILL", path)[1] == -signal.SIGKILL

        async def check(path: Path = path) -> None:
            store = SqliteStore(path, time.time)
            record = await store.get("a")
            assert record is not None
            assert record.value in {b"o" * 3000, b"n" * 3000}
            await store.put("a", b"next", expires_at=LATER, if_version=record.version)
            await store.close()

        asyncio.run(check())
