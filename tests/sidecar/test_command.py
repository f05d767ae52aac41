"""`sidecar ... -- COMMAND`: a job beside its credentials."""

import resource
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.sidecar.hostile import answers, hostile, minted
from tests.sidecar.living import SECONDS, Living
from tests.sidecar.running import is_running, sidecar
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for

# prints the signals that it gets, and ends by SIGTERM in its own way
JOB = """
import signal, sys, time
names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"]
numbers = [getattr(signal, name) for name in names]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("job", flush=True)
while True:
    got = signal.sigwait(numbers)
    print(got.name, flush=True)
    if got is signal.SIGTERM:
        sys.exit(42)
"""
VARIABLES = (
    "X509_USER_PROXY",
    "BEARER_TOKEN_FILE",
    "BEARER_TOKEN",
    "X509_CERT_DIR",
    "X509_VOMS_DIR",
    "_CONDOR_SEC_TOKEN_DIRECTORY",
    "NOTIFY_SOCKET",
    "KEPT",
)


def shell(script: str) -> tuple[str, ...]:
    return ("--", "sh", "-c", script)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return write_private(tmp_path / "token", b"token")


def printed(running_out: Path, *lines: str) -> None:
    """Wait until what the command printed is this."""

    def probe() -> bool | None:
        return True if running_out.read_text().splitlines() == list(lines) else None

    wait_for(probe, running_out.read_text)


def test_it_finds_its_files(world: Living, tmp_path: Path) -> None:
    kept = {kind: tmp_path / f"files/{kind}" for kind in ("proxy", "bearer", "idtoken", "trust", "vomsdir")}
    (tmp_path / "files").mkdir()
    options = [part for kind, path in kept.items() for part in (f"--{kind}", path)]
    told = "; ".join(f'echo "${{{name}-unset}}"' for name in VARIABLES)
    test = " && ".join(f'test -e "{path}"' for path in kept.values())
    set_before = {"BEARER_TOKEN": "stale", "NOTIFY_SOCKET": "/nowhere", "X509_USER_PROXY": "/stale", "KEPT": "kept"}
    with world.sidecar(tmp_path, *options, *shell(f"{told}; {test}"), env=set_before) as running:
        assert running.ended() == 0
    assert running.printed.read_text().splitlines() == [
        *(str(kept["proxy"]), str(kept["bearer"]), "unset", str(kept["trust"]), str(kept["vomsdir"])),
        *(str(tmp_path / "files"), "unset", "kept"),
    ]
    assert all(path.exists() for path in kept.values()), "they stay"


def test_only_what_is_kept_is_set(world: Living, tmp_path: Path) -> None:
    told = "; ".join(f'echo "${{{name}-unset}}"' for name in VARIABLES[:3])
    with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", *shell(told)) as running:
        assert running.ended() == 0
    assert running.printed.read_text().split() == ["unset", str(tmp_path / "bearer"), "unset"]


@pytest.mark.parametrize(
    "script, status", [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("exit 255", 255)]
)
def test_its_exit_status_is_the_sidecars(script: str, status: int, world: Living, tmp_path: Path) -> None:
    with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", *shell(script)) as running:
        assert running.ended() == status
        assert running.children() == {}


def test_signals_are_passed_on(world: Living, tmp_path: Path) -> None:
    with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", "--", sys.executable, "-c", JOB) as running:
        running.wait_for(event="ready")
        printed(running.printed, "job")
        seen = ["job"]
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM):
            running.signal(number)
            seen.append(number.name)
            printed(running.printed, *seen)
        assert running.ended() == 42


def test_its_files_are_renewed_beside_it(world: Living, tmp_path: Path) -> None:
    proxy = tmp_path / "proxy"
    brief = ("--proxy", proxy, "--proxy-profile", "brief", "--min-left", "1s")
    job = 'cp "$X509_USER_PROXY" first; while cmp -s first "$X509_USER_PROXY"; do sleep 0.1; done; echo renewed'
    with world.sidecar(tmp_path, *brief, *shell(f'cd "{tmp_path}"; {job}')) as running:
        assert running.ended() == 0
    assert running.printed.read_text() == "renewed\n"
    assert SECONDS < 20, "or this would take long"


def test_a_worker_ends_with_it(token: Path, tmp_path: Path) -> None:
    proxy = tmp_path / "proxy"
    with hostile(proxy=answers(lambda body: minted(body, lifetime=timedelta(seconds=4)))) as daemon:
        asked = ("--url", daemon.url, "--token-file", token, "--proxy", proxy, "--min-left", "0")
        command = ("--", sys.executable, "-c", JOB)
        with sidecar(tmp_path, *asked, *command, env=environment()) as running:
            running.wait_for(event="ready")
            printed(running.printed, "job")
            (job,) = running.children().keys() - set(running.workers())
            daemon.answers["/v1/proxy"] = lambda _: daemon.drip()
            wait_for(lambda: daemon.dripping or None, running.server.output)
            (worker,) = running.workers()
            running.signal(signal.SIGTERM)
            assert running.ended() == 42
            assert not is_running(worker)
            assert not is_running(job)


@pytest.mark.parametrize(
    "content, options, status, code",
    [
        ("garbage", (), 3, "token_malformed"),
        (None, (), 2, "token_unreadable"),
        ("", (), 2, "token_unreadable"),
        ("good", ("--bearer-profile", "nothing"), 3, "profile_unknown"),
    ],
)
def test_refused_before_it_starts(
    content: str | None, options: tuple[str, ...], status: int, code: str, world: Living, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    if content is not None:
        write_private(given, world.token.read_bytes() if content == "good" else content.encode())
    kept = ("--bearer", tmp_path / "bearer", "--trust", tmp_path / "trust")
    with world.sidecar(tmp_path, *kept, *options, *shell("echo started"), token=given) as running:
        assert running.ended() == status
    assert [line["code"] for line in running.events(event="failed")] == [code]
    assert running.printed.read_text() == ""


def test_an_old_file_is_good_enough_to_start_with(world: Living, tmp_path: Path) -> None:
    kept = ("--bearer", tmp_path / "bearer")
    assert world.once(*kept)[0].status == 0
    given = write_private(tmp_path / "given", b"garbage")
    with world.sidecar(tmp_path, *kept, *shell("echo started; exit 5"), token=given) as running:
        assert running.ended() == 5
    assert [line["code"] for line in running.events(event="failed")] == ["token_malformed"]


def test_the_daemon_is_waited_for(token: Path, tmp_path: Path) -> None:
    with hostile(proxy=answers(minted), shut=True) as daemon:
        asked = ("--url", daemon.url, "--token-file", token, "--proxy", tmp_path / "proxy")
        with sidecar(tmp_path, *asked, *shell("echo started"), env=environment()) as running:
            running.wait_for(event="failed", code="unreachable")
            assert running.printed.read_text() == ""
            daemon.open()
            assert running.ended() == 0
    assert running.printed.read_text() == "started\n"


def test_the_end_while_the_daemon_is_waited_for(token: Path, tmp_path: Path) -> None:
    asked = ("--url", "http://127.0.0.1:1", "--token-file", token, "--proxy", tmp_path / "proxy")
    with sidecar(tmp_path, *asked, *shell("echo started"), env=environment()) as running:
        running.wait_for(event="failed", code="unreachable")
        assert running.stop() == 143, "it was to run, and has not"
    assert running.printed.read_text() == ""


def test_one_that_is_no_program_is_found_out_before_anything_is_asked_for(world: Living, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("no program")
    for program in ("nothing-of-this-name", tmp_path / "nothing", tmp_path / "script", tmp_path):
        with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", "--", program, "-c") as running:
            assert running.ended() == 2
            (line,) = running.server.output().splitlines()
            assert line.startswith(f"ttscache: {program} cannot be run")
    assert not (tmp_path / "bearer").exists()


def test_one_of_another_machine_is_told_on_one_line(world: Living, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF of elsewhere")
    program.chmod(0o755)
    with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", "--", program) as running:
        assert running.ended() == 1
        assert running.server.output().splitlines()[-1].startswith(f"ttscache: {program}: Exec format error")


def test_it_may_have_core_files(world: Living, tmp_path: Path) -> None:
    """Keys are in the worker's memory, not in the agent's: the limit is not for the job."""
    (tmp_path / "files").mkdir()
    kept = ("--idtoken", tmp_path / "files/token")
    with world.sidecar(tmp_path, *kept, *shell("ulimit -H -c")) as running:
        assert running.ended() == 0
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        printed(running.printed, "unlimited" if most == resource.RLIM_INFINITY else str(most // 512))
