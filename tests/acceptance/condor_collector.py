"""What answers like a collector: HTCondor's daemon core with ads out of a file (`shims/condor_collector.cpp`)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.tools.programs import Server, environment, serving, wait_for

# on loopback, without a configuration of the machine's; what a test gives comes after
_OWN = """
LOG = {here}
LOCK = {here}
SPOOL = {here}
RUN = {here}
ASKED_LOG = {here}/AskedLog
ASKED_ADDRESS_FILE = {here}/address
ASKED_ADS = {here}/ads
USE_SHARED_PORT = False
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
CONDOR_IDS = {uid}.{gid}
"""
OPEN = "ALLOW_READ = *\n"


class Collector:
    """A server of ads, and where it listens."""

    def __init__(self, directory: Path, server: Server) -> None:
        self._directory, self._server = directory, server

    @property
    def address(self) -> str:
        """Where it listens: HOST:PORT."""
        file = self._directory / "address"

        def probe() -> str | None:
            # the last of its lines is the platform's
            lines = file.read_text().splitlines() if file.exists() else []
            return lines[0][1:].partition("?")[0] if len(lines) > 1 else None

        return wait_for(probe, self.log)

    def tell(self, ads: Sequence[str]) -> None:
        """Say what it answers from now on: ads in brackets, a line each."""
        (self._directory / "ads").write_text("".join(f"{ad}\n" for ad in ads))

    def log(self) -> str:
        """Return what it wrote."""
        file = self._directory / "AskedLog"
        return self._server.output() + (file.read_text() if file.exists() else "")


@contextmanager
def collector(program: Path, directory: Path, ads: Sequence[str] = (), config: str = OPEN) -> Iterator[Collector]:
    """Run one with this configuration until the block ends."""
    directory.mkdir(exist_ok=True)
    file = directory / "condor_config"
    file.write_text(config + _OWN.format(here=directory, uid=os.getuid(), gid=os.getgid()))
    with serving(
        [program, "-f"], log=directory / "output", env=environment(CONDOR_CONFIG=file), directory=directory
    ) as server:
        running = Collector(directory, server)
        running.tell(ads)
        yield running
