"""Servers to be measured, each a process of its own on a loopback port that was free."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import yaml

from benchmarks.people import token_of
from ttscache.sandbox.iam import EmbeddedIam, IamConfig, User
from ttscache.sandbox.iam.config import default_users
from ttscache.sandbox.site import Site, prepare

_START_SECONDS = 30.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.05
DAEMON = "from ttscache.cli import main; main()"
# one identity with a few keys costs here what a site's whole crowd costs elsewhere
_UNLIMITED = "999999999/1s"
_AS_IT_IS: Mapping[str, object] = {}
_LIMITS = {"identity": _UNLIMITED, "address": _UNLIMITED, "duplicates": _UNLIMITED}


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
    """The daemon, its files, and the IAM that it trusts."""

    daemon: Server
    iam: EmbeddedIam
    files: Site

    def token(self) -> str:
        """Return a fresh token of user jane."""
        return token_of(self.iam, "jane")


@asynccontextmanager
async def running_site(*, tls: bool = False, users: Sequence[User] = ()) -> AsyncIterator[RunningSite]:
    """Run `ttscache serve` with the sandbox's configuration, on plain HTTP or TLS, and an IAM with users of its own."""
    async with running_iam(users) as iam:
        with TemporaryDirectory(prefix="ttscache-bench.") as directory:
            site = Site(Path(directory))
            await configure(site, iam, tls=tls)
            async with running_daemon(site) as daemon:
                yield RunningSite(daemon, iam, site)


@asynccontextmanager
async def running_iam(users: Sequence[User] = ()) -> AsyncIterator[EmbeddedIam]:
    """Run an IAM in this process, with these users beside the sandbox's own."""
    iam = EmbeddedIam(IamConfig(users=(*default_users(), *users)))
    await iam.start()
    try:
        yield iam
    finally:
        await iam.stop()


async def configure(
    site: Site, iam: EmbeddedIam, *, tls: bool = False, store: Mapping[str, object] = _AS_IT_IS
) -> None:
    """Write what a daemon starts from: the sandbox's, without its limits; ``store`` has other settings of the store."""
    await asyncio.to_thread(prepare, site, iam.url, iam.config, 0)
    document = yaml.safe_load(site.configuration.read_bytes())
    if not tls:
        del document["server"]["tls"]
    document["store"].update(store)
    site.configuration.write_text(yaml.safe_dump({**document, "limits": _LIMITS}))


@asynccontextmanager
async def running_daemon(site: Site) -> AsyncIterator[Server]:
    """Run `ttscache serve`."""
    async with _running(["-c", DAEMON, "serve", "-c", str(site.configuration)]) as server:
        yield server


@asynccontextmanager
async def running_bare_server(module: str, *arguments: str | Path, tls: Sequence[Path] = ()) -> AsyncIterator[Server]:
    """Run one of the bare servers, each a module of this package; ``tls`` are a certificate's file and its key's."""
    options = ["--tls", *map(str, tls)] if tls else []
    async with _running(["-m", f"benchmarks.{module}", *map(str, arguments), *options]) as server:
        yield server


@asynccontextmanager
async def _running(arguments: Sequence[str]) -> AsyncIterator[Server]:
    with TemporaryDirectory(prefix="ttscache-bench.") as directory, _process(arguments, Path(directory)) as process:
        yield await _ready(process, Path(directory))


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
