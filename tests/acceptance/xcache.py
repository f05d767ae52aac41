"""XCache: it fetches from an origin, with a proxy of its own, what it then keeps for its readers.

The origin hangs up on idle connections after a second, as at a site after minutes: then the cache must show its proxy
again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import ascii_lowercase

from tests.acceptance.xrootd import MAPPED, STORAGE, XRootD, client_settings, grid_mapfile
from tests.acceptance.xrootd_service import Home, gsi, home, service
from tests.tools.hostcert import HostCredential

_IMPATIENT = """\
xrd.timeout idle 1
"""
# the least memory that it starts with; the default is a share of the machine's
CACHE = """\
oss.localroot {{home}}/cache
ofs.osslib libXrdPss.so
pss.cachelib default
pss.origin localhost:{origin}
pfc.ram 1g
"""


class Cache(XRootD):
    """A running cache."""

    def __init__(self, running: XRootD, home: Home) -> None:
        super().__init__(running.server, running.port, running.trust_dir)
        self._home = home

    def give(self, proxy: bytes) -> None:
        """Replace its proxy file, as whoever renews it does."""
        self._home.private("proxy", proxy)


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
    trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str], *, source: XRootD, proxy: bytes
) -> Iterator[Cache]:
    """Run a cache before an origin, with a proxy for it, until the block ends."""
    with home(trust_dir, host) as place:
        env = cache_home(place, gridmap, proxy)
        with service(place, gsi(*MAPPED) + CACHE.format(origin=source.port), env=env) as (server, port):
            yield Cache(XRootD(server, port, trust_dir), place)


def cache_home(place: Home, gridmap: Mapping[str, str], proxy: bytes) -> dict[str, str | Path]:
    """Furnish a cache's home, and return its environment as a client."""
    place.folder("cache")
    place.write("grid-mapfile", grid_mapfile(gridmap))
    return client_settings(place.trust, place.private("proxy", proxy))


def content(name: str) -> str:
    """Return what is in a file of the origin."""
    return f"content of {name}"
