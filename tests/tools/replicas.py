"""Replicas of the daemon over one Redis and one CA, and an IAM that counts what reaches it."""

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.tools.programs import dies_with_us, environment
from tests.tools.redis import RedisServer
from ttscache.durable import write_atomically
from ttscache.sandbox.iam import EmbeddedIam, IamConfig, User

AUDIENCE = "https://ttscache.test"
COMMAND = Path(sys.executable).with_name("ttscache")


def crowd(count: int) -> tuple[User, ...]:
    """So many users of the VO."""
    return tuple(
        User(username=f"user{i}", sub=f"sub-{i:05}", name=f"User {i}", email=f"user{i}@example", groups=("/cms",))
        for i in range(count)
    )


@dataclass
class Replica:
    """One running daemon."""

    process: subprocess.Popen[bytes]
    url: str
    log_file: Path

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def log(self) -> list[dict[str, Any]]:
        """Return the log's whole lines."""
        whole = self.log_file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@dataclass
class Fleet:
    """What replicas share; each is started with :meth:`start`."""

    directory: Path
    iam: EmbeddedIam
    store_url: str
    changes: dict[str, Any] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)

    def prepare(self) -> None:
        self._write("seal.key", secrets.token_bytes(32))
        self._write("client-secret", self.iam.config.client("ttscache").secret.encode())
        self._write("ttscache.yaml", yaml.safe_dump(self.configuration() | self.changes).encode())
        made = subprocess.run(
            [COMMAND, "ca", "init", "-c", self.directory / "ttscache.yaml"],
            env=environment(), capture_output=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr

    async def start(self) -> Replica:
        """Start one more, and wait until it answers."""
        number = len(self.replicas)
        ready, log = self.directory / f"ready-{number}", self.directory / f"log-{number}"
        argv: list[str | Path] = [COMMAND, "serve", "-c", self.directory / "ttscache.yaml", "--ready-file", ready]
        process = _started(argv, log)
        async with asyncio.timeout(60):
            while not ready.exists():
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.02)
        self.replicas.append(Replica(process, json.loads(ready.read_text())["url"], log))
        return self.replicas[-1]

    def end(self) -> None:
        for replica in self.replicas:
            if replica.process.poll() is None:
                replica.kill()

    def token(self, username: str) -> str:
        return self.iam.token_for(username, scope="openid profile wlcg wlcg.groups", audience=AUDIENCE)

    def configuration(self) -> dict[str, Any]:
        exchange = {
            "client_id": "ttscache",
            "client_secret": {"file": "client-secret"},
            "scopes": ["openid", "offline_access", "wlcg.groups"],
        }
        issuer = {"name": "test", "url": self.iam.url, "audiences": [AUDIENCE], "exchange": exchange}
        users = {
            "name": "users",
            "when": {"issuer": "test", "groups": ["/cms"]},
            "dn": "/DC=ch/DC=example/CN={preferred_username}",
            "profiles": ["pilot"],
        }
        return {
            # a herd on two slow cores is answered when it is answered
            "server": {"listen": "127.0.0.1:0", "deadline": "50s"},
            "issuers": [issuer],
            "mapping": [users],
            "profiles": {"pilot": {"type": "x509-proxy", "lifetime": "1h", "max_lifetime": "2h", "key": "p-256"}},
            "authority": {"kind": "local", "dir": "ca", "subject": "/DC=ch/DC=example/CN=CA"},
            "store": {"url": self.store_url, "sealing_keys": [{"id": "k1", "file": "seal.key"}]},
            "admin": {"tokens": [{"issuer": "test", "groups": ["/cms/ttscache-admins"]}]},
        }

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.directory / name, content)


def _started(argv: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(dies_with_us(argv), stderr=out, env=environment())


@contextlib.asynccontextmanager
async def fleet_in(
    directory: Path,
    users: Sequence[User],
    store_url: str | None = None,
    **changes: Any,  # noqa: ANN401 - YAML
) -> AsyncIterator[tuple[Fleet, RedisServer | None]]:
    """Prepare a fleet over a Redis of its own, or over the store of this URL."""
    iam = EmbeddedIam(IamConfig(users=tuple(users), signing=("ES256",)))
    await iam.start()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(RedisServer(maxmemory="512mb")) if store_url is None else None
        fleet = Fleet(directory, iam, store_url or (server.url if server else ""), changes)
        stack.callback(fleet.end)
        await asyncio.to_thread(fleet.prepare)
        try:
            yield fleet, server
        finally:
            fleet.end()
            await iam.stop()
