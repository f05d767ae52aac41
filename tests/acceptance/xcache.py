"""XCache: it fetches from an origin, with a proxy of its own, what it then keeps for its readers.

Both hang up on each other when idle for a second, as at a site after minutes: then the cache must show its proxy again.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import ascii_lowercase

import pytest

from tests.acceptance.cases import expired_for
from tests.acceptance.site import JANE, STRANGER, Site
from tests.acceptance.xrootd import MAPPED, REFUSAL_GSI, STORAGE, UNMAPPED_GSI, XRootD, client_settings, grid_mapfile
from tests.acceptance.xrootd_service import Home, gsi, home, need_plugins, service
from tests.tools.hostcert import HostCredential
from tests.tools.minting import HOUR, delegate, end_entity, tampered, write_private
from tests.tools.programs import Server, Verdict, end, wait_for

# the cache alone sometimes never does, the origin alone takes its time
_IMPATIENT = """\
xrd.timeout idle 1
"""
_FORGETFUL: dict[str, str | Path] = {"XRD_DATASERVERTTL": "1", "XRD_TIMEOUTRESOLUTION": "1"}
# the least memory that it starts with; the default is a share of the machine's
_CACHE = """\
oss.localroot {{home}}/cache
ofs.osslib libXrdPss.so
pss.cachelib default
pss.origin localhost:{origin}
pfc.ram 1g
"""


class Cache(XRootD):
    """A running cache."""

    def __init__(self, server: Server, port: int, home: Home, *beside: Server) -> None:
        super().__init__(server, port, home.trust)
        self._home = home
        self._beside = beside

    def give(self, proxy: bytes) -> None:
        """Replace its proxy file, as whoever renews it does."""
        self._home.private("proxy", proxy)

    def stop(self) -> None:
        """End it, and what runs beside it; its log stays."""
        for server in (self.server, *self._beside):
            end(server.process)


@contextmanager
def origin(trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str]) -> Iterator[XRootD]:
    """Run an origin with `/data/a` to `/data/z` for everybody in a grid-mapfile until the block ends."""
    with home(trust_dir, host) as place:
        for name in ascii_lowercase:
            place.write(f"data/{name}", content(name))
        place.write("grid-mapfile", grid_mapfile(gridmap))
        place.write("authdb", "".join(f"u {account} /data rl\n" for account in set(gridmap.values())))
        with service(place, gsi(*MAPPED) + STORAGE + _IMPATIENT) as (server, port):
            yield XRootD(server, port, trust_dir)


@contextmanager
def cache(
    trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str], *, source: XRootD, proxy: bytes, member: str = ""
) -> Iterator[Cache]:
    """Run a cache before an origin, with a proxy for it, until the block ends.

    ``member`` are the directives for a member of a cluster, which has a `cmsd` at its side.
    """
    need_plugins("XrdPss", "XrdPfc")
    with home(trust_dir, host) as place, ExitStack() as running:
        place.folder("cache")
        place.write("grid-mapfile", grid_mapfile(gridmap))
        env = client_settings(place.trust, place.private("proxy", proxy)) | _FORGETFUL
        configuration = gsi(*MAPPED) + _CACHE.format(origin=source.port) + member
        beside: list[Server] = []
        if member:
            beside.append(running.enter_context(service(place, configuration, program="cmsd", env=env))[0])
            # `xrootd` looks for it once, and then after ten seconds
            wait_for(lambda: _cmsd_socket(place).exists() or None, beside[0].output)
        server, port = running.enter_context(service(place, configuration, env=env))
        yield Cache(server, port, place, *beside)


# who may not read, and what the log of the server that he came to says of it
BAD_READERS = [
    pytest.param("unmapped", UNMAPPED_GSI, id="unmapped"),
    pytest.param("expired", rf"{REFUSAL_GSI}.*certificate expired", id="expired"),
    pytest.param("untrusted", rf"{REFUSAL_GSI}.*unknown CA", id="untrusted"),
    pytest.param("tampered", rf"{REFUSAL_GSI}.*signature verification failed", id="tampered"),
]


def bad_reader(server: XRootD, site: Site, directory: Path, why: str, path: str) -> Verdict:
    """Read a file as somebody who may not."""
    made = {
        "unmapped": lambda: delegate(end_entity(site.ca, STRANGER)).to_pem(),
        "expired": lambda: expired_for(2 * HOUR, site),
        "untrusted": lambda: delegate(end_entity(site.untrusted_ca, JANE)).to_pem(),
        "tampered": lambda: tampered(delegate(end_entity(site.ca, JANE))).to_pem(),
    }[why]()
    # his own client would not show one that has expired by its clock
    clock = -2.5 * HOUR if why == "expired" else 0 * HOUR
    return server.gsi_read(write_private(directory / "reader", made), path, clock=clock)


def _cmsd_socket(place: Home) -> Path:
    return place.top / "admin" / ".olb" / "olbd.admin"


def content(name: str) -> str:
    """Return what is in a file of the origin."""
    return f"content of {name}"
