"""`ttscache sidecar` as a process of its own, whose log tests wait for."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools.daemons import COMMAND, Outcome, here
from tests.tools.programs import Server, dies_with_us, environment, serving, wait_for


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar; ``printed`` is what its children have written to standard output."""

    server: Server
    printed: Path

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.server.process.send_signal(number)

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the log's lines; one that is not JSON fails the test. A line still being written is left out."""
        whole = self.server.output(since).rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def events(self, since: int = 0, **fields: str) -> list[dict[str, Any]]:
        """Return the lines in which all these fields are."""
        return [line for line in self.log(since) if fields.items() <= line.items()]

    def wait_for(self, since: int = 0, *, times: int = 1, **fields: str) -> dict[str, Any]:
        """Wait until so many lines have these fields, and return the last."""

        def probe() -> dict[str, Any] | None:
            ended = self.server.process.poll()
            found = self.events(since, **fields)
            assert len(found) >= times or ended is None, f"ended with status {ended}:\n{self.server.output()}"
            return found[-1] if len(found) >= times else None

        return wait_for(probe, lambda: f"no {fields}:\n{self.server.output(since)}")

    def renew(self, kind: str) -> dict[str, Any]:
        """Have one file renewed: within the second in which it was made, no new one lives for longer."""
        known = len(self.events(event="renewed", kind=kind))

        def probe() -> dict[str, Any] | None:
            found = self.events(event="renewed", kind=kind)
            if len(found) > known:
                return found[-1]
            if not self.workers():
                self.signal(signal.SIGHUP)
            return None

        return wait_for(probe, self.server.output)

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end and return the exit status."""
        self.server.ended()
        return self.server.process.returncode

    def children(self) -> dict[int, str]:
        """Return the processes that it has started and that are not gone, with their command lines."""
        return children(self.pid)

    def workers(self) -> list[int]:
        """Return those of them that do its work; one that is about to end has no command line any more."""
        return [pid for pid, command in self.children().items() if not command or command.endswith("sidecar.work")]


@contextmanager
def sidecar(
    directory: Path,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    clock: Mapping[str, str] | None = None,
) -> Iterator[Sidecar]:
    """Run a sidecar until the block ends; its files are in ``directory``."""
    printed, log = directory / "sidecar.out", directory / "sidecar.log"
    # what children print goes elsewhere, so that the log is nothing but log
    shell = ["/bin/sh", "-c", 'exec "$@" >"$0"', printed, *dies_with_us([COMMAND, "sidecar", *arguments])]
    surroundings = {**(environment() if env is None else env), **(clock or {})}
    with serving(shell, log=log, env=surroundings) as server:
        yield Sidecar(server, printed)


def once(*arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[Outcome, list[dict[str, Any]]]:
    """Run `sidecar --once`, of which this process is the agent; return how it ended, and the lines of its log."""
    outcome = here("sidecar", "--once", *arguments, env=env)
    return outcome, [json.loads(line) for line in outcome.err.splitlines()]


def told(status: Path, kind: str, *, failures: int = 0, **wanted: object) -> dict[str, Any]:
    """Wait until the status file says all this of one file, and so many failures at least; return what it says."""

    def probe() -> dict[str, Any] | None:
        if not status.exists():
            return None
        found = next(each for each in json.loads(status.read_text())["files"] if each["kind"] == kind)
        return found if found["failures"] >= failures and wanted.items() <= found.items() else None

    return wait_for(probe, lambda: status.read_text() if status.exists() else "no status file")


def children(pid: int) -> dict[int, str]:
    """Return the processes that a process has started and that are not gone, with their command lines."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return {}
    return {int(each): _command_line(int(each)) for each in listed if is_running(int(each))}


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended (one that nobody has asked for its status has)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
