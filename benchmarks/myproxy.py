"""A MyProxy server that is a CA: it signs a certificate for the key of whoever may retrieve one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import TOP, Person, ProgramError, cpu_seconds
from proxy_gen.credential import Credential
from proxy_gen.keys import private_pem
from tests.tools.minting import write_private

_PATIENCE = 20.0
_PAUSE = 0.005
_TICKS = os.sysconf("SC_CLK_TCK")
# proc_pid_stat(5), counted from the field after the name: ppid; utime, stime, and those of waited-for children
_PARENT, _TIMES = 1, slice(11, 15)


@dataclass(frozen=True)
class MyProxy:
    """A running server, which answers each connection in a child of its own."""

    person: Person
    pid: int
    port: str

    def logon(self) -> Credential:
        """Have a certificate signed: `myproxy-logon` makes the key, and the person's certificate is the password."""
        env = self.person.environment() | {"MYPROXY_SERVER_DN": self.person.host.dn}
        out = self.person.proxy
        argv: list[str | Path] = ["myproxy-logon", "-s", "localhost", "-p", self.port, "-l", "pilot", "-n", "-o", out]
        cpu_seconds(argv, env, self.person.directory)
        return Credential.parse(out.read_bytes())

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and of its children, when all of them have ended."""
        deadline = time.monotonic() + _PATIENCE
        while any(_is_child(stat, self.pid) for stat in Path("/proc").glob("[0-9]*/stat")):
            if time.monotonic() > deadline:
                raise ProgramError("myproxy-server is still busy with a connection that ended")
            time.sleep(_PAUSE)
        return sum(map(int, _fields(Path(f"/proc/{self.pid}/stat"))[_TIMES])) / _TICKS


@contextmanager
def running_myproxy(person: Person) -> Iterator[MyProxy]:
    """Run a server on a loopback port that was free; it goes to the background by itself."""
    directory = person.directory
    pid_file, port_file = directory / "myproxy.pid", directory / "myproxy.port"
    certificate, key = person.host.write(directory)
    env = person.environment() | {"X509_USER_CERT": str(certificate), "X509_USER_KEY": str(key)}
    argv: list[str | Path] = ["myproxy-server", "-l", "127.0.0.1", "-p", "0", "-z", port_file, "-P", pid_file]
    argv += ["-c", _configured(person), "-s", directory / "storage"]
    cpu_seconds(argv, env, directory)
    pid = int(_written(pid_file))
    try:
        yield MyProxy(person, pid, _written(port_file))
    finally:
        os.kill(pid, signal.SIGTERM)


def _configured(person: Person) -> Path:
    directory = person.directory
    (directory / "storage").mkdir(mode=0o700)  # the server refuses one that others may enter
    (directory / "issued").mkdir()
    (directory / "accounts").write_text(f'"{TOP}/CN=pilot" pilot\n')
    (directory / "serial").write_text("01\n")
    (directory / "ca.pem").write_bytes(person.ca.certificate_pem())
    write_private(directory / "ca.key", private_pem(person.ca.key))
    configuration = directory / "myproxy.config"
    configuration.write_text(f"""\
authorized_retrievers "*"
trusted_retrievers "{TOP}/CN=jane"
certificate_issuer_cert {directory}/ca.pem
certificate_issuer_key {directory}/ca.key
certificate_mapfile {directory}/accounts
certificate_serialfile {directory}/serial
certificate_out_dir {directory}/issued
""")
    return configuration


def _written(file: Path) -> str:
    """Return the line in a file that a server writes when it is ready."""
    deadline = time.monotonic() + _PATIENCE
    while not (file.exists() and (text := file.read_text().strip())):
        if time.monotonic() > deadline:
            raise ProgramError("myproxy-server did not start")
        time.sleep(_PAUSE)
    return text


def _is_child(stat: Path, parent: int) -> bool:
    try:
        return int(_fields(stat)[_PARENT]) == parent
    except OSError:
        return False  # it ended between the listing and the reading


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()
