"""Records are sealed anew while daemons use them; no daemon's write is lost."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools.daemons import COMMAND, Daemon, LiveIam, change, here
from tests.tools.programs import environment
from ttscache.app import transfer
from ttscache.app.stores import open_store, require_usable
from ttscache.app.transfer import Resealed, reseal
from ttscache.config.load import load
from ttscache.config.settings import Settings
from ttscache.errors import ConfigurationError, OverloadedError
from ttscache.sandbox.iam import IamConfig
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site, prepare
from ttscache.store.base import Store
from ttscache.store.sqlite import SqliteStore

OLD, NEW = {"id": "k1", "file": "seal.key"}, {"id": "k2", "file": "new.key"}
LATER = float(int(time.time())) + 3600
RECORDS = {f"session/{number}": f"value {number}".encode() for number in range(20)}
Start = Callable[[], Daemon]


def give_keys(site: Site, *keys: dict[str, str]) -> Settings:
    file = site.directory / "new.key"
    file.write_bytes(b"n" * 32)
    file.chmod(0o600)
    change(site, lambda document: document["store"].update(sealing_keys=[dict(key) for key in keys]))
    return load(site.configuration)


@pytest.fixture
def quiet_site(tmp_path: Path) -> Site:
    """A site without a daemon."""
    site = Site(tmp_path / "quiet")
    prepare(site, "http://127.0.0.1:1/", IamConfig(), 0)
    return site


@pytest.fixture
async def rotated(quiet_site: Site) -> Settings:
    """A store that the old key has sealed, and a ring that begins with the new one."""
    store = open_store(load(quiet_site.configuration))
    await require_usable(store)
    for key, value in RECORDS.items():
        await store.put(key, value, expires_at=LATER)
    await store.close()
    return give_keys(quiet_site, NEW, OLD)


@pytest.fixture
async def daemon(rotated: Settings) -> AsyncIterator[Store]:
    """The store as a daemon has it open."""
    store = open_store(rotated)
    yield store
    await store.close()


async def contents(settings: Settings) -> dict[str, tuple[bytes, float]]:
    store = open_store(settings)
    await require_usable(store)
    found = {key: (record.value, record.expires_at) async for key, record in store.scan("")}
    await store.close()
    assert found.pop("canary")[0] == b""
    return found


def nothing() -> None:
    """Nobody looks on."""


EVERYTHING = {key: (value, LATER) for key, value in RECORDS.items()}


async def test_the_old_key_is_needed_no_more(quiet_site: Site, rotated: Settings) -> None:
    count = len(RECORDS) + 1
    assert await reseal(rotated, nothing) == Resealed(count, 0, 0)
    assert await reseal(rotated, nothing) == Resealed(0, count, 0)
    alone = give_keys(quiet_site, NEW)
    assert await contents(alone) == EVERYTHING
    with pytest.raises(ConfigurationError, match=r"store\.sealing_keys"):
        await contents(give_keys(quiet_site, OLD))


async def test_what_was_sealed_meanwhile_is_left_alone(rotated: Settings, daemon: Store) -> None:
    version = await daemon.put("session/3", b"newer", expires_at=LATER)
    assert await reseal(rotated, nothing) == Resealed(len(RECORDS), 1, 0)
    record = await daemon.get("session/3")
    assert record is not None
    assert (record.value, record.version) == (b"newer", version)


async def test_what_does_not_open_is_counted_and_left(quiet_site: Site, rotated: Settings) -> None:
    bare = SqliteStore(quiet_site.directory / "state.db", time.time)
    moved = await bare.get("session/3")
    assert moved is not None
    await bare.put("session/4", moved.value, expires_at=LATER)
    await bare.put("session/5", b"never sealed", expires_at=LATER)
    assert await reseal(rotated, nothing) == Resealed(len(RECORDS) - 1, 0, 2)
    left = [await bare.get(key) for key in ("session/4", "session/5")]
    assert [record and record.value for record in left] == [moved.value, b"never sealed"]
    await bare.close()
    told = await asyncio.to_thread(here, "store", "reseal", "-c", quiet_site.configuration, "--output", "json")
    assert (told.status, told.json["unreadable"]) == (1, 2)


async def test_a_key_that_was_replaced_under_its_name_is_noticed(quiet_site: Site, rotated: Settings) -> None:
    (quiet_site.directory / "seal.key").write_bytes(b"x" * 32)
    settings = give_keys(quiet_site, OLD)
    assert await reseal(settings, nothing) == Resealed(0, 0, len(RECORDS) + 1)


async def test_a_session_that_is_refreshed_is_waited_for(rotated: Settings, daemon: Store) -> None:
    key = "session/7"
    lease = await daemon.acquire(key, seconds=100)
    assert lease is not None
    before = await daemon.get(key)
    assert before is not None
    resealing = asyncio.create_task(reseal(rotated, nothing))
    done, _ = await asyncio.wait([resealing], timeout=1)
    assert not done
    # what the daemon writes for the version that it has read meets no conflict
    await daemon.put(key, b"refreshed", expires_at=LATER, if_version=before.version)
    await daemon.release(lease)
    assert await resealing == Resealed(len(RECORDS), 1, 0)
    assert await contents(rotated) == {**EVERYTHING, key: (b"refreshed", LATER)}


async def test_a_lease_that_is_held_for_minutes_ends_the_work(
    rotated: Settings, daemon: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE", 0.3)
    lease = await daemon.acquire("session/7", seconds=100)
    assert lease is not None
    with pytest.raises(OverloadedError):
        await reseal(rotated, nothing)
    await daemon.release(lease)
    again = await reseal(rotated, nothing)
    assert again.resealed > 0
    assert again.resealed + again.current == len(RECORDS) + 1
    assert await contents(rotated) == EVERYTHING


@pytest.mark.parametrize("value", [b"written meanwhile", None])
async def test_a_write_without_the_lease_is_not_lost(
    rotated: Settings, daemon: Store, monkeypatch: pytest.MonkeyPatch, value: bytes | None
) -> None:
    """Another writer comes between reading and writing, with the old key or by removing the record."""
    put, key = SqliteStore.put, "session/7"
    writes: list[str] = []

    async def late(store: SqliteStore, name: str, sealed: bytes, **fields: Any) -> int:  # noqa: ANN401 - put's
        if name == key and not writes:
            writes.append(name)
            await (daemon.delete(key) if value is None else daemon.put(key, value, expires_at=LATER))
        return await put(store, name, sealed, **fields)

    monkeypatch.setattr(SqliteStore, "put", late)
    found = await reseal(rotated, nothing)
    assert writes == [key]
    assert (found.resealed, found.current) == (len(RECORDS), 0 if value is None else 1)
    expected = EVERYTHING | ({} if value is None else {key: (value, LATER)})
    if value is None:
        del expected[key]
    assert await contents(rotated) == expected


def test_a_daemon_refreshes_while_everything_is_sealed_anew(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document["issuers"][0].update(session={"confirm": "1s"}))
    # it seals with the old key still, so that what it marks before a refresh is to be sealed anew
    give_keys(site, OLD, NEW)
    first, token = start(), iam.token()
    assert first.web.get("/v1/proxy", token).status == 200
    iam.fault(Fault(endpoint="token", grant="refresh_token", delay=60))
    time.sleep(1.1)
    assert first.web.get("/v1/proxy?lifetime=1800", token).status == 200, "in grace"
    iam.wait_for_grant("refresh_token")
    give_keys(site, NEW, OLD)
    argv: list[str | Path] = [COMMAND, "store", "reseal", "-c", site.configuration, "--output", "json"]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE) as resealing:
        with pytest.raises(subprocess.TimeoutExpired):
            resealing.wait(3)
        iam.clear_faults()
        out, _ = resealing.communicate(timeout=30)
    assert resealing.returncode == 0
    assert json.loads(out)["resealed"] > 0
    assert first.web.get("/v1/proxy?lifetime=1700", token).status == 200
    assert first.stop() == 0
    assert here(*argv[1:]).status == 0
    give_keys(site, NEW)
    second = start()
    time.sleep(1.1)
    assert second.web.get("/v1/proxy?lifetime=1600", token).status == 200
    assert iam.grants["token_exchange"] == 1, "no session was lost"
