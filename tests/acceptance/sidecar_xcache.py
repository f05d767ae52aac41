"""XCache and a reader with proxies that live for seconds: the daemon that issues them, the sidecars that keep them.

The cache's proxy is of one identity, the reader's of another; the origin maps the cache alone.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import private_pem
from tests.acceptance.site import JANE, TOP
from tests.acceptance.xrootd import MAPPED, STORAGE, XRootD, client_settings, grid_mapfile
from tests.acceptance.xrootd_service import Home, gsi, need_plugins, service
from tests.tools.daemons import COMMAND, Daemon, LiveIam, change, make_site, serve
from tests.tools.minting import write_private
from tests.tools.programs import Server, Verdict, dies_with_us, environment, run, serving, wait_for

ROBOT = f"{TOP}/CN=robot: cache"
# users of the IAM
_DNS = {"jane": JANE, "joe": ROBOT}
READER, CACHE = _DNS
_SECOND = timedelta(seconds=1)

# the cache hangs up when idle for a second, so that it must show its proxy again; where it does not, the origin does
_FORGETFUL: dict[str, str | Path] = {"XRD_DATASERVERTTL": "1", "XRD_TIMEOUTRESOLUTION": "1"}
_PATIENT = """\
xrd.timeout idle 3
"""
_CACHE = """\
oss.localroot {{home}}/cache
ofs.osslib libXrdPss.so
pss.cachelib default
pss.origin localhost:{origin}
pfc.ram 1g
"""


@contextmanager
def issuing(ca: CertificateAuthority, directory: Path, lifetime: timedelta) -> Iterator[tuple[Daemon, LiveIam]]:
    """Run a daemon that signs proxies of a lifetime below ``ca``, and its IAM, until the block ends."""
    with LiveIam() as iam:
        site = make_site(directory, iam)
        place = site.directory / "ca"
        place.mkdir(mode=0o700)
        write_private(place / "ca.key", private_pem(ca.key))
        (place / "ca.pem").write_bytes(ca.certificate_pem())
        change(site, lambda document: _short_lived(document, ca, lifetime))
        with serve(site, directory) as daemon:
            yield daemon, iam


def _short_lived(document: dict[str, Any], ca: CertificateAuthority, lifetime: timedelta) -> None:
    document["authority"]["subject"] = ca.subject.slash
    lives = {"lifetime": f"{lifetime.seconds}s", "min_lifetime": "2s"}
    document["profiles"] = {"brief": {"type": "x509-proxy", **lives}}
    document["mapping"] = [
        {"name": user, "when": {"claims": {"preferred_username": user}}, "dn": dn, "profiles": ["brief"]}
        for user, dn in _DNS.items()
    ]
    del document["voms"]


@dataclass
class Kept:
    """A proxy file that a sidecar keeps for whom its directory belongs to.

    ``seen`` are the ends of all proxies that were seen in it.
    """

    file: Path
    token: Path
    daemon: Daemon
    seen: set[datetime] = field(default_factory=set)

    @contextmanager
    def sidecar(self) -> Iterator[Server]:
        """Run the sidecar until the block ends; the file is good when the block begins."""
        where: list[str | Path] = ["--url", self.daemon.web.url, "--ca-file", self.daemon.site.server_ca]
        what: list[str | Path] = ["--token-file", self.token, "--proxy", self.file, "--status", self._status]
        # by default nothing that lives for less than a minute is put in the place of anything
        how: list[str | Path] = ["--owner", self.file.parent.owner(), "--min-left", "3s"]
        argv = dies_with_us([COMMAND, "sidecar", *where, *what, *how])
        with serving(argv, log=self.token.with_suffix(".log"), env=environment()) as server:
            wait_for(lambda: (self.file.exists() and self.ends() > datetime.now(UTC)) or None, server.output)
            yield server

    def ends(self) -> datetime:
        """Look at the proxy that is there now; return when it is over, which is after the second of its end."""
        over = Credential.parse(self.file.read_bytes()).leaf.not_valid_after_utc + _SECOND
        self.seen.add(over)
        return over

    def told(self) -> dict[str, Any]:
        """Return what the sidecar says of the file."""
        (told,) = json.loads(self._status.read_bytes())["files"]
        assert isinstance(told, dict)
        return told

    @property
    def _status(self) -> Path:
        return self.token.with_suffix(".json")


def kept(user: str, folder: Path, directory: Path, daemon: Daemon, iam: LiveIam) -> Kept:
    """Return what a sidecar with a user's token is to keep in a folder; its own files are in a directory."""
    token = write_private(directory / f"{user}.jwt", iam.token(user).encode())
    return Kept(folder / "proxy", token, daemon)


class Cache(XRootD):
    """A running cache."""

    def copy(self, proxy: Path, path: str) -> Verdict:
        """Read a file with `xrdcp`, which writes it to its standard output."""
        since = self.server.position()
        argv = ["xrdcp", "--silent", f"root://localhost:{self.port}/{path}", "-"]
        client = run(argv, env=environment(**client_settings(self.trust_dir, proxy)))
        return Verdict(client.ok, f"xrdcp: {client.text}\nxrootd: {self.server.output(since)}")


@contextmanager
def origin(place: Home, files: int) -> Iterator[XRootD]:
    """Run an origin for the cache alone, with so many files `/data/0` and so on, until the block ends."""
    for number in range(files):
        place.write(f"data/{number}", content(number))
    place.write("grid-mapfile", grid_mapfile({ROBOT: "robot"}))
    place.write("authdb", "u robot /data rl\n")
    with service(place, gsi(*MAPPED) + STORAGE + _PATIENT) as (server, port):
        yield XRootD(server, port, place.trust)


@contextmanager
def cache(place: Home, source: XRootD, proxy: Path) -> Iterator[Cache]:
    """Run a cache before an origin until the block ends, which finds its proxy where it will be kept."""
    need_plugins("XrdPss", "XrdPfc")
    place.folder("cache")
    place.write("grid-mapfile", grid_mapfile({JANE: "jane"}))
    env = client_settings(place.trust, proxy) | _FORGETFUL
    with service(place, gsi(*MAPPED) + _CACHE.format(origin=source.port), env=env) as (server, port):
        yield Cache(server, port, place.trust)


def content(number: int) -> str:
    """Return what is in a file of the origin."""
    return f"content of file {number}."
