"""XRootD's daemons as services: a home that they can read, their own user, a host name that resolves, their log."""

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, dies_with_us, environment, need, serving, unavailable

_USER = "xrootd"
_READY = r"------ {} \S+:(\d+) initialization completed"

# `{home}`, `{trust}`, `{certificate}` and `{key}` stand for the paths of a `Home`
_CONFIGURATION = """\
all.export /data
all.adminpath {home}/admin
all.pidpath {home}/admin
xrd.network norpipa nodnr
"""
# `-crl:0`: it looks at no CRL at any level anyway; `-d:1`: the reasons for a refusal, without the buffers
_GSI = """\
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{trust} -crldir:{trust} -cert:{certificate} -key:{key} -crl:0 -ca:2 -dlgpxy:0 -d:1 \
"""
_ONLY_GSI = """
sec.protbind * only gsi
"""


@dataclass(frozen=True, slots=True)
class Home:
    """A directory for the daemons of a node, with the trust directory and the host's credential in it."""

    top: Path
    trust: Path
    certificate: Path
    key: Path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file that the daemons may read."""
        file = self.top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def private(self, name: str, content: bytes) -> Path:
        """Put a file in place, whole, that the daemons alone may read."""
        file = self.top / name
        fresh = file.with_name(f".{file.name}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(content)
        return _give(fresh).rename(file)

    def folder(self, name: str) -> Path:
        """Make a directory that the daemons may write into."""
        (self.top / name).mkdir()
        return _give(self.top / name)


def need_plugins(*names: str) -> None:
    """Do without the test, as `need` does, when a plug-in of XRootD is missing."""
    places = [*Path("/usr").glob("lib*"), *Path("/usr/lib").glob("*-linux-gnu")]
    missing = [name for name in names if not any(any(place.glob(f"lib{name}-*.so")) for place in places)]
    if missing:
        unavailable(f"not installed: XRootD's plug-ins {', '.join(missing)}")


@contextmanager
def home(trust_dir: Path, host: HostCredential) -> Iterator[Home]:
    """Make a home until the block ends."""
    need("xrootd", "setpriv", "unshare")
    # not below pytest's own directory, which its owner alone may enter: the daemons are somebody else
    top = Path(tempfile.mkdtemp(prefix="xrootd-"))
    try:
        top.chmod(0o755)
        trust = shutil.copytree(trust_dir, top / "certificates")
        trust.chmod(0o755)
        certificate, key = host.write(top)
        made = Home(top, trust, certificate, _give(key))
        made.folder("admin")
        yield made
    finally:
        shutil.rmtree(top)


def gsi(*options: str) -> str:
    """Return the directives for a door that opens with GSI alone."""
    return f"{_GSI}{' '.join(options)}{_ONLY_GSI}"


@contextmanager
def service(
    home: Home,
    configuration: str,
    *,
    program: str = "xrootd",
    port: int | None = None,
    env: Mapping[str, str | Path] | None = None,
) -> Iterator[tuple[Server, int]]:
    """Run `xrootd` or `cmsd` until the block ends; return it with its port, by default a free one."""
    text = (_CONFIGURATION + configuration).format(
        home=home.top, trust=home.trust, certificate=home.certificate, key=home.key
    )
    text += f"xrd.port {port or 'any'}\n"
    argv = _as_service([program, "-c", home.write(f"{program}.cfg", text)])
    log = home.top / f"{program}.log"
    with serving(argv, log=log, env=environment(**env or {}), directory=home.top) as server:
        yield server, int(server.printed(_READY.format(program))[1])


def _give(path: Path) -> Path:
    """Let a file or directory be the daemons' own."""
    if os.geteuid() == 0:
        shutil.chown(path, _user())
    return path


def _user() -> str:
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        unavailable(f"no user {_USER}")
    return _USER


def _as_service(argv: list[str | Path]) -> list[str | Path]:
    """Run as `xrootd`, since it refuses to be root, under a host name that resolves, since it ends without one."""
    if os.geteuid() != 0:
        return dies_with_us(argv)
    own = dies_with_us(argv, "--reuid", _user(), "--regid", _user(), "--clear-groups")
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return ["unshare", "--uts", "sh", "-c", 'hostname localhost && exec "$@"', "sh", *own]
    return own
