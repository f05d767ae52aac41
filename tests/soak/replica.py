"""One replica: the real daemon as a process that is killed, ended, reloaded and started again."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.tools.daemons import COMMAND
from tests.tools.programs import dies_with_us, environment

# a machine whose cores others use as well takes its time
_START_SECONDS = 60.0
# an orderly end waits for a refresh that the IAM may take forty seconds for
_END_SECONDS = 60.0
_PAUSE = 0.05


class ReplicaError(Exception):
    """It did not do what a signal or a start asks for."""


class Replica:
    """A daemon with a configuration, a port and a log of its own. ``lock`` is for who starts and ends it."""

    def __init__(self, name: str, directory: Path, port: int) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.configuration = directory / f"{name}.yaml"
        self.log = directory / f"{name}.log"
        self.lock = asyncio.Lock()
        self.starts = 0
        self._ready = directory / f"{name}.ready"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self._ready.unlink(missing_ok=True)
        arguments: list[str | Path] = [
            "serve",
            "-c",
            self.configuration,
            "--log-level",
            "debug",
            "--ready-file",
            self._ready,
        ]
        process = self._process = self._spawned(dies_with_us([COMMAND, *arguments]))
        self.starts += 1
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ReplicaError(f"replica {self.name} is not ready (status {process.returncode}): {self.tail()}")
            await asyncio.sleep(_PAUSE)

    def _spawned(self, argv: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                argv,
                env=environment(PYTHONUNBUFFERED="1"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def terminate(self) -> None:
        """Send SIGTERM and wait for the orderly end, if it runs."""
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        while (status := self._process.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise ReplicaError(f"replica {self.name} has not ended in {_END_SECONDS:.0f} s: {self.tail()}")
            await asyncio.sleep(_PAUSE)
        self._process = None
        if status != 0:
            raise ReplicaError(f"replica {self.name} ended with status {status}: {self.tail()}")

    def reload(self) -> None:
        """Send SIGHUP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-600:]
