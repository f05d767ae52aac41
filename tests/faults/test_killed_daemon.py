"""`kill -9` of the daemon at any point of a refresh: at most that session is opened again, and it says so."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.broker.world import until
from tests.faults.daemons import Site
from tests.tools.programs import need
from ttscache.sandbox.iam import Fault

HOUR = 3600
HELD = Fault(grant="refresh_token", times=1, delay=60)
HELD_AND_LOST = replace(HELD, reset=True)


async def refreshing(site: Site, fault: Fault) -> asyncio.Task[object]:
    """Bring the daemon to where it waits for the IAM's answer to a refresh of jane's session."""
    await site.start()
    for username in ("jane", "joe"):
        assert (await site.ask(site.token(username))).status == 200
    site.iam.faults.add(fault)
    site.set_clock(2 * HOUR)
    asked = asyncio.create_task(site.ask(site.token(), lifetime=1800))
    await until(lambda: site.iam.counters.grants["refresh_token"] == 1)
    return asked


@contextmanager
def killing_at(call: str, pid: int) -> Iterator[None]:
    """Kill a process at its next system call of this kind and number (`write:when=2`)."""
    name, when = call.split(":")
    argv = ["strace", "-f", "-o", os.devnull, "-p", str(pid), "-e", f"inject={name}:signal=KILL:{when}"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        assert "attached" in strace.stderr.readline()
        yield


async def restarted(site: Site, asked: asyncio.Task[object]) -> None:
    site.kill()
    await asyncio.gather(asked, return_exceptions=True)
    await site.start()


async def nobody_else_noticed(site: Site) -> None:
    assert (await site.ask(site.token("joe"), lifetime=1800)).status == 200
    assert site.iam.counters.granted["token_exchange"] <= 3


async def test_killed_before_the_iam_has_done_anything(site: Site) -> None:
    asked = await refreshing(site, HELD_AND_LOST)
    site.kill()
    site.iam.faults.clear()
    await restarted(site, asked)
    # the mark is tried once, and the token is still good
    assert (await site.ask(site.token(), lifetime=1800)).status == 200
    assert site.iam.counters.grants["token_exchange"] == 2
    assert (site.iam.counters.grants["refresh_token"], site.iam.counters.granted["refresh_token"]) == (2, 1)
    await nobody_else_noticed(site)


async def test_killed_after_the_iam_has_answered(site: Site) -> None:
    asked = await refreshing(site, HELD)
    site.kill()
    site.iam.faults.clear()
    await until(lambda: site.iam.counters.granted["refresh_token"] == 1)
    await restarted(site, asked)
    lost = await site.ask(site.token(), lifetime=1800)
    assert (lost.status, lost.code) == (403, "session_lost")
    assert (await site.ask(site.token(), lifetime=1800)).status == 200
    assert site.iam.counters.granted["token_exchange"] == 3
    assert site.iam.counters.grants["refresh_token"] == 2  # the lost one, and the one trial
    await nobody_else_noticed(site)


@pytest.mark.parametrize("call", ["pwrite64:when=1", "pwrite64:when=2", "fdatasync:when=1", "fdatasync:when=2"])
async def test_killed_while_the_new_token_is_written(site: Site, call: str) -> None:
    need("strace")
    asked = await refreshing(site, HELD)
    assert site.process is not None
    with killing_at(call, site.process.pid):
        site.iam.faults.clear()
        assert await asyncio.to_thread(site.process.wait, 20) == -signal.SIGKILL
    await restarted(site, asked)
    first = await site.ask(site.token(), lifetime=1800)
    assert first.status == 200 or first.code == "session_lost"
    assert (await site.ask(site.token(), lifetime=1800)).status == 200
    lost = int(first.status != 200)
    assert site.iam.counters.granted["token_exchange"] == 2 + lost
    await nobody_else_noticed(site)


async def test_an_orderly_end_waits_for_the_answer(site: Site) -> None:
    asked = await refreshing(site, HELD)
    ending = asyncio.create_task(asyncio.to_thread(site.stop))
    site.iam.faults.clear()
    assert await ending == 0
    await asyncio.gather(asked, return_exceptions=True)
    await site.start()
    assert (await site.ask(site.token(), lifetime=1700)).status == 200
    assert site.iam.counters.grants == {"token_exchange": 2, "refresh_token": 1}
