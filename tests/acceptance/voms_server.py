"""INFN's VOMS server, the C++ one of Debian, as a VO has it: members in a database, `GET /generate-ac` over TLS.

What its answers are like (voms-server 2.1.0~rc3), which a client has to know:

- Parameters are taken as they are: `%2Fcms` is no group, so FQANs go unescaped, several with commas between.
- A warning (a shortened lifetime, an unknown parameter) has status 500 and comes with the attribute certificate.
- `targets` makes it hang up. A lifetime that is no number, or not positive, is its own.
- Its attribute certificates name the holder as RFC 5755 does, by the issuer's name and the serial number. Under a host
  certificate of an ECDSA CA they are signed with SHA-1, which nobody should take: the host is better of an RSA CA.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.vomsdir import lsc_file
from tests.acceptance.voms_server_database import NAME, Database, database
from tests.tools.compiler import compiled
from tests.tools.hostcert import HostCredential
from tests.tools.programs import dies_with_us, environment, need, serving, unavailable

_SHIM = Path(__file__).parent / "shims" / "voms_rest.c"
_PLUGIN = Path("/usr/lib/voms/libvomsmysql.so")
_LISTENING = r"listening on port (\d+)"
# written into the attribute certificates; the port that it listens on is known too late for that
_URI = "localhost:15000"


@dataclass(frozen=True, slots=True)
class VomsServer:
    """A running server: `url` is where `/generate-ac` is, `lsc` what a VOMS directory must hold of it."""

    vo: str
    host: HostCredential
    port: int
    lsc: bytes
    _database: Database

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def vomses(self) -> str:
        """The line with which voms-proxy-init finds it."""
        return f'"{self.vo}" "localhost" "{self.port}" "{self.host.dn}" "{self.vo}"\n'

    def register(self, dn: str, ca: str, *fqans: str) -> None:
        """Let somebody into the VO, by DN and the CA's DN in slash form."""
        parsed = [Fqan.parse(fqan) for fqan in fqans]
        self._database.register(dn, ca, [(fqan.group, fqan.role or "NULL") for fqan in parsed])

    def suspend(self, dn: str, reason: str) -> None:
        """Suspend a member: the reason is told to whoever asks."""
        self._database.suspend(dn, reason)


@contextmanager
def voms_server(trust_dir: Path, host: HostCredential, vo: str = "cms") -> Iterator[VomsServer]:
    """Run a server for a VO that has no members, until the block ends."""
    need("voms", "setpriv")
    if not _PLUGIN.exists() or not Path("/usr/include/stdsoap2.h").exists():
        unavailable("not installed: voms-mysql-plugin, libgsoap-dev")
    top = Path(tempfile.mkdtemp(prefix="voms-"))  # the path of a socket has 107 characters at most
    try:
        with database(top) as members:
            certificate, key = host.write(top)
            argv: list[str | Path] = ["voms", "-debug", "-logfile", top / "voms.log", "-vo", vo, "-port", "0"]
            argv += ["-dbname", NAME, "-username", NAME, "-passfile", _password(top), "-mysql-socket", members.socket]
            argv += ["-sqlloc", _PLUGIN, "-x509_cert_dir", trust_dir, "-x509_user_cert", certificate]
            argv += ["-x509_user_key", key, "-uri", _URI, "-newformat"]
            shim = compiled(_SHIM, top / "voms_rest.so", "-shared", "-fPIC")
            env = environment(LD_PRELOAD=shim)
            with serving(dies_with_us(argv), log=top / "output", env=env, directory=top) as server:
                port = int(server.printed(_LISTENING)[1])
                yield VomsServer(vo, host, port, lsc_file([host.certificate]), members)
    finally:
        shutil.rmtree(top)


def _password(directory: Path) -> Path:
    """Write the file that the server wants, with the mode that it wants; the database asks for no password."""
    file = directory / "password"
    file.write_text("none\n")
    file.chmod(0o640)
    return file
