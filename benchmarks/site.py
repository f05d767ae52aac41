"""Servers to be measured, each a process of its own on a loopback port that was free."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import yaml

from ttscache.sandbox.iam import EmbeddedIam
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES, Site, prepare

_START_SECONDS = 30.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.05
_DAEMON = "from ttscache.cli import main; main()"


@dataclass(frozen=True)
class Server:
    """A running server process, and the file with its log."""

    pid: int
    port: int
    log: Path

    @property
    def cpu_seconds(self) -> float:
        """The CPU time that the process has used: the clock that clock_getcpuclockid(3) would name."""
        return time.clock_gettime(((~self.pid) << 3) | 2)


@dataclass(frozen=True)
class RunningSite:
    """The daemon, and the IAM that it trusts."""

    daemon: Server
    iam: EmbeddedIam
    server_ca: Path

    def token(self) -> str:
        """Return a fresh token of user jane."""
        return self.iam.token_for("jane", scope=TOKEN_SCOPES, audience=AUDIENCE)


@asynccontextmanager
async def running_site(*, tls: bool = False) -> AsyncIterator[RunningSite]:
    """Run `ttscache serve` with the sandbox's configuration, on plain HTTP or TLS, and an IAM in this process."""
    iam = EmbeddedIam()
    await iam.start()
    try:
        with TemporaryDirectory(prefix="ttscache-bench.") as directory:
            site = Site(Path(directory))
            await asyncio.to_thread(prepare, site, iam.url, iam.config, 0)
            if not tls:
                _without_tls(site.configuration)
            arguments = ["-c", _DAEMON, "serve", "-c", str(site.configuration)]
            with _process(arguments, site.directory) as process:
                yield RunningSite(await _ready(process, site.directory), iam, site.server_ca)
    finally:
        await iam.stop()


@asynccontextmanager
async def running_bare_server(answer: Path) -> AsyncIterator[Server]:
    """Run the bare aiohttp server that sends the answer of this file."""
    with TemporaryDirectory(prefix="ttscache-bench.") as directory:
        arguments = ["-m", "benchmarks.bare_server", str(answer)]
        with _process(arguments, Path(directory)) as process:
            yield await _ready(process, Path(directory))


def _without_tls(configuration: Path) -> None:
    document = yaml.safe_load(configuration.read_bytes())
    del document["server"]["tls"]
    configuration.write_text(yaml.safe_dump(document))


@contextmanager
def _process(arguments: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, *arguments, "--ready-file", str(directory / "ready")]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


async def _ready(process: subprocess.Popen[bytes], directory: Path) -> Server:
    ready, log = directory / "ready", directory / "log"
    deadline = time.monotonic() + _START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {log.read_text()}")
        await asyncio.sleep(_POLL_SECONDS)
    url = json.loads(ready.read_bytes())["url"]
    return Server(process.pid, urlsplit(url).port or 0, log)
