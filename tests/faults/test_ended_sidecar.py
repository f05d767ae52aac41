"""The whole sidecar, killed and ended while its worker writes."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.turns import Target, bearer_target, proxy_target
from tests.sidecar.running import Sidecar, is_running, sidecar
from tests.tools.daemons import Daemon, client_environment, sandbox
from tests.tools.programs import end, need, wait_for

# long enough for what is done meanwhile, and waited for by nobody
WHILE = "delay_enter=1500000"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need("strace")
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(params=["proxy", "bearer"])
def target(request: pytest.FixtureRequest, daemon: Daemon, tmp_path: Path) -> Target:
    make = proxy_target if request.param == "proxy" else bearer_target
    (tmp_path / "files").mkdir()
    return make(daemon, tmp_path / "files/file")


@pytest.fixture
def running(daemon: Daemon, target: Target, tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that is at rest, over the old file."""
    with sidecar(tmp_path, *target.options, env=client_environment(daemon)) as started:
        started.wait_for(event="ready")
        target.reset()
        yield started


@contextmanager
def struck(pid: int, what: str) -> Iterator[None]:
    """Strike at the system calls of a process and of all that it starts, until the block ends."""
    argv = ["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", f"inject={what}"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as strace:
        try:
            assert strace.stderr is not None
            assert b"attached" in strace.stderr.readline()
            yield
        finally:
            end(strace)


def writing(running: Sidecar, target: Target) -> dict[int, str]:
    """Have a new file asked for, wait until it is being written, and return by which processes."""
    running.signal(signal.SIGHUP)
    wait_for(lambda: target.leftovers() or None, lambda: f"nothing is written:\n{running.server.output()}")
    assert target.is_old()
    return running.children()


def gone(processes: dict[int, str]) -> None:
    wait_for(lambda: None if any(map(is_running, processes)) else True, lambda: f"still there: {processes}")


def good(running: Sidecar, since: int) -> list[dict[str, Any]]:
    return running.events(since, event="kept") + running.events(since, event="renewed")


def test_killed_while_its_worker_writes(running: Sidecar, target: Target) -> None:
    with struck(running.pid, f"fsync:{WHILE}"):
        workers = writing(running, target)
        running.server.process.kill()
        assert running.ended() == -signal.SIGKILL
        gone(workers)
    assert workers
    assert not target.is_old()
    assert not target.leftovers()


def test_ended_while_its_worker_writes(running: Sidecar, target: Target) -> None:
    with struck(running.pid, f"fsync:{WHILE}"):
        workers = writing(running, target)
        assert running.stop() == 0
        gone(workers)
    assert workers
    assert not target.is_old()
    assert not target.leftovers()


def test_its_worker_is_killed_as_it_writes(running: Sidecar, target: Target) -> None:
    """The agent goes on, and what is left is swept away by the next worker."""
    since = running.server.position()
    with struck(running.pid, "renameat:signal=KILL"):
        running.signal(signal.SIGHUP)
        told = running.wait_for(event="failed")
        assert target.is_old()
    assert (told["code"], told["message"]) == ("internal", "the worker ended before its work")
    wait_for(lambda: good(running, since) or None, lambda: f"not mended:\n{running.server.output()}")
    assert not target.leftovers()
    target.reset()
    since = running.server.position()
    running.signal(signal.SIGHUP)
    running.wait_for(since, event="renewed")
    assert not target.is_old()
    assert not target.leftovers()
    assert len(running.events(event="failed")) == 1
    assert running.stop() == 0
