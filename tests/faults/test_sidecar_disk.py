"""The sidecar's files on disks that are full, out of inodes and read-only."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disks import fill, remount, tmpfs
from tests.faults.turns import Target, bearer_target, proxy_target
from tests.sidecar.running import Sidecar, sidecar
from tests.tools.daemons import Daemon, client_environment, sandbox
from tests.tools.programs import wait_for

pytestmark = pytest.mark.root
Trouble = Callable[[Path], AbstractContextManager[None]]
LONG_AGO = (1, 1)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    ballast = fill(disk)
    yield
    ballast.unlink()


@contextmanager
def out_of_inodes(disk: Path) -> Iterator[None]:
    taken = []
    with suppress(OSError):
        for number in count():
            (disk / f"taken{number}").touch()
            taken.append(disk / f"taken{number}")
    yield
    for each in taken:
        each.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    remount(disk, "ro")
    yield
    remount(disk, "rw")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with tmpfs(tmp_path / "disk", "size=64k", "nr_inodes=10") as where:
        (where / "files").mkdir()
        yield where


@contextmanager
def running(daemon: Daemon, target: Target, directory: Path) -> Iterator[Sidecar]:
    """Run a sidecar to which the old file looks as if it were to be renewed."""
    with sidecar(
        directory, *target.options, "--status", directory / "status", env=client_environment(daemon)
    ) as started:
        started.wait_for(event="ready")
        target.reset()
        os.utime(target.path, LONG_AGO)
        yield started


def wait_for_failures(directory: Path, number: int) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        (file,) = json.loads((directory / "status").read_text())["files"]
        assert isinstance(file, dict)
        return file if file["failures"] >= number else None

    return wait_for(probe, (directory / "status").read_text)


def issued(daemon: Daemon, since: int) -> int:
    return sum(line["event"] == "credential_issued" for line in daemon.log(since))


@pytest.mark.parametrize(
    "make, trouble, said",
    [
        (proxy_target, full, "No space left on device"),
        (proxy_target, out_of_inodes, "No space left on device"),
        (proxy_target, read_only, "Read-only file system"),
        (bearer_target, full, "No space left on device"),
    ],
    ids=["full", "inodes", "read-only", "bearer"],
)
def test_the_old_file_stays_and_is_renewed_when_there_is_room(
    daemon: Daemon, disk: Path, make: Callable[[Daemon, Path], Target], trouble: Trouble, said: str
) -> None:
    target = make(daemon, disk / "files/file")
    with ExitStack() as stack:
        sidecar = stack.enter_context(running(daemon, target, disk.parent))
        since = sidecar.server.position()
        with trouble(disk):
            issues = daemon.server.position()
            sidecar.signal(signal.SIGHUP)
            told = wait_for_failures(disk.parent, 3)
            assert target.is_old()
            assert not target.leftovers()
            assert issued(daemon, issues) == 0
        renewed = sidecar.wait_for(since, event="renewed")
        assert not target.is_old()
        assert not target.leftovers()
        (line,) = sidecar.events(since, event="failed")
        assert sidecar.stop() == 0
    assert (told["present"], told["state"], told["code"]) == (True, "failed", "file_failed")
    assert line["message"].endswith(said)
    assert line["path"] == renewed["path"] == str(target.path)
