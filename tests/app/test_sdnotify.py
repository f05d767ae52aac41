"""What systemd is told: by the daemon as a process, to a socket as systemd opens it."""

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.tools.daemons import LiveIam, change, serve
from tests.tools.http import Web
from tests.tools.programs import PATIENCE
from ttscache import sdnotify
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site


class Supervisor:
    """The receiving end: a datagram is what one call told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self._socket.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def next(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def wait_for(self, line: str) -> None:
        while self.next() != [line]:
            pass

    def nothing(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]


def _fill(name: str) -> None:
    """Send until the queue takes no more."""
    with suppress(BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(name)
        while True:
            sender.send(b"full", socket.MSG_DONTWAIT)


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@ttscache-{secrets.token_hex(8)}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with Supervisor(name) as listening:
        yield listening


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(str(tmp_path / "notify")) as listening:
        yield listening


def test_lines_come_in_one_message(supervisor: Supervisor) -> None:
    sdnotify.notify(sdnotify.READY, sdnotify.status("serving\nREADY=0  \t https://ttscache \udcff"))
    assert supervisor.next() == ["READY=1", "STATUS=serving READY=0 https://ttscache ?"]
    assert supervisor.nothing()


def test_a_reload_tells_the_time_of_the_monotonic_clock(supervisor: Supervisor) -> None:
    before = time.monotonic_ns() // 1000
    sdnotify.notify(sdnotify.reloading())
    first, second = supervisor.next()
    name, _, microseconds = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("name", [None, "", "notify", "vsock:2:1", "@", "/nonexistent/notify", "/" + "x" * 200])
def test_nobody_who_listens_is_no_fault(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    sdnotify.notify(sdnotify.READY)


def test_a_receiver_that_is_gone_is_no_fault(path: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path.name)
    with path:
        pass
    sdnotify.notify(sdnotify.READY)


def test_one_that_reads_nothing_is_waited_for_only_shortly(path: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path.name)
    _fill(path.name)
    began, spent = time.monotonic(), time.process_time()
    sdnotify.notify(sdnotify.READY)
    assert time.monotonic() - began < PATIENCE
    assert time.process_time() - spent < sdnotify._PATIENCE / 2, "waited, not asked over and over"


@pytest.mark.parametrize(
    "given, interval",
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-3"}, None),
        ({"WATCHDOG_USEC": "3s"}, None),
        ({"WATCHDOG_USEC": "\u0663"}, None),
    ],
)
def test_the_watchdog_is_asked_for_of_this_process(
    given: dict[str, str], interval: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in sdnotify.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert sdnotify.watchdog_interval() == interval


def test_it_loads_no_event_loop() -> None:
    program = "import sys, ttscache.sdnotify; sys.exit('asyncio' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=PATIENCE).returncode == 0


def test_ready_is_told_once_it_answers(path: Supervisor, site: Site, iam: LiveIam, tmp_path: Path) -> None:
    iam.fault(Fault(endpoint="discovery", delay=1.0, times=1))

    def answered() -> tuple[list[str], int]:
        told = path.next()
        url = json.loads((tmp_path / "ready.json").read_bytes())["url"]
        return told, Web(url, site.server_ca).get("/v1/whoami", iam.token()).status

    with ThreadPoolExecutor() as beside:
        first = beside.submit(answered)
        with serve(site, tmp_path, NOTIFY_SOCKET=path.name) as daemon:
            told, status = first.result(PATIENCE)
            assert told == ["READY=1", f"STATUS=serving {daemon.web.url}"]
            assert status == 200
            assert daemon.stop() == 0


def test_a_reload_and_the_end_are_told(path: Supervisor, site: Site, tmp_path: Path) -> None:
    with serve(site, tmp_path, NOTIFY_SOCKET=path.name) as daemon:
        assert path.next()[0] == "READY=1"
        assert daemon.reload()["event"] == "reloaded"
        assert path.next()[0] == "RELOADING=1"
        assert path.next() == [f"STATUS=serving {daemon.web.url}"]
        assert path.next() == ["READY=1"]

        change(site, lambda document: document.pop("mapping"))
        assert daemon.reload()["event"] == "reload_refused"
        assert path.next()[0] == "RELOADING=1"
        assert path.next() == [f"STATUS=serving {daemon.web.url}; not reloaded, mistakes: 1"]
        assert path.next() == ["READY=1"]

        daemon.signal(signal.SIGTERM)
        assert path.next()[0] == "STOPPING=1"
        daemon.server.ended()
        assert path.nothing()


def test_the_watchdog_hears_in_time(path: Supervisor, site: Site, tmp_path: Path) -> None:
    patience = 3.0
    with serve(site, tmp_path, NOTIFY_SOCKET=path.name, WATCHDOG_USEC=f"{patience * 1e6:.0f}"):
        path.wait_for("WATCHDOG=1")
        for _ in range(2):
            last = time.monotonic()
            path.wait_for("WATCHDOG=1")
            assert time.monotonic() - last < patience
