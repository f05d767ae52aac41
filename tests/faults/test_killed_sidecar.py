"""The sidecar's worker, killed, ended and told of errors at every step of a write: the old file or the new one, whole.

The worker's process and the daemon are the real ones.
"""

import errno
import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.turns import RENAME, STEPS, Target, Turn, bearer_target, proxy_target
from tests.tools.daemons import Daemon, sandbox
from tests.tools.openssl import verify
from tests.tools.programs import need
from ttscache.sidecar.order import Outcome, State

GOOD = {State.RENEWED, State.KEPT}
each_step = pytest.mark.parametrize("step", range(len(STEPS)), ids=lambda step: f"{step}-{STEPS[step]}")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    need("strace")
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Turn:
    return Turn(proxy_target(daemon, tmp_path_factory.mktemp("files") / "proxy"))


@pytest.fixture(scope="module", params=["proxy", "bearer"])
def turn(request: pytest.FixtureRequest, daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Turn:
    make = proxy_target if request.param == "proxy" else bearer_target
    return Turn(make(daemon, tmp_path_factory.mktemp("files") / "file"))


def mended(target: Target) -> None:
    """Have a look at what the next turn makes of it."""
    assert target.turn().state in GOOD
    assert not target.is_old()
    assert not target.leftovers()


def test_the_steps_are_all_there_are(turn: Turn) -> None:
    assert turn.way() == STEPS
    assert not turn.target.is_old()
    assert not turn.target.leftovers()


@each_step
def test_killed_at_any_step(turn: Turn, step: int) -> None:
    said, code = turn.struck_at(step, "signal=KILL")
    assert code == -signal.SIGKILL, said
    assert turn.target.is_old() is (step <= RENAME)
    assert bool(turn.target.leftovers()) is (STEPS.index("openat") < step <= RENAME)
    mended(turn.target)


@each_step
def test_ended_at_any_step(turn: Turn, step: int) -> None:
    """The signal waits until the file is there."""
    said, code = turn.struck_at(step, "signal=TERM")
    assert code == -signal.SIGTERM, said
    assert not turn.target.is_old()
    assert not turn.target.leftovers()


@pytest.mark.parametrize("what", ["KILL", "TERM"])
@pytest.mark.parametrize("call", ["socket", "connect", "getdents64"])
def test_ended_before_the_write(turn: Turn, call: str, what: str) -> None:
    _, code = turn.struck_before(call, f"signal={what}")
    assert code == -signal.Signals[f"SIG{what}"]
    assert turn.target.is_old()
    assert not turn.target.leftovers()


def told(said: str) -> Outcome:
    (line,) = said.splitlines()
    return Outcome.from_json(line)


def failed(said: str, number: int) -> Outcome:
    outcome = told(said)
    assert (outcome.state, outcome.code, outcome.exit_status) == (State.FAILED, "file_failed", 1)
    assert str(outcome.message).endswith(os.strerror(number))
    return outcome


def issued(daemon: Daemon, since: int) -> int:
    return sum(line["event"] == "credential_issued" for line in daemon.log(since))


@pytest.mark.parametrize(
    "call, error",
    [
        ("openat", "ENOSPC"), ("openat", "EDQUOT"), ("openat", "EROFS"), ("openat", "EACCES"), ("openat", "EEXIST"),
        ("fchown", "EPERM"), ("fchmod", "EPERM"),
        ("write", "ENOSPC"), ("write", "EDQUOT"), ("write", "EIO"),
        ("fsync", "ENOSPC"), ("fsync", "EDQUOT"), ("fsync", "EIO"),
        ("renameat", "ENOSPC"), ("renameat", "EROFS"), ("renameat", "EIO"),
    ],
)  # fmt: skip
def test_an_error_leaves_the_old_file_and_nothing_else(daemon: Daemon, proxy: Turn, call: str, error: str) -> None:
    since = daemon.server.position()
    said, code = proxy.struck_at(STEPS.index(call), f"error={error}")
    outcome = failed(said, getattr(errno, error))
    assert code == 0
    assert proxy.target.is_old()
    assert not proxy.target.leftovers()
    assert outcome.not_after is not None  # what is there is still told of
    assert issued(daemon, since) <= proxy.turns
    mended(proxy.target)


@pytest.mark.parametrize("step", [RENAME + 1, RENAME + 2, RENAME + 4], ids=["fstat", "stat", "fsync"])
def test_an_error_after_the_new_file_is_there(proxy: Turn, step: int) -> None:
    said, _ = proxy.struck_at(step, "error=EIO")
    failed(said, errno.EIO)
    assert not proxy.target.is_old()
    assert not proxy.target.leftovers()


@pytest.mark.parametrize("call, what", [("write", "retval=0"), ("write", "error=EINTR"), ("fsync", "error=EINTR")])
def test_what_is_interrupted_goes_on(proxy: Turn, call: str, what: str) -> None:
    said, _ = proxy.struck_at(STEPS.index(call), what)
    assert told(said).state is State.RENEWED
    assert not proxy.target.is_old()


@pytest.mark.parametrize("what", ["error=EIO", "signal=KILL"])
def test_a_leftover_that_could_not_be_removed(proxy: Turn, what: str) -> None:
    proxy.struck_at(RENAME, "error=EIO", f"unlinkat:{what}:when=1")
    assert proxy.target.is_old()
    assert len(proxy.target.leftovers()) == 1
    mended(proxy.target)


def test_short_writes(turn: Turn) -> None:
    cut = "write = os.write\nos.write = lambda descriptor, content: write(descriptor, content[:100])\n"
    said, _ = Turn(turn.target, cut).undisturbed()
    assert told(said).state is State.RENEWED
    assert not turn.target.is_old()


def test_space_that_runs_out_after_a_short_write(proxy: Turn) -> None:
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    said, code = Turn(proxy.target, limited).undisturbed()
    failed(said, errno.EFBIG)
    assert code == 0
    assert proxy.target.is_old()
    assert not proxy.target.leftovers()


def test_openssl_thinks_so_too(daemon: Daemon, proxy: Turn) -> None:
    for step in (RENAME, RENAME + 1):
        proxy.struck_at(step, "signal=KILL")
        assert verify(proxy.target.path.read_bytes(), daemon.site.certificates)
