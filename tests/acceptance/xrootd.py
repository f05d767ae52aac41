"""XRootD as a storage site has it: GSI and HTTPS on one port, who is who by grid-mapfile, who may what by account.

A DN that the map does not have is refused at the door (`gmapopt:2`, `http.gridmap required`), and the server's log
says that this was why; it is part of the verdict.
"""

import http.client
import os
import pwd
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, Verdict, at_clock, dies_with_us, environment, need, run, serving, unavailable

# in the server's log, one for each door: the chain was good, but nobody is mapped from its DN
UNMAPPED_GSI = "user mapping required, but lookup failed"
UNMAPPED_HTTPS = "Required gridmap mapping failed"

# `-crl:0`: it looks at no CRL at any level anyway; `-d:1`: the reasons for a refusal, without the buffers
_CONFIGURATION = """\
all.export /data
oss.localroot {top}
all.adminpath {top}/admin
all.pidpath {top}/admin
xrd.port any
xrd.network norpipa nodnr
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{trust} -crldir:{trust} -cert:{certificate} -key:{key} -crl:0 -ca:2 \
-gridmap:{top}/grid-mapfile -gmapopt:2 -gmapto:1 -dlgpxy:0 -d:1
sec.protbind * only gsi
ofs.authorize 1
acc.authdb {top}/authdb
xrd.tls {certificate} {key}
xrd.tlsca certdir {trust} refresh 8h verdepth 20
xrd.protocol http libXrdHttp.so
http.gridmap required {top}/grid-mapfile
http.trace auth
"""
_READY = r"------ xrootd \S+:(\d+) initialization completed"


class XRootD:
    """A running server with a file for everybody who is mapped, and a file for each account."""

    def __init__(self, server: Server, port: int, trust_dir: Path) -> None:
        self._server = server
        self._port = port
        self._trust_dir = trust_dir

    def gsi_read(self, proxy_file: Path, path: str = "/data/shared", *, clock: timedelta = timedelta()) -> Verdict:
        """Read a file over the xroot protocol with XRootD's own client, its clock perhaps set off."""
        since = self._server.position()
        env = environment(
            X509_CERT_DIR=self._trust_dir,
            X509_USER_PROXY=proxy_file,
            XrdSecPROTOCOL="gsi",
            XrdSecGSISRVNAMES="localhost",
            # one attempt: a refusal is an answer, and the default is to try again for minutes
            XRD_CONNECTIONRETRY="1",
            XRD_STREAMERRORWINDOW="0",
            XRD_NETWORKSTACK="IPv4",
        )
        argv = ["xrdfs", f"root://localhost:{self._port}", "cat", path]
        client = run(at_clock(clock, argv), env=env)
        return Verdict(client.ok, f"xrdfs: {client.text}\nxrootd: {self._server.output(since)}")

    def https_read(self, proxy_file: Path, path: str = "/data/shared") -> Verdict:
        """Read a file over HTTPS, the proxy being the client certificate."""
        since = self._server.position()
        context = ssl.create_default_context(capath=str(self._trust_dir))
        connection = http.client.HTTPSConnection("localhost", self._port, timeout=10, context=context)
        try:
            context.load_cert_chain(proxy_file)  # the client's own OpenSSL refuses the worst already here
            connection.request("GET", path)
            answer = connection.getresponse()
            ok, text = answer.status == http.HTTPStatus.OK, f"{answer.status} {answer.read().decode()}"
        except (OSError, http.client.HTTPException) as error:
            ok, text = False, repr(error)  # XrdHttp hangs up on those whom it does not know
        finally:
            connection.close()
        return Verdict(ok, f"https: {text}\nxrootd: {self._server.output(since)}")


@contextmanager
def storage(trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str]) -> Iterator[XRootD]:
    """Run a server for the DNs (slash form) of a grid-mapfile until the block ends."""
    need("xrootd", "xrdfs", "setpriv", "unshare")
    # not below pytest's own directory, which its owner alone may enter: the server is somebody else
    top = Path(tempfile.mkdtemp(prefix="xrootd-"))
    try:
        log = top / "log"
        _furnish(top, trust_dir, host, gridmap)
        argv = _as_service(["xrootd", "-c", top / "xrootd.cfg"])
        with serving(argv, log=log, env=environment(), directory=top) as server:
            yield XRootD(server, int(server.printed(_READY)[1]), trust_dir)
    finally:
        shutil.rmtree(top)


def _furnish(top: Path, trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str]) -> None:
    """Write everything that the server reads, and give it what it may write."""
    top.chmod(0o755)
    shutil.copytree(trust_dir, top / "certificates")
    (top / "certificates").chmod(0o755)
    certificate, key = host.write(top)
    accounts = sorted(set(gridmap.values()))
    _contents(top / "data", accounts)
    (top / "admin").mkdir()
    (top / "grid-mapfile").write_text("".join(f'"{dn}" {account}\n' for dn, account in gridmap.items()))
    (top / "authdb").write_text("".join(f"u {account} /data/shared rl /data/{account} rl\n" for account in accounts))
    (top / "xrootd.cfg").write_text(
        _CONFIGURATION.format(top=top, trust=top / "certificates", certificate=certificate, key=key)
    )
    if os.geteuid() == 0:
        for path in (key, top / "admin"):
            shutil.chown(path, "xrootd")


def _contents(data: Path, accounts: list[str]) -> None:
    data.mkdir()
    (data / "shared").write_text("for everybody who is mapped")
    for account in accounts:
        (data / account).mkdir()
        (data / account / "file").write_text(f"for {account} alone")


def _as_service(argv: list[str | Path]) -> list[str | Path]:
    """Run as `xrootd`, since it refuses to be root, under a host name that resolves, since it ends without one."""
    if os.geteuid() != 0:
        return dies_with_us(argv)
    try:
        pwd.getpwnam("xrootd")
    except KeyError:
        unavailable("no user xrootd")
    own = dies_with_us(argv, "--reuid", "xrootd", "--regid", "xrootd", "--clear-groups")
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return ["unshare", "--uts", "sh", "-c", 'hostname localhost && exec "$@"', "sh", *own]
    return own
