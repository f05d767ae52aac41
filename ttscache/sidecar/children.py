"""The agent's children: the worker of a turn, what is run on a change, and the command that it stands beside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from ttscache.sdnotify import VARIABLES
from ttscache.sidecar.order import Order, Outcome, State

# keys, an answer that takes its time, a thousand files of trust
_WORK_SECONDS = 120.0
_HOOK_SECONDS = 60.0
# what a worker may need to finish a write
_END_SECONDS = 5.0
_UNAVAILABLE, _FAULT = 4, 1
_FIRST = 1
# -P: nothing is loaded from the directory that this happens to be started in
_WORKER = (sys.executable, "-P", "-W", "ignore", "-m", "ttscache.sidecar.work")


class Worker:
    """A turn that is under way."""

    def __init__(self, order: Order) -> None:
        """Start it. Raises OSError."""
        self.order = order
        self._until = time.monotonic() + _WORK_SECONDS
        with _filled_pipe(order.to_json().encode()) as stdin:
            self._process = subprocess.Popen(  # noqa: S603 - ours
                _WORKER, stdin=stdin, stdout=subprocess.PIPE, env=environment({}), process_group=0, text=True
            )

    def poll(self) -> list[Outcome] | None:
        """Return the outcomes, one an item, when it has ended; None before."""
        if self._process.poll() is None and time.monotonic() < self._until:
            return None
        self._process.kill()
        return self._outcomes(self._process.communicate()[0].splitlines())

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def end(self) -> None:
        """End it, after what it is writing."""
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _outcomes(self, lines: Sequence[str]) -> list[Outcome]:
        read = [_outcome(line) for line in lines[: len(self.order.items)]]
        late = time.monotonic() >= self._until
        code, exit_status = ("timeout", _UNAVAILABLE) if late else ("internal", _FAULT)
        broken = Outcome(State.FAILED, code=code, message="the worker ended before its work", exit_status=exit_status)
        return read + [broken] * (len(self.order.items) - len(read))


class Hook:
    """What is run when a file has changed; one at a time, and once more for what changed meanwhile."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._until = 0.0
        self._changed: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The process that runs."""
        return None if self._process is None else self._process.pid

    def changed(self, paths: Sequence[str]) -> None:
        """Have it run for these files."""
        self._changed += paths

    def poll(self) -> str | None:
        """Start it if it is to run, and end it when it takes too long; return what went wrong, on one line."""
        trouble = None
        if self._process is not None:
            trouble = self._ended(self._process)
        if self._process is None and self._changed:
            paths, self._changed = self._changed, []
            try:
                self._process = subprocess.Popen(  # noqa: S603 - what the command line says, without a shell
                    self._command,
                    stdin=subprocess.DEVNULL,
                    env=environment({"TTSCACHE_CHANGED": os.pathsep.join(paths)}),
                    process_group=0,
                )
                self._until = time.monotonic() + _HOOK_SECONDS
            except OSError as error:
                return f"{self._command[0]} cannot be run: {error.strerror}"
        return trouble

    def end(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _ended(self, process: subprocess.Popen[bytes]) -> str | None:
        status = process.poll()
        if status is None and time.monotonic() < self._until:
            return None
        self._process = None
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started and waits for
            process.wait()
            return f"{self._command[0]} took longer than {_HOOK_SECONDS:.0f} s and was ended"
        return None if status == 0 else f"{self._command[0]} ended with status {status}"


class Command:
    """The command that the sidecar stands beside, and ends with."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        """``variables`` are what it finds its credentials by."""
        self._command = command
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether it was started."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The process, when it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it. Raises OSError."""
        inherited = environment(self._variables)
        inherited.pop("BEARER_TOKEN", None)  # it would go before the file (WLCG Bearer Token Discovery)
        self._process = subprocess.Popen(self._command, env=inherited)  # noqa: S603 - as above

    def send(self, number: signal.Signals) -> None:
        """Pass a signal on."""
        if self._process is not None:
            self._process.send_signal(number)

    def poll(self) -> int | None:
        """Return its exit status as a shell tells it, when it has ended."""
        status = None if self._process is None else self._process.poll()
        return 128 - status if status is not None and status < 0 else status


def reap_orphans(*known: int | None) -> None:
    """Bury what has ended and is no child that somebody here asks about: the first process of a container gets all."""
    if os.getpid() != _FIRST:
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return what children find in their environment: no way to speak in our name to systemd."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | dict(more)


@contextlib.contextmanager
def _filled_pipe(content: bytes) -> Iterator[int]:
    """Return the reading end of a pipe that holds this; not more than a pipe takes at once, pipe(7)."""
    reader, writer = os.pipe()
    try:
        with open(writer, "wb") as end:  # noqa: PTH123 - of a descriptor
            end.write(content)
        yield reader
    finally:
        os.close(reader)


def _outcome(line: str) -> Outcome:
    try:
        return Outcome.from_json(line)
    except (ValueError, TypeError, KeyError):
        return Outcome(State.FAILED, code="internal", message="the worker's word is no outcome", exit_status=_FAULT)
