"""Who is told of changes: a command, a process by a signal, a status file."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.sidecar.living import Living
from tests.sidecar.running import is_running, told
from tests.tools.programs import environment, serving, wait_for
from ttscache.sidecar import children
from ttscache.sidecar.children import Hook
from ttscache.sidecar.telling import PidFile

BRIEF = ("--proxy-profile", "brief", "--min-left", "1s")
SAYS = 'printf "%s\\n" "$@" "$TTSCACHE_CHANGED" "${NOTIFY_SOCKET-unset}" >"$0.said.new" && mv "$0.said.new" "$0.said"'
# starts what hangs as well, and waits for it
HANGS = 'echo $$ >"$0.pid"; sleep 1000 & echo $! >"$0.child.new"; mv "$0.child.new" "$0.child"; wait'
LISTENER = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGHUP])
print("listening", flush=True)
while True:
    print(signal.sigwait([signal.SIGUSR1, signal.SIGHUP]).name, flush=True)
"""


def script(tmp_path: Path, body: str) -> Path:
    file = tmp_path / "hook"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def read(file: Path) -> str:
    return wait_for(lambda: file.read_text() if file.exists() else None, lambda: f"no {file}")


def test_a_command_hears_its_arguments_as_they_are(world: Living, tmp_path: Path) -> None:
    hook = script(tmp_path, SAYS)
    command = f"{hook} 'a b' $HOME `id` ; \\* && \"x > y\""
    kept = ("--proxy", tmp_path / "proxy", "--trust", tmp_path / "trust")
    notify = str(tmp_path / "nobody")
    with world.sidecar(tmp_path, *kept, "--on-change", command, env={"NOTIFY_SOCKET": notify}) as running:
        lines = read(Path(f"{hook}.said")).splitlines()
        assert lines[:-2] == ["a b", "$HOME", "`id`", ";", "*", "&&", "x > y"]
        assert lines[-2].split(os.pathsep) == [str(tmp_path / "proxy"), str(tmp_path / "trust")]
        assert lines[-1] == "unset", "nobody speaks to systemd in the sidecar's name"
        assert running.stop() == 0
        assert not running.events(event="on_change_failed")


def test_a_command_hears_of_changes_only(world: Living, tmp_path: Path) -> None:
    hook = script(tmp_path, SAYS)
    assert world.once("--trust", tmp_path / "trust")[0].status == 0
    with world.sidecar(tmp_path, "--trust", tmp_path / "trust", "--on-change", str(hook)) as running:
        running.wait_for(event="ready")
        assert running.stop() == 0
    assert not Path(f"{hook}.said").exists()


@pytest.mark.parametrize(
    "body, message",
    [("exit 3", "ended with status 3"), ("kill -9 $$", "ended with status -9"), (None, "cannot be run")],
)
def test_one_that_fails_is_told(body: str | None, message: str, world: Living, tmp_path: Path) -> None:
    hook = tmp_path / "hook" if body is None else script(tmp_path, body)
    with world.sidecar(tmp_path, "--proxy", tmp_path / "proxy", *BRIEF, "--on-change", str(hook)) as running:
        for times in (1, 2):
            line = running.wait_for(event="on_change_failed", times=times)
            assert message in line["message"]
            assert str(hook) in line["message"]
            running.renew("proxy")
        assert running.stop() == 0


def test_one_that_hangs_keeps_nobody_waiting(world: Living, tmp_path: Path) -> None:
    hook = script(tmp_path, HANGS)
    with world.sidecar(tmp_path, "--proxy", tmp_path / "proxy", *BRIEF, "--on-change", str(hook)) as running:
        child = int(read(Path(f"{hook}.child")))
        pid = int(read(Path(f"{hook}.pid")))
        running.renew("proxy")
        assert is_running(pid)
        assert set(running.children()) - set(running.workers()) == {pid}, "one at a time"
        assert running.stop() == 0
    wait_for(lambda: None if is_running(pid) or is_running(child) else True, lambda: "it is still there")


def test_one_that_hangs_for_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_HOOK_SECONDS", 0.0)
    hook = Hook([str(script(tmp_path, f"trap '' TERM; {HANGS}"))])
    hook.changed(["first"])
    assert hook.poll() is None
    child = int(read(tmp_path / "hook.child"))
    hook.changed(["second", "third"])
    (tmp_path / "hook").write_text(f"#!/bin/sh\n{SAYS}\n")
    monkeypatch.setattr(children, "_HOOK_SECONDS", 60.0)
    assert "took longer than" in (hook.poll() or "")
    wait_for(lambda: None if is_running(child) else True, lambda: "it is still there")
    wait_for(lambda: hook.poll() or (None if hook.busy else True), lambda: "it still runs")
    assert read(tmp_path / "hook.said").splitlines()[0] == f"second{os.pathsep}third", "what changed meanwhile is told"


def test_a_process_hears_a_signal(world: Living, tmp_path: Path) -> None:
    with serving([sys.executable, "-c", LISTENER], log=tmp_path / "listener.log", env=environment()) as listener:
        listener.printed("listening")
        pid_file = tmp_path / "pid"
        pid_file.write_text(f"{listener.process.pid}\n")
        kept = ("--proxy", tmp_path / "proxy", *BRIEF)
        for name in ("usr1", "SIGHUP"):
            with world.sidecar(tmp_path, *kept, "--signal", f"{name}:{pid_file}") as running:
                running.wait_for(event="ready")
                running.renew("proxy")
                listener.printed(f"SIG{name.upper().removeprefix('SIG')}")
                assert running.stop() == 0
                assert not running.events(event="signal_failed")


@pytest.mark.parametrize("content", [None, "", "xrootd", "0", "1", "-1", "-2147483648", "9" * 20, "4194304", "\0" * 20])
def test_a_pid_file_of_nobody(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    PidFile(signal.SIGURG, tmp_path / "pid").send()  # which harms nobody, should it arrive
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "signal_failed"


def test_the_status_file(world: Living, tmp_path: Path) -> None:
    proxy, bearer, status = tmp_path / "proxy", tmp_path / "bearer", tmp_path / "status"
    kept = ("--proxy", proxy, "--bearer", bearer, "--bearer-profile", "nothing", "--mode", "0400")
    with world.sidecar(tmp_path, *kept, "--status", status) as running:
        there, missing = told(status, "proxy"), told(status, "bearer")
        assert (there["present"], there["state"], there["renewals"], there["path"]) == (True, "renewed", 1, str(proxy))
        assert there["written_at"] < there["next_at"] < there["not_after"]
        assert (there["failures"], there["code"], there["message"]) == (0, None, None)
        assert (missing["present"], missing["state"], missing["not_after"]) == (False, "failed", None)
        assert missing["failures"] >= 1
        assert missing["code"] == "profile_unknown"
        assert status.stat().st_mode & 0o777 == 0o644
        assert json.loads(status.read_text())["pid"] == running.pid
        status.unlink()
        status.mkdir()
        running.signal(signal.SIGHUP)
        assert running.wait_for(event="status_failed")["path"] == str(status)
        assert running.stop() == 0
