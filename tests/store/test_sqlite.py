"""What is of SQLite alone: the file, its neighbours in other processes, and their sudden ends."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.benches import Times, sqlite_store
from tests.store.neighbour import content
from ttscache.errors import StoreUnavailableError
from ttscache.store.base import Store
from ttscache.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state[1].db"  # a name that a careless glob would misread


@contextlib.contextmanager
def neighbour(path: Path, task: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "tests.store.neighbour", str(path), task]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def holder_files(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if ".holder-" in file.name]


async def free(store: Store) -> bool:
    lease = await store.acquire("a", seconds=10)
    if lease is not None:
        await store.release(lease)
    return lease is not None


async def test_nobody_else_may_read_the_files(path: Path) -> None:
    old = os.umask(0)
    try:
        store = SqliteStore(path, time.time)
        await store.put("a", b"1", expires_at=time.time() + 10)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert len(list(path.parent.iterdir())) == 4  # the file, its WAL and shared memory, and the presence
    assert modes == {0o600}
    await store.close()


async def test_two_stores_on_one_file_see_each_other(path: Path, times: Times) -> None:
    one, other = sqlite_store(path, times), sqlite_store(path, times)
    version = await one.put("a", b"1", expires_at=times.wall + 10)
    assert await other.put("a", b"2", expires_at=times.wall + 10, if_version=version) > version
    record = await one.get("a")
    assert record is not None
    assert record.value == b"2"
    lease = await one.acquire("a", seconds=10)
    assert lease is not None
    assert await other.acquire("a", seconds=10) is None
    await one.release(lease)
    assert await free(other)
    await one.close()
    await other.close()
    assert holder_files(path) == []


async def test_what_is_written_is_there_after_a_restart(path: Path, times: Times) -> None:
    store = sqlite_store(path, times)
    version = await store.put("a", b"1", expires_at=times.wall + 10)
    await store.close()
    store = sqlite_store(path, times)
    record = await store.get("a")
    assert record is not None
    assert (record.value, record.version) == (b"1", version)
    assert await store.put("a", b"2", expires_at=times.wall + 10, if_version=version) > version
    await store.close()


async def test_a_lease_ends_with_its_store(path: Path, times: Times) -> None:
    store = sqlite_store(path, times)
    await store.acquire("a", seconds=3600)
    await store.close()
    store = sqlite_store(path, times)
    assert await free(store)
    await store.close()


async def test_the_lease_of_a_killed_process_is_free_at_once(path: Path) -> None:
    store = SqliteStore(path, time.time)
    with neighbour(path, "lease") as process:
        assert said(process) == "held"
        assert not await free(store)
        process.kill()
        process.wait()
        assert await free(store)
    await store.close()
    assert holder_files(path) == []


async def test_the_lease_of_a_process_that_ends_is_free(path: Path) -> None:
    store = SqliteStore(path, time.time)
    with neighbour(path, "lease") as process:
        assert said(process) == "held"
        process.communicate()
        assert process.returncode == 0
    assert await free(store)
    await store.close()


async def test_a_stopped_process_lives_and_keeps_its_lease(path: Path, times: Times) -> None:
    with neighbour(path, "lease") as process:
        assert said(process) == "held"
        process.send_signal(19)  # SIGSTOP
        store = SqliteStore(path, time.time)
        assert not await free(store)
        await store.close()


async def test_a_lease_from_before_the_machine_was_started_anew_is_free(path: Path, times: Times) -> None:
    with neighbour(path, "lease") as process:
        assert said(process) == "held"
        process.kill()
    times.lease = 5.0  # the monotonic clock begins anew
    store = sqlite_store(path, times)
    assert await free(store)
    await store.close()


def test_killed_in_the_middle_of_writes(path: Path, times: Times) -> None:
    """What was told to be kept is kept, and whole; what was not is whole as well."""
    for kept_at_least in (1, 40):
        with neighbour(path, "write") as process:
            last = 0
            while last < kept_at_least:
                last = int(said(process))
            process.kill()
            assert process.stdout is not None
            told = [int(line) for line in process.stdout.read().split()]
            last = max([last, *told])
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = dict(connection.execute("SELECT key, value FROM records").fetchall())
        connection.close()
        numbers = {key: int(value[:10]) for key, value in rows.items()}
        for key, value in rows.items():
            assert value == content(numbers[key])
        # at most one more than was told of
        assert last <= max(numbers.values()) <= last + 1


async def test_a_closed_store_says_so(path: Path, times: Times) -> None:
    store = sqlite_store(path, times)
    await store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.get("a")


async def test_closing_lets_writes_under_way_land(path: Path, times: Times) -> None:
    store = sqlite_store(path, times)
    writes = [asyncio.create_task(store.put(f"k{i}", b"1", expires_at=times.wall + 10)) for i in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)


def test_what_is_no_database_is_refused_in_one_line(path: Path) -> None:
    path.write_bytes(b"something else entirely, of some length" * 100)
    with pytest.raises(StoreUnavailableError) as caught:
        SqliteStore(path, time.time)
    assert "file is not a database" in caught.value.message
    assert "\n" not in caught.value.message
    assert holder_files(path) == []


def test_a_directory_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        SqliteStore(tmp_path / "nowhere" / "state.db", time.time)
    assert "No such file or directory" in caught.value.message
    assert "\n" not in caught.value.message
