"""Sealing at rest."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.benches import RING, Times, sqlite_store
from ttscache.errors import StoreUnavailableError
from ttscache.store.memory import MemoryStore
from ttscache.store.sealing import SealedStore, SealingKey

NEW = SealingKey("k2", b"2" * 32)
LATER = 2e9 + 100
SECRET = b"planted-secret-0123456789abcdef"


@pytest.fixture
def inner(times: Times) -> MemoryStore:
    return MemoryStore(lambda: times.wall)


async def sealed(inner: MemoryStore, key: str = "a", value: bytes = SECRET) -> bytes:
    """Seal a value into the inner store and return what is there."""
    await SealedStore(inner, RING).put(key, value, expires_at=LATER)
    record = await inner.get(key)
    assert record is not None
    return record.value


async def opened(inner: MemoryStore, raw: bytes, key: str = "a", ring: tuple[SealingKey, ...] = RING) -> bytes:
    await inner.put(key, raw, expires_at=LATER)
    record = await SealedStore(inner, ring).get(key)
    assert record is not None
    return record.value


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


async def test_two_sealings_of_one_value_differ(inner: MemoryStore) -> None:
    assert await sealed(inner) != await sealed(inner)


async def test_every_changed_byte_is_noticed(inner: MemoryStore) -> None:
    raw = await sealed(inner)
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(StoreUnavailableError):
            await opened(inner, bytes(changed))


async def test_every_truncation_is_noticed(inner: MemoryStore) -> None:
    raw = await sealed(inner)
    for length in range(len(raw)):
        with pytest.raises(StoreUnavailableError):
            await opened(inner, raw[:length])
    with pytest.raises(StoreUnavailableError):
        await opened(inner, raw + b"\x00")


@settings(max_examples=200)
@given(raw=st.binary(max_size=60))
def test_anything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(StoreUnavailableError):
        asyncio.run(opened(MemoryStore(lambda: 0.0), raw))


async def test_a_value_moved_to_another_record_does_not_open(inner: MemoryStore) -> None:
    raw = await sealed(inner, "session/jane")
    with pytest.raises(StoreUnavailableError, match="changed or moved"):
        await opened(inner, raw, "session/joe")


async def test_the_same_id_with_another_key_does_not_open(inner: MemoryStore) -> None:
    raw = await sealed(inner)
    with pytest.raises(StoreUnavailableError, match="changed or moved"):
        await opened(inner, raw, ring=(SealingKey("k1", b"x" * 32),))


async def test_rotation_the_first_seals_and_all_open(inner: MemoryStore) -> None:
    old = await sealed(inner)
    rotated = (NEW, *RING)
    assert await opened(inner, old, ring=rotated) == SECRET
    await SealedStore(inner, rotated).put("a", b"new", expires_at=LATER)
    record = await inner.get("a")
    assert record is not None
    assert await opened(inner, record.value, ring=(NEW,)) == b"new"
    with pytest.raises(StoreUnavailableError, match="not in `sealing_keys`"):
        await opened(inner, record.value)
    with pytest.raises(StoreUnavailableError, match="not in `sealing_keys`"):
        await opened(inner, old, ring=(NEW,))


async def test_a_scan_passes_over_what_another_ring_sealed(
    inner: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    await SealedStore(inner, RING).put("a1", SECRET, expires_at=LATER)
    await SealedStore(inner, (NEW,)).put("a2", b"new", expires_at=LATER)
    await inner.put("a3", b"never sealed", expires_at=LATER)
    found = [(key, record.value) async for key, record in SealedStore(inner, (NEW,)).scan("a")]
    assert found == [("a2", b"new")]
    (logged,) = caplog.records
    assert (logged.levelname, logged.message, logged.__dict__["count"]) == ("WARNING", "records_unreadable", 2)


async def test_refusals_name_no_secret(inner: MemoryStore) -> None:
    raw = await sealed(inner)
    with pytest.raises(StoreUnavailableError) as caught:
        await opened(inner, raw[:-1])
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "secret" not in str(caught.value)
    assert repr(RING[0]).find("1111") == -1


async def test_the_file_and_its_log_hold_no_secret(tmp_path: Path, times: Times) -> None:
    path = tmp_path / "state.db"
    store = SealedStore(sqlite_store(path, times), RING)
    for number in range(50):
        await store.put(f"k{number % 5}", SECRET * 20, expires_at=times.wall + 10)
    wal = tmp_path / "state.db-wal"
    assert wal.stat().st_size > 0
    during = contents(tmp_path)
    await store.close()
    after = contents(tmp_path)
    for files in (during, after):
        for name, content in files.items():
            assert SECRET not in content, name
            assert RING[0].material not in content, name


def test_a_planted_secret_would_be_found(tmp_path: Path) -> None:
    """The test above looks in the right place: unsealed, the secret is there."""
    script = (
        "import asyncio, sys, pathlib; from ttscache.store.sqlite import SqliteStore\n"
        "s = SqliteStore(pathlib.Path(sys.argv[1]), lambda: 0.0)\n"
        f"asyncio.run(s.put('a', {SECRET!r}, expires_at=9.0)); import os; os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "state.db")], check=True)
    assert SECRET in (tmp_path / "state.db-wal").read_bytes()
