"""The clock of a daemon that is started under libfaketime: it can jump while the daemon runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools.daemons import Daemon, serve
from tests.tools.programs import unavailable
from tests.tools.redis import FAKETIME
from ttscache.durable import write_atomically
from ttscache.sandbox.site import Site


class Clock:
    """So many seconds from ours. What programs measure time by goes with it unless ``timers`` is off."""

    def __init__(self, directory: Path, *, timers: bool = True) -> None:
        if not FAKETIME.exists():
            unavailable("libfaketime is not installed")
        self._file = directory / "offset"
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
        }
        if not timers:
            # its own guess is that waits under Python's lock end by the faked clock: they would spin instead
            self.environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
        self.jump_to(0)

    def jump_to(self, offset: int) -> None:
        self.offset = offset
        write_atomically(self._file, f"{offset:+d}\n".encode())


@contextmanager
def serve_by(clock: Clock, site: Site, directory: Path) -> Iterator[Daemon]:
    """Run a daemon by this clock."""
    left: list[Path] = []
    try:
        with serve(site, directory, **clock.environment) as daemon:
            pid = daemon.server.process.pid
            left += [Path("/dev/shm", f"{name}_{pid}") for name in ("faketime_shm", "sem.faketime_sem")]  # noqa: S108 - libfaketime's
            yield daemon
    finally:
        for file in left:
            file.unlink(missing_ok=True)
