"""XRootD as a storage site has it: GSI and HTTPS on one port, who is who by grid-mapfile, who may what by account.

A DN that the map does not have is refused at the door (`gmapopt:2`, `http.gridmap required`), and the server's log
says that this was why; it is part of the verdict.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tests.acceptance.tls import ALERT, get
from tests.acceptance.xrootd_service import Home, gsi, home, service
from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, Verdict, at_clock, environment, need, run

# in the server's log, one for each door: the chain was good, but nobody is mapped from its DN
UNMAPPED_GSI = "user mapping required, but lookup failed"
UNMAPPED_HTTPS = "Required gridmap mapping failed"

# the server itself refused the chain: in its log, and by an alert that it sent
REFUSAL_GSI = "User authentication failed; Secgsi: "
REFUSAL_HTTPS = ALERT

# a grid-mapfile that must have everybody; an edit is live after a second
MAPPED = ("-gridmap:{home}/grid-mapfile", "-gmapopt:2", "-gmapto:1")

STORAGE = """\
oss.localroot {home}
ofs.authorize 1
acc.authdb {home}/authdb
"""
HTTPS = """\
xrd.tls {certificate} {key}
xrd.tlsca certdir {trust} refresh 8h verdepth 20
xrd.protocol http libXrdHttp.so
http.trace auth
"""
_GRIDMAP = """\
http.gridmap required {home}/grid-mapfile
"""
_LOGIN = re.compile(r"\] (?:pvt \S+ )?login as (.+)$", re.MULTILINE)


class XRootD:
    """A running server, and clients that read from it."""

    def __init__(self, server: Server, port: int, trust_dir: Path) -> None:
        self.port = port
        self.server = server
        self.trust_dir = trust_dir

    def gsi_read(self, proxy_file: Path, path: str = "/data/shared", *, clock: timedelta = timedelta()) -> Verdict:
        """Read a file over the xroot protocol with XRootD's own client, its clock perhaps set off."""
        since = self.server.position()
        argv = ["xrdfs", f"root://localhost:{self.port}", "cat", path]
        client = run(at_clock(clock, argv), env=environment(**client_settings(self.trust_dir, proxy_file)))
        return Verdict(client.ok, f"xrdfs: {client.text}\nxrootd: {self.server.output(since)}")

    def https_read(self, proxy_file: Path, path: str = "/data/shared") -> Verdict:
        """Read a file over HTTPS, the proxy being the client certificate."""
        return self._https_read(path, pem=proxy_file.read_bytes())

    def token_read(self, token: str, path: str) -> Verdict:
        """Read a file over HTTPS with a bearer token."""
        return self._https_read(path, f"Authorization: Bearer {token}")

    def _https_read(self, path: str, *headers: str, pem: bytes = b"") -> Verdict:
        since = self.server.position()
        said = get(self.port, self.trust_dir, path, *headers, pem=pem)
        return Verdict("HTTP/1.1 200 " in said, f"https: {said}\nxrootd: {self.server.output(since)}")

    def logins(self, since: int = 0) -> list[str]:
        """Return who came in by either door since a position of the log: accounts, in their order."""
        return _LOGIN.findall(self.server.output(since))


def client_settings(trust_dir: Path, proxy_file: Path) -> dict[str, str | Path]:
    """Return the environment of an XRootD client with a proxy, be it a person's or a cache's."""
    need("xrdfs")
    return {
        "X509_CERT_DIR": trust_dir,
        "X509_USER_PROXY": proxy_file,
        "XrdSecPROTOCOL": "gsi",
        # a redirect names an address, and the certificate has a name
        "XrdSecGSISRVNAMES": "localhost",
        # one attempt: a refusal is an answer, and the default is to try again for minutes
        "XRD_CONNECTIONRETRY": "1",
        "XRD_STREAMERRORWINDOW": "0",
        "XRD_NETWORKSTACK": "IPv4",
    }


@contextmanager
def storage(trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str]) -> Iterator[XRootD]:
    """Run a server for the DNs (slash form) of a grid-mapfile until the block ends.

    It has a file for everybody who is mapped, and a file for each account.
    """
    with home(trust_dir, host) as place:
        accounts = sorted(set(gridmap.values()))
        _contents(place, accounts)
        place.write("grid-mapfile", grid_mapfile(gridmap))
        place.write("authdb", "".join(f"u {account} /data/shared rl /data/{account} rl\n" for account in accounts))
        with service(place, gsi(*MAPPED) + STORAGE + HTTPS + _GRIDMAP) as (server, port):
            yield XRootD(server, port, trust_dir)


def grid_mapfile(gridmap: Mapping[str, str]) -> str:
    """Return a grid-mapfile from DNs in slash form to accounts."""
    return "".join(f'"{dn}" {account}\n' for dn, account in gridmap.items())


def _contents(place: Home, accounts: Iterable[str]) -> None:
    place.write("data/shared", "for everybody who is mapped")
    for account in accounts:
        place.write(f"data/{account}/file", f"for {account} alone")
