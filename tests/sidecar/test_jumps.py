"""The clock of a running sidecar jumps, not that of the daemon."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.clock import Clock
from tests.sidecar.hostile import Hostile, answers, hostile, minted
from tests.sidecar.running import Sidecar, sidecar, told
from tests.tools import minting
from tests.tools.http import Web
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True)
class Displaced:
    """A sidecar whose clock can be set, beside a daemon of ours."""

    running: Sidecar
    daemon: Hostile
    clock: Clock
    directory: Path

    @property
    def proxy(self) -> Path:
        return self.directory / "proxy"

    @property
    def health(self) -> int:
        return Web(f"http://127.0.0.1:{self.running.wait_for(event='listening')['port']}").get("/healthz").status

    @property
    def issued(self) -> int:
        return self.daemon.asked.count("/v1/proxy")

    def jump_to(self, offset: int) -> None:
        """Set the clock, and have it looked at; by itself that is every ten seconds."""
        self.clock.jump_to(offset)
        self.running.signal(signal.SIGUSR1)

    def turn(self) -> dict[str, object]:
        """Have everything looked at, and return what came of it."""
        before = json.loads(self.status.read_text())["written_at"]
        self.running.signal(signal.SIGHUP)

        def probe() -> dict[str, object] | None:
            document = json.loads(self.status.read_text())
            return document["files"][0] if document["written_at"] != before else None

        return wait_for(probe, self.running.server.output)

    @property
    def status(self) -> Path:
        return self.directory / "status"


@contextmanager
def displaced(tmp_path: Path) -> Iterator[Displaced]:
    token = write_private(tmp_path / "token", b"token")
    clock = Clock(tmp_path, timers=False)
    left: list[Path] = []
    kept = ("--token-file", token, "--proxy", tmp_path / "proxy", "--status", tmp_path / "status")
    try:
        with hostile(proxy=answers(minted)) as daemon:
            asked = ("--url", daemon.url, *kept, "--health", "127.0.0.1:0")
            with sidecar(tmp_path, *asked, env=environment(), clock=clock.environment) as running:
                names = ("faketime_shm", "sem.faketime_sem")
                left += [Path("/dev/shm", f"{name}_{running.pid}") for name in names]  # noqa: S108 - libfaketime's
                told(tmp_path / "status", "proxy", state="renewed")
                yield Displaced(running, daemon, clock, tmp_path)
                # Python's sleep, by which a worker's end is waited for, is none of those that libfaketime knows
                wait_for(lambda: None if running.children() else True, running.server.output)
                assert running.stop() == 0
    finally:
        for file in left:
            file.unlink(missing_ok=True)


def test_over_the_end_nothing_is_passed_off_as_good(tmp_path: Path) -> None:
    with displaced(tmp_path) as jumping:
        before = jumping.proxy.read_bytes()
        assert jumping.health == 200
        jumping.jump_to(DAY)
        assert jumping.health == 503, "at once, and whatever the worker does"
        assert jumping.running.wait_for(event="failed", kind="proxy")["code"] == "expired"
        assert jumping.proxy.read_bytes() == before, "what the daemon has is no better"
        jumping.jump_to(0)
        jumping.running.renew("proxy")
        assert jumping.health == 200


def test_before_the_beginning_what_is_there_stays(tmp_path: Path) -> None:
    with displaced(tmp_path) as jumping:
        before = jumping.proxy.read_bytes()
        jumping.jump_to(-DAY)
        assert jumping.turn()["code"] == "not_yet_valid"
        assert jumping.proxy.read_bytes() == before
        jumping.jump_to(0)
        jumping.running.renew("proxy")
        assert jumping.health == 200


@pytest.mark.parametrize("offset", [2 * HOUR, DAY, 365 * DAY, -DAY])
def test_there_is_no_storm(offset: int, tmp_path: Path) -> None:
    with displaced(tmp_path) as jumping:
        jumping.jump_to(offset)
        if offset < 0:
            jumping.turn()
        told(jumping.status, "proxy", failures=1)
        known, began = jumping.issued, time.monotonic()

        def woken() -> bool | None:
            jumping.running.signal(signal.SIGUSR1)  # whoever wakes it, it is not time yet
            return True if jumping.issued >= known + 2 else None

        wait_for(woken, jumping.running.server.output)
        assert time.monotonic() - began > 1.4, "it backs off"
        assert len(jumping.running.events(event="failed")) == 1


def test_back_and_forth_within_a_life_changes_nothing(tmp_path: Path) -> None:
    with displaced(tmp_path) as jumping:
        before, known = jumping.proxy.read_bytes(), jumping.issued
        for offset in (300, -200, 600, -100, 1200, 0) * 3:
            jumping.jump_to(offset)
            assert jumping.health == 200
        assert (jumping.proxy.read_bytes(), jumping.issued) == (before, known)


def test_over_its_half_it_is_renewed_once(tmp_path: Path) -> None:
    with displaced(tmp_path) as jumping:
        known = jumping.issued
        jumping.daemon.answers["/v1/proxy"] = answers(lambda body: minted(body, lifetime=2 * minting.HOUR))
        jumping.jump_to(2000)
        jumping.running.wait_for(event="renewed", times=2)
        for _ in range(20):
            jumping.running.signal(signal.SIGUSR1)
            assert jumping.health == 200
        assert jumping.issued == known + 1
