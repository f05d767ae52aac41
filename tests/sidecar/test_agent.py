"""A sidecar's life beside the real daemon: first files, renewal, the daemon away and back, revocation, the end."""

import os
import signal
import stat
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from tests.app.test_sdnotify import Supervisor
from tests.sidecar.hostile import hostile
from tests.sidecar.living import Living, living
from tests.sidecar.running import is_running, sidecar, told
from tests.sidecar.test_hostile_tokens import good, issued
from tests.tools import openssl
from tests.tools.daemons import LiveIam, change, serve
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for
from ttscache.sidecar.tokens import _claims as claims_of


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    return directory


def resident_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def modes(files: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.iterdir()}


def test_first_files(world: Living, files: Path, tmp_path: Path) -> None:
    kept = {kind: files / kind for kind in ("proxy", "bearer", "idtoken", "trust", "vomsdir")}
    options = [part for kind, path in kept.items() for part in (f"--{kind}", path)]
    with world.sidecar(tmp_path, *options, "--mode", "0400", "--status", tmp_path / "status") as running:
        running.wait_for(event="ready")
        assert {line["kind"] for line in running.events(event="renewed")} == kept.keys()
        assert running.stop() == 0
    assert modes(files) == {"proxy": 0o400, "bearer": 0o400, "idtoken": 0o400, "trust": 0o755, "vomsdir": 0o755}
    assert openssl.verify(kept["proxy"].read_bytes(), kept["trust"], strict=True, crl_check=True)
    assert [path.name for path in kept["vomsdir"].iterdir() if path.is_dir()] == ["cms"]
    bearer, idtoken = (claims_of(kept[name].read_bytes().strip()) for name in ("bearer", "idtoken"))
    assert bearer["sub"] == world.site.subject("jane")
    assert idtoken["sub"] == "cmsprod@pool.sandbox"
    for secret in (kept["bearer"].read_text().strip(), world.token.read_text(), "PRIVATE KEY"):
        assert secret not in running.server.output() + (tmp_path / "status").read_text()


def test_renewed_at_half_of_its_life_in_little_memory(world: Living, files: Path, tmp_path: Path) -> None:
    options = ("--proxy", files / "proxy", "--proxy-profile", "brief", "--min-left", "1s", "--trust", files / "trust")
    status = tmp_path / "status"
    with world.sidecar(tmp_path, *options, "--status", status, "--health", "127.0.0.1:0") as running:
        first = running.wait_for(event="renewed", kind="proxy")
        before = (files / "proxy").read_bytes()
        second = running.wait_for(event="renewed", kind="proxy", times=2)
        assert second["time"] < first["not_after"], "before it ended"
        assert (files / "proxy").read_bytes() != before
        for _ in range(2):
            running.renew("proxy")
        assert resident_kilobytes(running.pid) < 30 * 1024
        assert len(running.events(event="renewed", kind="trust")) == 1, "only what is due"
        assert told(status, "proxy", present=True)["failures"] == 0
        assert running.stop() == 0
    assert not running.events(event="failed")
    assert Credential.parse((files / "proxy").read_bytes()).key is not None


def test_a_fresh_proxy_is_left_alone_by_the_next_sidecar(world: Living, files: Path, tmp_path: Path) -> None:
    assert world.once("--proxy", files / "proxy")[0].status == 0
    before = (files / "proxy").read_bytes()
    with world.sidecar(tmp_path, "--proxy", files / "proxy") as running:
        running.wait_for(event="kept")
        running.wait_for(event="ready")
        assert (files / "proxy").read_bytes() == before
        running.renew("proxy")
        assert (files / "proxy").read_bytes() != before


def test_a_file_that_somebody_removes_comes_back(world: Living, files: Path, tmp_path: Path) -> None:
    assert world.once("--proxy", files / "proxy")[0].status == 0
    then = time.time() - 60
    os.utime(files / "proxy", (then, then))
    with world.sidecar(tmp_path, "--proxy", files / "proxy") as running:
        running.wait_for(event="ready")
        (files / "proxy").unlink()
        running.signal(signal.SIGUSR1)  # says nothing, but it wakes
        running.wait_for(event="renewed")
        assert (files / "proxy").exists()


def test_the_daemon_away_and_back(iam: LiveIam, files: Path, tmp_path: Path) -> None:
    status = tmp_path / "status"
    options = ("--proxy", files / "proxy", "--bearer", files / "bearer", "--status", status)
    with living(tmp_path, iam) as world:
        address = world.site.daemon.web.url.removeprefix("https://")
        change(world.site.site, lambda document: document["server"].update(listen=address))
        with world.sidecar(tmp_path, *options) as running:
            running.wait_for(event="ready")
            before = {path.name: path.read_bytes() for path in files.iterdir()}
            world.site.daemon.stop()
            running.signal(signal.SIGHUP)
            told(status, "proxy", failures=1)
            assert {path.name: path.read_bytes() for path in files.iterdir()} == before
            since = running.server.position()
            with serve(world.site.site, tmp_path):
                running.wait_for(since, event="renewed", kind="proxy")
            assert running.stop() == 0
    assert len(running.events(event="failed", kind="proxy", code="unreachable")) == 1, "told once"


def test_who_waits_for_the_daemon_is_there_when_it_opens(files: Path, tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"token")
    status = tmp_path / "status"
    with hostile(shut=True, token=issued(good())) as daemon:
        asked = ("--url", daemon.url, "--token-file", token, "--bearer", files / "bearer", "--status", status)
        with sidecar(tmp_path, *asked, env=environment()) as running:
            for times in range(1, 5):
                told(status, "bearer", failures=times)
                running.signal(signal.SIGHUP)
            told(status, "bearer", failures=5)  # by now it would wait for more than seven seconds
            daemon.open()
            began = time.monotonic()
            wait_for(lambda: daemon.asked or None, running.server.output)
            assert time.monotonic() - began < 4
            running.wait_for(event="renewed")


def test_a_revoked_subject_loses_its_files_and_nobody_else_does(world: Living, files: Path, tmp_path: Path) -> None:
    kept = [files / name for name in ("proxy", "bearer", "idtoken")]
    options = [part for path in kept for part in (f"--{path.name}", path)]
    joe = world.token_of("joe", tmp_path)
    with world.sidecar(tmp_path, *options, "--trust", files / "trust", token=joe) as running:
        running.wait_for(event="ready")
        world.revoke("joe")
        running.signal(signal.SIGHUP)
        for path in kept:
            running.wait_for(event="removed", kind=path.name, code="subject_revoked")
        assert [path.name for path in files.iterdir()] == ["trust"]
        world.restore("joe")
        since = running.server.position()
        running.signal(signal.SIGHUP)
        for path in kept:
            running.wait_for(since, event="renewed", kind=path.name)
            assert path.exists()


@pytest.mark.parametrize("kind", ["proxy", "bearer", "idtoken"])
def test_other_refusals_leave_the_file(kind: str, world: Living, files: Path, tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", world.token.read_bytes())
    with world.sidecar(tmp_path, f"--{kind}", files / kind, token=token) as running:
        running.wait_for(event="ready")
        before = (files / kind).read_bytes()
        others = {
            "mapping_refused": world.site.iam.token(scope="openid profile"),
            "audience_mismatch": world.site.iam.token(audience="https://elsewhere.example"),
            "token_malformed": "garbage",
            "identity_changed": world.site.iam.token("joe"),
        }
        for code, other in others.items():
            token.write_text(other)
            running.signal(signal.SIGHUP)
            running.wait_for(event="failed", code=code)
            assert (files / kind).read_bytes() == before
        token.write_bytes(world.token.read_bytes())
        since = running.server.position()
        running.signal(signal.SIGHUP)
        wait_for(lambda: running.log(since) or None, running.server.output)
        assert running.log(since)[0]["event"] in {"renewed", "kept"}


def test_two_sidecars_on_one_file(world: Living, files: Path, tmp_path: Path) -> None:
    file = files / "proxy"
    statuses = [tmp_path / name / "status" for name in ("one", "other")]
    with ExitStack() as stack:
        both = []
        for status in statuses:
            status.parent.mkdir()
            options = ("--proxy", file, "--status", status)
            both.append(stack.enter_context(world.sidecar(status.parent, *options)))
            told(status, "proxy", present=True)
        for _ in range(3):
            before = [status.stat().st_ino for status in statuses]
            for each in both:
                each.signal(signal.SIGHUP)
            while before[0] == statuses[0].stat().st_ino or before[1] == statuses[1].stat().st_ino:
                assert Credential.parse(file.read_bytes()).key is not None, "whole at any time"
        assert [each.stop() for each in both] == [0, 0]
    assert [path.name for path in files.iterdir()] == ["proxy"]


def test_the_end_at_the_beginning(world: Living, files: Path, tmp_path: Path) -> None:
    with world.sidecar(tmp_path, "--proxy", files / "proxy", "--bearer", files / "bearer") as running:
        wait_for(lambda: catches_term(running.pid) or None, running.server.output)
        assert running.stop() == 0
    assert not any(path.name.startswith(".") for path in files.iterdir())


def catches_term(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_the_end_by_an_interrupt(world: Living, files: Path, tmp_path: Path) -> None:
    with world.sidecar(tmp_path, "--bearer", files / "bearer") as running:
        running.wait_for(event="ready")
        running.signal(signal.SIGINT)
        assert running.ended() == 0


def test_systemd_is_told_when_all_files_are_there(world: Living, files: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    options = ("--proxy", files / "proxy", "--trust", files / "trust")
    with (
        Supervisor(str(tmp_path / "notify")) as systemd,
        world.sidecar(tmp_path, *options, token=token, env={"NOTIFY_SOCKET": systemd.name}) as running,
    ):
        running.wait_for(event="failed", kind="proxy", code="token_unreadable")
        running.wait_for(event="renewed", kind="trust")
        assert systemd.nothing()
        write_private(token, world.token.read_bytes())
        assert systemd.next() == ["READY=1", "STATUS=all files are there"]
        assert (files / "proxy").exists()
        running.renew("proxy")
        assert systemd.nothing(), "once"
        running.signal(signal.SIGTERM)
        assert systemd.next() == ["STOPPING=1"]
        assert running.ended() == 0


def test_the_end_while_a_worker_waits(files: Path, tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"token")
    with hostile() as daemon:
        daemon.answers["/v1/proxy"] = lambda _: daemon.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        asked = ("--url", daemon.url, "--token-file", token, "--proxy", files / "proxy")
        with sidecar(tmp_path, *asked, env=environment()) as running:
            wait_for(lambda: True if "/v1/proxy" in daemon.asked else None, running.server.output)
            workers = running.children()
            assert len(workers) == 1
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 3
            assert not any(map(is_running, workers))
    assert list(files.iterdir()) == []
