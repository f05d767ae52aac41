"""The credential monitor of an HTCondor access point, the real `af-credmon`: top tokens in, `.use` files out.

It needs no pool: a directory such as credd keeps is all it looks at.
"""

import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.tools.http import Web
from tests.tools.minting import write_private
from tests.tools.programs import Server, dies_with_us, environment, need, serving, unavailable, wait_for

AUDIENCE = "af-credmon/x509"
_PROGRAM = Path(sys.executable).with_name("af-credmon")
_SERVICE = "af_x509"
# a scan that a lost connection broke off is told as a failed one
_SCANNED = re.compile(r"(?:scan complete|scan failed).*\n")
_NEVER = "86400"
_RUNS = count()


@dataclass(frozen=True, slots=True)
class Monitor:
    """A running monitor. It scans once when it starts, and from then on only when it is told to."""

    server: Server

    def scanned(self, since: int = 0) -> str:
        """Wait for the end of a scan, and return what was logged of it."""

        def probe() -> str | None:
            logged = self.server.output(since)
            assert self.server.process.poll() is None, logged
            return logged if _SCANNED.search(logged) else None

        return wait_for(probe, lambda: f"no scan:\n{self.server.output()}")

    def wake(self) -> str:
        """Have it scan, as credd does after a store."""
        since = self.server.position()
        self.server.process.send_signal(signal.SIGHUP)
        return self.scanned(since)


class AccessPoint:
    """The directory of credd's on an access point, whose monitor redeems at a daemon."""

    def __init__(self, directory: Path, web: Web) -> None:
        need("setpriv")
        if shutil.which(_PROGRAM) is None:
            unavailable("not installed: af-credmon")
        self._directory, self._web = directory, web
        self.credentials, self._scratch = directory / "credentials", directory / "scratch"
        for made in (self.credentials, self._scratch):
            made.mkdir(mode=0o700)

    def store(self, user: str, token: str) -> Path:
        """Put a user's top token there as credd does; returns where the proxy will be."""
        of_user = self.credentials / user
        of_user.mkdir(mode=0o700, exist_ok=True)
        top = write_private(of_user / f"{_SERVICE}.top", json.dumps({"access_token": token}).encode())
        return top.with_suffix(".use")

    @contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """Run a monitor until the block ends. Each starts without a memory, and redeems every token anew."""
        argv: list[str | Path] = [_PROGRAM, "--broker-url", self._web.url, "--cred-dir", self.credentials]
        with serving(
            dies_with_us([*argv, "--interval", _NEVER]),
            log=self._directory / f"monitor-{next(_RUNS)}.log",
            env=self._environment(),
        ) as server:
            yield Monitor(server)

    def scan(self) -> str:
        """Run a monitor for one scan, and return its log."""
        with self.monitor() as monitor:
            return monitor.scanned()

    def _environment(self) -> dict[str, str]:
        settings = environment(
            CONDOR_CONFIG="ONLY_ENV",  # the machine may be of a pool
            TMPDIR=self._scratch,  # it leaves a directory behind
            PYTHONDONTWRITEBYTECODE="1",
        )
        return settings | ({"SSL_CERT_FILE": str(self._web.ca_file)} if self._web.ca_file else {})
