"""A running sidecar at a daemon that answers nonsense, slowly, or not at all."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.misbehaving import http
from tests.sidecar.hostile import Hostile, good_proxy, hostile, says
from tests.sidecar.running import Sidecar, is_running, sidecar, told
from tests.sidecar.test_hostile_daemon import ANSWERS, PROXIES, SECRET
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for
from ttscache.sidecar import children
from ttscache.sidecar.children import Worker
from ttscache.sidecar.order import Item, Kind, Order, State

TOKEN = "planted-token"
# one of each kind of trouble, in turn
TROUBLES = {
    code: answer
    for answer, code in (
        PROXIES["another key's"],
        PROXIES["expired"],
        PROXIES["another identity's"],
        PROXIES["garbage"],
        ANSWERS["HTML"],
        ANSWERS["nothing"],
    )
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return write_private(tmp_path / "token", TOKEN.encode())


@pytest.fixture
def daemon() -> Iterator[Hostile]:
    with hostile(proxy=good_proxy) as serving:
        yield serving


@pytest.fixture
def running(daemon: Hostile, token: Path, tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that has its first proxy."""
    kept = ("--proxy", tmp_path / "proxy", "--status", tmp_path / "status")
    with sidecar(tmp_path, "--url", daemon.url, "--token-file", token, *kept, env=environment()) as started:
        started.wait_for(event="ready")
        yield started
        for secret in (TOKEN, SECRET, "BEGIN", "Traceback"):
            assert secret not in started.server.output()


def test_each_trouble_is_told_once_and_nothing_is_written(daemon: Hostile, running: Sidecar, tmp_path: Path) -> None:
    before = (tmp_path / "proxy").read_bytes()
    status = tmp_path / "status"
    for code, answer in TROUBLES.items():
        daemon.answers["/v1/proxy"] = answer
        running.signal(signal.SIGHUP)
        running.wait_for(event="failed", code=code)
        assert (tmp_path / "proxy").read_bytes() == before
    running.signal(signal.SIGHUP)
    told(status, "proxy", failures=told(status, "proxy")["failures"] + 1)
    assert len(running.events(event="failed")) == len(TROUBLES)
    daemon.answers["/v1/proxy"] = good_proxy
    running.renew("proxy")
    assert (tmp_path / "proxy").read_bytes() != before


def test_what_it_is_told_to_wait_for_is_no_longer_than_half_of_what_is_left(token: Path, tmp_path: Path) -> None:
    busy = http(b'{"code": "overloaded", "detail": "later"}', "503 Busy", "Retry-After: 86400")
    with hostile(whoami=says(busy)) as daemon:
        kept = ("--url", daemon.url, "--token-file", token, "--proxy", tmp_path / "proxy")
        with sidecar(tmp_path, *kept, "--status", tmp_path / "status", env=environment()) as started:
            line = started.wait_for(event="failed")
            assert (line["code"], line["message"]) == ("overloaded", "later")
            written = told(tmp_path / "status", "proxy", failures=1)["next_at"]
            begun = time.strptime(line["time"], "%Y-%m-%dT%H:%M:%SZ")
            seconds = time.mktime(time.strptime(written, "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(begun)
            assert 290 < seconds < 370, "five minutes at most"


def test_nobody_is_asked_for_more_than_one_proxy_at_a_time(daemon: Hostile, running: Sidecar, tmp_path: Path) -> None:
    known = len(daemon.asked)
    daemon.answers["/v1/proxy"] = lambda _: daemon.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    running.signal(signal.SIGHUP)
    wait_for(lambda: daemon.dripping or None, running.server.output)
    for _ in range(20):
        running.signal(signal.SIGHUP)
    assert len(running.workers()) == 1
    assert daemon.asked[known:] == ["/v1/whoami", "/v1/proxy"]
    assert running.stop() == 0


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX:"]
)
def test_a_turn_that_takes_too_long_is_ended(
    beginning: bytes, daemon: Hostile, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_WORK_SECONDS", 1.5)
    daemon.answers["/v1/proxy"] = lambda _: daemon.drip(beginning)
    items = (Item(Kind.TRUST, tmp_path / "trust"), Item(Kind.PROXY, tmp_path / "proxy"))
    worker = Worker(Order(daemon.url, None, token, min_left=60, mode=0o600, owner=None, items=items))
    outcomes = wait_for(worker.poll, lambda: "it goes on and on")
    assert [each.state for each in outcomes] == [State.FAILED, State.FAILED]
    assert (outcomes[1].code, outcomes[1].exit_status) == ("timeout", 4)
    assert not is_running(worker._process.pid)
    assert not (tmp_path / "proxy").exists()


def test_a_worker_that_is_killed_is_no_end_of_the_sidecars(daemon: Hostile, running: Sidecar, tmp_path: Path) -> None:
    before = (tmp_path / "proxy").read_bytes()
    daemon.answers["/v1/proxy"] = lambda _: daemon.drip()
    running.signal(signal.SIGHUP)
    wait_for(lambda: daemon.dripping or None, running.server.output)
    (worker,) = running.workers()
    daemon.answers["/v1/proxy"] = good_proxy
    os.kill(worker, signal.SIGKILL)
    assert running.wait_for(event="failed")["code"] == "internal"
    assert (tmp_path / "proxy").read_bytes() == before
    running.wait_for(event="renewed", times=2)
