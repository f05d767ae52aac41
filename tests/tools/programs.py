"""Programs of the machine: found, started, watched, and ended by their own process id."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

# daemons live in sbin, which an ordinary user's PATH does not have
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/bin"])

# a machine with two cores and four test runs is slow, not broken
PATIENCE = 30.0

_PAUSE = 0.01

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a program thought of a credential, with everything that it printed."""

    ok: bool
    text: str

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        # asserted as it stands, so the failure message shows the program's own words
        return f"{'accepted' if self.ok else 'refused'}:\n{self.text}"


def need(*programs: str) -> None:
    """Skip the test when a program is missing, or fail it where everything must be there."""
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        unavailable(f"not installed: {', '.join(missing)}")


def unavailable(what: str) -> None:
    """Skip, or fail where TTSCACHE_REQUIRE_TOOLS says that nothing may be missing."""
    if os.environ.get("TTSCACHE_REQUIRE_TOOLS"):
        pytest.fail(what)
    pytest.skip(what)


def environment(**extra: str | Path) -> dict[str, str]:
    """Return an environment without the caller's own credentials, home, locale and proxies."""
    bare = {"PATH": PATH, "HOME": "/nonexistent", "LC_ALL": "C", "TZ": "UTC"}
    return bare | {name: str(value) for name, value in extra.items()}


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Verdict:
    """Run a program to its end: exit status 0 is a yes."""
    done = subprocess.run(
        argv,
        input=stdin,
        env=environment() if env is None else env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    return Verdict(done.returncode == 0, done.stdout.decode(errors="replace"))


def wait_for(probe: Callable[[], T | None], otherwise: Callable[[], str], within: float = PATIENCE) -> T:
    """Ask until there is an answer; past the deadline, fail with the explanation."""
    deadline = time.monotonic() + within
    while (answer := probe()) is None:
        if time.monotonic() > deadline:
            pytest.fail(f"nothing within {within:g} s: {otherwise()}")
        time.sleep(_PAUSE)
    return answer


def at_clock(offset: timedelta, argv: Sequence[str | Path]) -> list[str | Path]:
    """Run a program with its clock set off; without an offset, run it as it is."""
    if not offset:
        return [*argv]
    need("faketime")
    return ["faketime", "-f", f"{offset.total_seconds():+.0f}s", *argv]


class Server:
    """A running program whose output goes to a file that the tests read."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def position(self) -> int:
        """Return where the output stands now, for `output`."""
        return self._log.stat().st_size

    def output(self, since: int = 0) -> str:
        """Return what was printed since a position."""
        with self._log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def printed(self, pattern: str) -> re.Match[str]:
        """Wait for a line of output; a program that ends without it fails the test at once."""

        def probe() -> re.Match[str] | None:
            # the state is read first: what a program printed before it ended is then certainly in the file
            ended = self.process.poll()
            found = re.search(pattern, self.output())
            if found is None and ended is not None:
                pytest.fail(f"ended with status {ended}:\n{self.output()}")
            return found

        return wait_for(probe, lambda: f"no {pattern!r} in:\n{self.output()}")

    def ended(self) -> str:
        """Wait for the end, and return everything that was printed."""
        wait_for(self.process.poll, lambda: f"still running:\n{self.output()}")
        return self.output()


def dies_with_us(argv: Sequence[str | Path], *credentials: str) -> list[str | Path]:
    """Tie a program to this process, so that a test run that is killed leaves nothing behind."""
    return ["setpriv", "--pdeathsig", "TERM", *credentials, "--", *argv]


@contextmanager
def serving(
    argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str], directory: Path | None = None
) -> Iterator[Server]:
    """Run a server in the foreground until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Server(process, log)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours: politely first, then for certain."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
