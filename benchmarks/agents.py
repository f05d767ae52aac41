"""Sidecars, each a process of its own, a daemon for them, and a shell's and a bare interpreter's part of the same."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks.people import token_of
from benchmarks.programs import ProgramError
from benchmarks.site import DAEMON, Server, configure, running_daemon, running_iam
from tests.tools.minting import write_private
from ttscache.sandbox.iam import EmbeddedIam, User
from ttscache.sandbox.site import Site

PROGRAMS = ("openssl", "curl", "awk")
# profiles: the sandbox's own of twelve hours, the same with another key, and one that is renewed every few seconds
RSA, EC, BRIEF = "pilot", "pilot-ec", "brief"

_POLL_SECONDS = 0.001
_PATIENCE = 30.0
_OPENSSL_KEYS = {RSA: "rsa:2048", EC: "ec -pkeyopt ec_paramgen_curve:prime256v1"}
_SHELL = """\
set -e; umask 077; cd "$1"; url=$2 ca_file=$3 profile=$4 key=$5
openssl req -new -nodes -subj /CN=any -newkey $key -keyout key -out csr 2>errors
printf '{"profile": "%s", "csr": "%s"}' "$profile" "$(awk '{ printf "%s\\\\n", $0 }' csr)" >body
curl -sSf --cacert "$ca_file" -H @headers -H 'Content-Type: application/json' --data @body -o chain "$url/v1/proxy"
cat chain key >proxy.new
mv proxy.new proxy
"""
_PYTHON = """\
import sys
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
key = rsa.generate_private_key(65537, 2048)
open(sys.argv[1], "wb").write(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
"""


@dataclass(frozen=True)
class Pod:
    """A directory with a token, a daemon, and how the one gets a proxy from the other into the file `proxy`."""

    directory: Path
    url: str
    ca_file: Path

    @property
    def proxy(self) -> Path:
        """The file."""
        return self.directory / "proxy"

    @property
    def token(self) -> Path:
        """The file with the token."""
        return self.directory / "token"

    @property
    def items(self) -> Mapping[str, Sequence[str | Path]]:
        """Everything that a sidecar can keep, each with its options; the last of them is where."""
        kinds = ("proxy", "bearer", "idtoken", "trust", "vomsdir")
        return {kind: [f"--{kind}", self.directory / kind] for kind in kinds}

    def sidecar(self, *options: str | Path, url: str | None = None) -> list[str | Path]:
        """Return the arguments of a sidecar; ``url`` is of a relay to the daemon."""
        where: list[str | Path] = ["--url", url or self.url, "--ca-file", self.ca_file, "--token-file", self.token]
        return [sys.executable, "-c", DAEMON, "sidecar", *where, *options]

    def shell(self, profile: str) -> list[str | Path]:
        """Return the arguments of a shell that does it by openssl and curl."""
        key = _OPENSSL_KEYS[profile]
        return ["sh", "-c", _SHELL, "sh", self.directory, self.url, self.ca_file, profile, key]

    def python(self) -> list[str | Path]:
        """Return the arguments of an interpreter that makes a key, and puts nothing else there."""
        return [sys.executable, "-c", _PYTHON, self.proxy]


@dataclass(frozen=True)
class Pods:
    """A daemon, and pods of the IAM's users."""

    daemon: Server
    iam: EmbeddedIam
    files: Site
    directory: Path

    def of(self, username: str) -> Pod:
        """Make a pod with a fresh token."""
        directory = self.directory / username
        directory.mkdir(exist_ok=True)
        token = token_of(self.iam, username)
        write_private(directory / "token", token.encode())
        write_private(directory / "headers", f"Authorization: Bearer {token}\n".encode())
        return Pod(directory, f"https://127.0.0.1:{self.daemon.port}", self.files.server_ca)


@asynccontextmanager
async def running_pods(users: Sequence[User]) -> AsyncIterator[Pods]:
    """Run a daemon behind TLS for these users and the sandbox's own."""
    async with running_iam(users) as iam:
        with TemporaryDirectory(prefix="ttscache-bench.") as directory, TemporaryDirectory(prefix="pods.") as pods:
            site = Site(Path(directory))
            await configure(site, iam, tls=True)
            _add_profiles(site)
            async with running_daemon(site) as daemon:
                yield Pods(daemon, iam, site, Path(pods))


async def seconds_until(file: Path, argv: Sequence[str | Path]) -> float:
    """Run a program to its end; return how long it took until a file was there. Raises ProgramError."""
    output = _output_beside(file)
    with output.open("wb") as written:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*argv, stdout=written, stderr=written)
    async with asyncio.timeout(_PATIENCE):
        ended = asyncio.create_task(process.wait())
        there = False
        while not there and not ended.done():
            await asyncio.sleep(_POLL_SECONDS)
            there = _is_there(file)
        seconds = time.perf_counter() - started
        status = await ended
    if status or not there:
        words = " ".join(output.read_text(errors="replace").split())
        raise ProgramError(f"{Path(argv[0]).name} ended with status {status}: {words[-300:]}")
    return seconds


def _output_beside(file: Path) -> Path:
    """Remove a file of an earlier run; return where the next is to write what it says."""
    file.unlink(missing_ok=True)
    return file.with_name("output")


def _is_there(file: Path) -> bool:
    return file.exists()


def _add_profiles(site: Site) -> None:
    document = yaml.safe_load(site.configuration.read_bytes())
    profiles = document["profiles"]
    profiles[EC] = {**profiles[RSA], "key": "p-256"}
    profiles[BRIEF] = {**profiles[RSA], "lifetime": "6s", "min_lifetime": "2s"}
    for rule in document["mapping"]:
        rule["profiles"] += [EC, BRIEF]
    site.configuration.write_text(yaml.safe_dump(document))
