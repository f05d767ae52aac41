"""A redirector in front of caches: `xrootd` sends readers to one that `cmsd` chooses among those that joined."""

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.xcache import Cache, cache
from tests.acceptance.xrootd import MAPPED, XRootD, grid_mapfile
from tests.acceptance.xrootd_service import Home, gsi, home, service
from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, wait_for

# a second for what takes minutes at a site: waiting for members after the start, for a member's answer
_MANAGER = """\
all.role manager
all.manager localhost:{port}
cms.delay startup 1 servers 1 lookup 1 full 1 qdl 10 suspend 1
cms.dfs lookup distrib redirect immed
"""
_MEMBER = """\
all.role server
all.manager localhost:{port}
"""
_JOINED = re.compile(r"Primary server\.\S+ logged in")
_LEFT = re.compile(r"server\.\S+ logged out")
_ATTEMPTS = 5


class Cluster(XRootD):
    """A running redirector, and its caches."""

    def __init__(self, server: Server, port: int, trust_dir: Path, manager: Server) -> None:
        super().__init__(server, port, trust_dir)
        self.caches: list[Cache] = []
        self._manager = manager

    def join(self, started: Cache) -> None:
        """Have a cache, once `cmsd` knows of it."""
        self.caches.append(started)
        self._until_seen(_JOINED, len(self.caches))

    def stop(self, number: int) -> None:
        """End a cache and its `cmsd`, and wait until the redirector knows."""
        self.caches[number].stop()
        self._until_seen(_LEFT, 1)

    def _until_seen(self, line: re.Pattern[str], times: int) -> None:
        wait_for(lambda: len(line.findall(self._manager.output())) >= times or None, self._manager.output)


@contextmanager
def cluster(
    trust_dir: Path, host: HostCredential, gridmap: Mapping[str, str], *, source: XRootD, proxies: Sequence[bytes]
) -> Iterator[Cluster]:
    """Run a redirector, and a cache for each proxy, before an origin until the block ends."""
    with ExitStack() as stack:
        place = stack.enter_context(home(trust_dir, host))
        place.write("grid-mapfile", grid_mapfile(gridmap))
        manager, manager_port = _manager(place, stack)
        configuration = gsi(*MAPPED) + _MANAGER.format(port=manager_port)
        server, port = stack.enter_context(service(place, configuration))
        made = Cluster(server, port, trust_dir, manager)
        for proxy in proxies:
            member = _MEMBER.format(port=manager_port)
            started = cache(trust_dir, host, gridmap, source=source, proxy=proxy, member=member)
            made.join(stack.enter_context(started))
        yield made


def _manager(place: Home, stack: ExitStack) -> tuple[Server, int]:
    """Start the manager's `cmsd`, which must be told its port: a free one, unless somebody else is faster."""
    for _ in range(_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        try:
            return stack.enter_context(service(place, _MANAGER.format(port=port), program="cmsd", port=port))
        except pytest.fail.Exception as failure:
            if "Unable to bind socket" not in str(failure):
                raise
    pytest.fail("no free port for cmsd")
