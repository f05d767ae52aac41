"""A daemon with the listener for old worker images, and what such images ran."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools.daemons import Daemon, LiveIam, change, make_site, serve
from tests.tools.http import Web
from tests.tools.minting import write_private
from tests.tools.programs import PATIENCE, environment, need
from ttscache.sandbox.site import Site

NETWORK = "127.0.0.0/24"
STRANGER = "127.1.2.3"
PATHS = ("/get_proxy", "/cgi-bin/get_proxy", "/health", "/get_dn_map")

# as the images had it, but for the file's place and the wait for nothing in the loop
WORKER = """
resp=0
until [ $resp -eq 200 ]; do
    resp=$(curl -s -w %{http_code} "$PROXY_CACHE/cgi-bin/get_proxy" -o gwms_proxy)
done
chmod 600 gwms_proxy
export X509_USER_PROXY=$PWD/gwms_proxy
grid-proxy-info -exists -valid 10:00
"""

Edit = Callable[[dict[str, Any]], object]
Run = Callable[[Site, Path], AbstractContextManager[Daemon]]


@dataclass(frozen=True)
class Fetched:
    """What curl has got; status 0 where there was no answer."""

    status: int
    head: str
    body: bytes


@dataclass(frozen=True)
class Old:
    """The daemon, and its IAM."""

    daemon: Daemon
    iam: LiveIam

    @property
    def site(self) -> Site:
        return self.daemon.site

    @property
    def url(self) -> str:
        return self.daemon.ready["legacy_url"]

    @property
    def web(self) -> Web:
        """The listener for old images."""
        return Web(self.url, self.site.server_ca)

    def curl(self, path: str, *options: str | Path) -> Fetched:
        need("curl")
        argv = ["curl", "-s", "--max-time", f"{PATIENCE:g}", "-D", "-", *options, self.url + path]
        done = subprocess.run(argv, env=environment(), capture_output=True, timeout=2 * PATIENCE, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        text = head.decode()
        return Fetched(int(text.split()[1]) if text else 0, text, body)

    def proxy(self) -> bytes:
        answer = self.web.get("/get_proxy")
        assert answer.status == 200, answer.body
        return answer.body

    def is_healthy(self) -> bool:
        """Tell what /health says; a failure is never told as OK."""
        answer = self.web.get("/health")
        assert (answer.status, answer.body) == (200, b"OK") or (answer.status == 500 and b"OK" not in answer.body)
        return answer.status == 200


def edit_for(iam: LiveIam, site: Site) -> None:
    """Change a site so that old images are served by the standing session of jane."""
    write_private(site.directory / "pilot.token", iam.token().encode())

    def edit(document: dict[str, Any]) -> None:
        document["sessions"] = [{"name": "pilot", "issuer": "sandbox", "token": {"file": "pilot.token"}}]
        document["legacy"] = {
            "listen": "127.0.0.1:0",
            "networks": [NETWORK],
            "session": "pilot",
            "profile": "pilot",
            "plaintext": True,
        }

    change(site, edit)


@contextmanager
def old(
    directory: Path, edit: Edit = lambda _: None, run: Run = serve, *, iam: LiveIam | None = None, up: bool = True
) -> Iterator[Old]:
    """Run such a daemon; unless ``up`` its IAM is down at first."""
    with iam or LiveIam() as live:
        site = make_site(directory, live)
        edit_for(live, site)
        change(site, edit)
        if not up:
            live.stop()
        with run(site, directory) as daemon:
            yield Old(daemon, live)
