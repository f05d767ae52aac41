"""The grid's own programs: a person's files for them, and the CPU time that they take."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, certificate_key, kind_of, private_pem
from proxy_gen.pci import proxy_cert_info
from proxy_gen.trust import TrustedAuthority
from tests.tools.hostcert import HostCredential, issue_host
from tests.tools.minting import DAY, authority, end_entity, key_of, write_private, write_trust
from tests.tools.programs import PATH, environment

TOP = "/DC=org/DC=ttscache"


class ProgramError(Exception):
    """A program is missing, or did not do what it was asked for; one line."""


@dataclass(frozen=True)
class Person:
    """Somebody under an RSA CA, which is all that these programs sign below, with files as they want them."""

    directory: Path
    ca: CertificateAuthority
    host: HostCredential
    credential: Credential

    @classmethod
    def make(cls, directory: Path) -> Person:
        """Write the files into an empty directory."""
        ca = authority(f"{TOP}/CN=benchmark CA", KeyKind.RSA_2048)
        crl = ca.crl([], number=1, now=datetime.now(UTC), lifetime=DAY)
        write_trust(directory / "certificates", TrustedAuthority(ca.certificate, (f"{TOP}/*",), crl))
        person = cls(
            directory, ca, issue_host(ca.certificate, ca.key), end_entity(ca, f"{TOP}/CN=jane", KeyKind.RSA_2048)
        )
        person.certificate.write_bytes(Credential(person.credential.chain).to_pem())
        write_private(person.key, private_pem(key_of(person.credential)), mode=0o400)
        return person

    @property
    def certificate(self) -> Path:
        """The person's certificate."""
        return self.directory / "usercert.pem"

    @property
    def key(self) -> Path:
        """The person's key."""
        return self.directory / "userkey.pem"

    @property
    def proxy(self) -> Path:
        """Where the proxy goes."""
        return self.directory / "proxy"

    def environment(self) -> dict[str, str]:
        """Return what the programs find the files by."""
        env = environment(
            X509_CERT_DIR=self.directory / "certificates", X509_USER_CERT=self.certificate, X509_USER_KEY=self.key
        )
        # they make themselves directories at home
        return env | {"HOME": str(self.directory)}

    def require_proxy(self) -> None:
        """Raise ProgramError when what was written is no proxy of the person's for a key of 2048 bits."""
        written = Credential.parse(self.proxy.read_bytes())
        if proxy_cert_info(written.leaf) is None or kind_of(certificate_key(written.leaf)) is not KeyKind.RSA_2048:
            raise ProgramError("a program wrote something else than an RFC 3820 proxy for a key of 2048 bits")


def require(programs: Sequence[str]) -> None:
    """Raise ProgramError when one is not installed."""
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        raise ProgramError(f"not installed: {', '.join(missing)}")


def cpu_seconds(argv: Sequence[str | Path], env: Mapping[str, str], directory: Path) -> float:
    """Run a program to its end; return the CPU time of it and of the processes that it waited for."""
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = " ".join(output.read_text(errors="replace").split())
        raise ProgramError(f"{Path(argv[0]).name} ended with status {process.returncode}: {words[-300:]}")
    return usage.ru_utime + usage.ru_stime
