"""The real daemon as a process of its own, over an IAM of the test's, with a clock that can be set."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.tools.programs import unavailable
from ttscache.durable import write_atomically
from ttscache.sandbox.iam import EmbeddedIam, IamConfig

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
AUDIENCE = "https://ttscache.test"
DAY = 86400


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The problem's code; empty for an answer that is none."""
        return str(json.loads(self.body)["code"]) if self.status != 200 else ""


class Site:
    """A configuration in a directory, its IAM, and the daemon that runs from it."""

    def __init__(self, directory: Path) -> None:
        if not FAKETIME.exists():
            unavailable("libfaketime is not installed")
        self.directory = directory
        # its tokens are good for the daemon wherever a test sets the daemon's clock
        behind = 15 * DAY
        self.iam = EmbeddedIam(
            IamConfig(
                signing=("ES256",),
                access_lifetime=30 * DAY,
                refresh_lifetime=90 * DAY,
                reuse_revokes_family=True,
                now=lambda: time.time() - behind,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.http = aiohttp.ClientSession()
        self.url = ""
        self.offset = 0

    async def prepare(self) -> None:
        await self.iam.start()
        self._write("seal.key", secrets.token_bytes(32))
        self._write("client-secret", self.iam.config.client("ttscache").secret.encode())
        self._write("ttscache.yaml", yaml.safe_dump(self._configuration()).encode())
        self.set_clock(0)

    def set_clock(self, offset: int) -> None:
        """Set the daemon's clock to so many seconds from ours, while it runs."""
        self.offset = offset
        self._write("offset", f"{offset:+d}\n".encode())

    @property
    def now(self) -> float:
        """The time by the daemon's clock."""
        return time.time() + self.offset

    async def start(self) -> None:
        """Start the daemon and wait until it answers."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        process = self.process = self._spawn(ready)
        async with asyncio.timeout(20):
            while not ready.exists():
                assert process.poll() is None, self.log
                await asyncio.sleep(0.02)
        self.url = json.loads(ready.read_text())["url"]

    def _spawn(self, ready: Path) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).with_name("ttscache")
        environment = {
            **os.environ,
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            # its own guess is that waits under Python's lock end by the faked clock: they would spin instead of waiting
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_TIMESTAMP_FILE": str(self.directory / "offset"),
        }
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [program, "serve", "-c", self.directory / "ttscache.yaml", "--ready-file", ready],
                stderr=log,
                env=environment,
            )

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def kill(self) -> None:
        """End the daemon as `kill -9` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for left in (f"faketime_shm_{self.process.pid}", f"sem.faketime_sem_{self.process.pid}"):
                Path("/dev/shm", left).unlink(missing_ok=True)  # noqa: S108 - where libfaketime puts them
            self.process = None

    def stop(self) -> int:
        """End the daemon in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        self.process = None
        return code

    async def ask(self, token: str, **fields: Any) -> Answer:  # noqa: ANN401 - the request's body
        """Ask for a proxy."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/x-pem-file"}
        async with self.http.post(f"{self.url}/v1/proxy", json=fields, headers=headers) as answer:
            return Answer(answer.status, await answer.read())

    async def fetch(self, token: str) -> Answer:
        """Fetch the cached proxy."""
        async with self.http.get(f"{self.url}/v1/proxy", headers={"Authorization": f"Bearer {token}"}) as answer:
            return Answer(answer.status, await answer.read())

    def token(self, username: str = "jane") -> str:
        return self.iam.token_for(username, scope="openid profile wlcg wlcg.groups", audience=AUDIENCE)

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.directory / name, content)

    def _configuration(self) -> dict[str, Any]:
        exchange = {
            "client_id": "ttscache",
            "client_secret": {"file": "client-secret"},
            "scopes": ["openid", "offline_access", "wlcg.groups"],
        }
        issuer = {"name": "test", "url": self.iam.url, "audiences": [AUDIENCE], "token_profile": "wlcg"}
        return {
            "server": {"listen": "127.0.0.1:0"},
            "issuers": [{**issuer, "exchange": exchange, "session": {"confirm": "1h", "grace": "1h"}}],
            "mapping": [
                {
                    "name": "users",
                    "when": {"issuer": "test", "groups": ["/cms"]},
                    "dn": "/DC=ch/DC=example/CN={preferred_username}",
                    "profiles": ["pilot"],
                }
            ],
            "profiles": {
                "pilot": {
                    "type": "x509-proxy",
                    "lifetime": "1h",
                    "min_lifetime": "1m",
                    "max_lifetime": "2h",
                    "key": "p-256",
                }
            },
            "authority": {"kind": "local", "dir": "ca", "subject": "/DC=ch/DC=example/CN=CA"},
            "store": {"url": "sqlite:///state.db", "sealing_keys": [{"id": "k1", "file": "seal.key"}]},
        }


@contextlib.asynccontextmanager
async def site_in(directory: Path) -> AsyncIterator[Site]:
    site = Site(directory)
    try:
        await site.prepare()
        yield site
    finally:
        site.kill()
        await site.http.close()
        await site.iam.stop()
