"""Two replicas of the daemon whose Redis goes away, comes back, forgets, or would forget."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
import yaml

from tests.tools.programs import environment
from tests.tools.redis import RedisServer
from tests.tools.replicas import COMMAND, Fleet, Replica, crowd, fleet_in

Ask = tuple[int, bytes]
Found = TypeVar("Found")


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[tuple[Fleet, RedisServer]]:
    admin = crowd(3)[2]
    users = (*crowd(2), replace(admin, groups=("/cms", "/cms/ttscache-admins")))
    async with fleet_in(tmp_path, users) as (made, server):
        assert server is not None
        document = yaml.safe_load((tmp_path / "ttscache.yaml").read_text())
        document["store"]["stale_for"] = "4s"
        (tmp_path / "ttscache.yaml").write_text(yaml.safe_dump(document))
        yield made, server


async def ask(replica: Replica, token: str, path: str = "/v1/proxy", method: str = "GET", **body: object) -> Ask:
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, replica.url + path, headers={"Authorization": f"Bearer {token}"}, json=body or None
        ) as answer,
    ):
        return answer.status, await answer.read()


async def status_of(replica: Replica) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{replica.url}/readyz") as answer:
        return dict((await answer.json())["dependencies"], status=str(answer.status))


def code(answer: Ask) -> str:
    return str(json.loads(answer[1]).get("code"))


async def eventually(attempt: Callable[[], Awaitable[Found]], is_it: Callable[[Found], bool]) -> Found:
    """Try until it is as it should be: nobody tells when a daemon has noticed."""
    async with asyncio.timeout(20):
        while True:
            found = await attempt()
            if is_it(found):
                return found
            await asyncio.sleep(0.05)


async def test_what_is_in_memory_is_served_for_a_while_and_nothing_new_is_minted(
    fleet: tuple[Fleet, RedisServer],
) -> None:
    site, server = fleet
    replica = await site.start()
    token = site.token("user0")
    status, proxy = await ask(replica, token)
    assert status == 200
    server.kill()
    assert await ask(replica, token) == (200, proxy)
    for path in ("/v1/proxy?lifetime=1800", "/v1/proxy?limited=true"):
        answer = await ask(replica, token, path)
        assert (answer[0], code(answer)) == (503, "store_unavailable")
    answer = await ask(replica, site.token("user1"))
    assert (answer[0], code(answer)) == (503, "store_unavailable")
    assert (await status_of(replica))["status"] == "200", "what is in memory is served"
    # who was revoked has not been read for too long
    answer = await eventually(lambda: ask(replica, token), lambda answer: answer[0] != 200)
    assert code(answer) == "store_unavailable"
    await eventually(lambda: status_of(replica), lambda found: (found["store"], found["status"]) == ("down", "503"))
    server.start()
    # this Redis kept nothing: what is in memory of the session is not what counts
    await eventually(lambda: ask(replica, token, "/v1/proxy?lifetime=1800"), lambda answer: answer[0] == 200)
    assert site.iam.counters.grants["token_exchange"] == 2
    log = replica.log()
    assert [line for line in log if line["event"] in {"request_failed", "Unhandled exception"}] == []


async def test_a_reload_while_redis_is_down_forgets_nothing(fleet: tuple[Fleet, RedisServer]) -> None:
    site, server = fleet
    replica = await site.start()
    token = site.token("user0")
    status, proxy = await ask(replica, token)
    assert status == 200
    server.kill()
    replica.process.send_signal(signal.SIGHUP)
    await eventually(_reloaded(replica), bool)
    assert await ask(replica, token) == (200, proxy)
    replica.stop()
    assert replica.process.returncode == 0


def _reloaded(replica: Replica) -> Callable[[], Awaitable[bool]]:
    async def reloaded() -> bool:
        return any(line["event"] == "reloaded" for line in replica.log())

    return reloaded


async def test_a_revocation_is_effective_in_all_replicas_at_once(fleet: tuple[Fleet, RedisServer]) -> None:
    site, _ = fleet
    one, other = await site.start(), await site.start()
    token, admin = site.token("user0"), site.token("user2")
    for replica in (one, other):
        assert (await ask(replica, token))[0] == 200
    acts = {"issuer": "test", "subject": site.iam.config.user("user0").sub}
    status, body = await ask(one, admin, "/admin/v1/identities/revoke", "POST", **acts, reason="gone")
    assert status == 200, body
    answers = await asyncio.gather(*(ask(replica, token) for replica in (one, other)))
    assert [(answer[0], code(answer)) for answer in answers] == [(403, "subject_revoked")] * 2
    assert (await ask(other, admin, "/admin/v1/identities/restore", "POST", **acts))[0] == 200
    for replica in (one, other):
        assert (await ask(replica, token))[0] == 200


async def test_without_its_ca_no_replica_makes_one(fleet: tuple[Fleet, RedisServer], tmp_path: Path) -> None:
    for file in (tmp_path / "ca").iterdir():
        file.unlink()
    refused = await asyncio.to_thread(_served_to_its_end, tmp_path)
    assert refused.returncode == 2
    assert b"ttscache ca init" in refused.stderr


async def test_a_redis_that_evicts_is_refused_at_the_start(fleet: tuple[Fleet, RedisServer], tmp_path: Path) -> None:
    fleet[1].ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    refused = await asyncio.to_thread(_served_to_its_end, tmp_path)
    assert refused.returncode == 2
    assert b"maxmemory-policy volatile-lru" in refused.stderr


def _served_to_its_end(directory: Path) -> subprocess.CompletedProcess[bytes]:
    argv: list[str | Path] = [COMMAND, "serve", "-c", directory / "ttscache.yaml"]
    return subprocess.run(argv, env=environment(), capture_output=True, timeout=30, check=False)
