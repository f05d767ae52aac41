"""The sandbox and the daemon as processes of their own, and an IAM in a thread that tests have their hands on."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest.mock import patch

import yaml

from tests.tools.http import Web
from tests.tools.programs import PATIENCE, Server, dies_with_us, environment, serving, wait_for
from ttscache.cli.main import run
from ttscache.sandbox.client import fetch_token
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES, Site, prepare

COMMAND = Path(sys.executable).with_name("ttscache")
_Result = TypeVar("_Result")


def ttscache(*arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> "Outcome":
    """Run the command line to its end."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment(PYTHONWARNINGS="error") if env is None else env,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr.decode())


def here(*arguments: str | Path, env: Mapping[str, str] | None = None) -> "Outcome":
    """Run the command line in this process: what is told is the same, and nothing has to be loaded."""
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    surroundings = environment() if env is None else env
    with patch.dict(os.environ, surroundings, clear=True), redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    out.flush()
    return Outcome(status, out.buffer.getvalue(), err.getvalue())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True)
class Daemon:
    """A running daemon."""

    server: Server
    ready: Mapping[str, str]
    site: Site
    web: Web

    def signal(self, number: signal.Signals) -> None:
        self.server.process.send_signal(number)

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the log's lines; one that is not JSON fails the test. A line still being written is left out."""
        whole = self.server.output(since).rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for_event(self, event: str, since: int = 0) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            return next((line for line in self.log(since) if line["event"] == event), None)

        return wait_for(probe, lambda: f"no event {event}:\n{self.server.output(since)}")

    def wait_for_status(self, status: str) -> dict[str, Any]:
        """Wait until /readyz tells this status."""

        def probe() -> dict[str, Any] | None:
            answer = self.web.get("/readyz").json
            return answer if answer["status"] == status else None

        return wait_for(probe, lambda: f"/readyz: {self.web.get('/readyz').body!r}")

    def reload(self) -> dict[str, Any]:
        """Send SIGHUP, and return what the log has of it."""
        since = self.server.position()
        self.signal(signal.SIGHUP)

        def probe() -> dict[str, Any] | None:
            lines = self.log(since)
            return next((line for line in lines if line["event"] in {"reloaded", "reload_refused"}), None)

        return wait_for(probe, lambda: self.server.output(since))

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.signal(signal.SIGTERM)
        self.server.ended()
        return self.server.process.returncode


@contextmanager
def sandbox(directory: Path) -> Iterator[Daemon]:
    """Run `ttscache sandbox`; its log is at debug level."""
    arguments: list[str | Path] = ["sandbox", "--dir", directory / "sandbox", "--log-level", "debug"]
    with _daemon(arguments, Site(directory / "sandbox"), directory) as running:
        yield running


def unpack(archive: bytes, directory: Path) -> None:
    """Unpack plain files; `extractall` cannot yet be told to be careful in Debian's Python 3.11."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None, f"{member.name} is no file"
            assert Path(member.name).name == member.name
            (directory / member.name).write_bytes(content.read())


@contextmanager
def serve(site: Site, directory: Path, **extra: str) -> Iterator[Daemon]:
    """Run `ttscache serve` with the site's configuration; its log is at debug level, its environment has ``extra``."""
    with _daemon(["serve", "-c", site.configuration, "--log-level", "debug"], site, directory, **extra) as running:
        if running.web.url.startswith("https:"):
            anchors = running.web.get("/trust/anchors.tar.gz")
            if anchors.status == 200:  # otherwise what publishes them is out of order
                unpack(anchors.body, site.certificates)
        yield running


@contextmanager
def _daemon(arguments: list[str | Path], site: Site, directory: Path, **extra: str) -> Iterator[Daemon]:
    ready_file = directory / "ready.json"
    ready_file.unlink(missing_ok=True)
    argv = dies_with_us([COMMAND, *arguments, "--ready-file", ready_file])
    # what is printed goes elsewhere, so that the log is nothing but log
    shell = ["/bin/sh", "-c", 'exec "$@" >"$0"', directory / "printed", *argv]
    with serving(shell, log=directory / "log", env=environment(PYTHONUNBUFFERED="1", **extra)) as server:

        def probe() -> dict[str, str] | None:
            assert server.process.poll() is None, server.output()
            return json.loads(ready_file.read_bytes()) if ready_file.exists() else None

        ready = wait_for(probe, server.output)
        yield Daemon(server, ready, site, Web(ready["url"], site.server_ca))


class LiveIam:
    """An IAM that listens on loopback from a thread of this process."""

    def __init__(self) -> None:
        self.config = IamConfig()
        self.iam = EmbeddedIam(self.config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="iam")

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return self.iam.url

    @property
    def grants(self) -> Mapping[str, int]:
        """How often each grant was asked for."""
        return self._do(lambda: dict(self.iam.counters.grants))

    def start(self) -> None:
        port = int(self.iam.url.rstrip("/").rpartition(":")[2]) if self.iam._realm.origin else 0
        self._run(self.iam.start(port=port))

    def stop(self) -> None:
        self._run(self.iam.stop())

    def token(self, user: str = "jane", *, scope: str = TOKEN_SCOPES, audience: str = AUDIENCE) -> str:
        return self._do(lambda: self.iam.token_for(user, scope=scope, audience=audience))

    def crafted(
        self,
        user: str = "jane",
        *,
        scope: str = TOKEN_SCOPES,
        audience: str = AUDIENCE,
        **fault: Any,  # noqa: ANN401 - Fault's
    ) -> str:
        """Return a token that a fault has changed: `claims`, `omit_claims`, `signed_by`."""
        self.fault(Fault(endpoint="token", grant="password", times=1, **fault))
        demo = self.config.client("demo")
        accounts = {
            "iam_url": self.url,
            "client_id": demo.client_id,
            "client_secret": demo.secret,
            "users": {each.username: each.password for each in self.config.users},
        }
        return fetch_token(accounts, user, scope=scope, audience=audience)

    def suspend(self, user: str, *, active: bool = False) -> None:
        self._do(lambda: setattr(self.iam.state.accounts[user], "active", active))

    def fault(self, fault: Fault) -> None:
        self._do(lambda: self.iam.faults.add(fault))

    def clear_faults(self) -> None:
        self._do(self.iam.faults.clear)

    def wait_for_grant(self, grant: str) -> None:
        """Wait until such a request has arrived."""
        wait_for(lambda: True if self.grants.get(grant) else None, lambda: f"no {grant}: {self.grants}")

    def _do(self, work: Callable[[], _Result]) -> _Result:
        async def done() -> _Result:
            return work()

        return self._run(done())

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


def make_site(directory: Path, iam: LiveIam) -> Site:
    """Write the sandbox's configuration for an IAM."""
    site = Site(directory / "site")
    prepare(site, iam.url, iam.config, 0)
    return site


def change(site: Site, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a site's configuration."""
    document = yaml.safe_load(site.configuration.read_text())
    edit(document)
    site.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def replace_authority(document: dict[str, Any], authority: Mapping[str, object]) -> None:
    """Put another authority in the place of the sandbox's CA, and leave out what only that can do."""
    document["authority"] = dict(authority)
    document.pop("voms", None)
    for profile in document["profiles"].values():
        profile.pop("voms", None)


def client_environment(daemon: Daemon, **extra: str | Path) -> dict[str, str]:
    """Return the environment in which the command line finds the daemon."""
    return environment(
        TTSCACHE_URL=daemon.web.url,
        TTSCACHE_CA_FILE=daemon.site.server_ca,
        X509_CERT_DIR=daemon.site.certificates,
        XDG_RUNTIME_DIR=os.devnull,
        **extra,
    )
