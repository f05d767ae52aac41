"""A redirector in front of two caches: whoever comes is sent to one of them, and shows his own proxy there too."""

import re
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import pytest

from tests.acceptance.site import GRIDMAP, JANE, TOP, Site
from tests.acceptance.xcache import BAD_READERS, bad_reader, content, origin
from tests.acceptance.xcache_cluster import Cluster, cluster
from tests.acceptance.xrootd import XRootD
from tests.tools.minting import delegate, end_entity, write_private

pytestmark = pytest.mark.acceptance

_ROBOTS = {f"{TOP}/CN=robot: cache {number}": f"robot{number}" for number in (0, 1)}


@pytest.fixture(scope="module")
def source(site: Site) -> Iterator[XRootD]:
    with origin(site.trust_dir, site.host, _ROBOTS) as server:
        yield server


@pytest.fixture(scope="module")
def caches(site: Site, source: XRootD) -> Iterator[Cluster]:
    proxies = [_proxy(site, dn) for dn in _ROBOTS]
    with cluster(site.trust_dir, site.host, GRIDMAP, source=source, proxies=proxies) as running:
        yield running


def _proxy(site: Site, dn: str) -> bytes:
    return delegate(end_entity(site.ca, dn)).to_pem()


def _served_by(caches: Cluster, reader: Path, name: str) -> list[int]:
    """Read a file through the redirector; return the numbers of the caches that the reader came to."""
    since = [one.server.position() for one in caches.caches]
    verdict = caches.gsi_read(reader, f"/data/{name}")
    logs = [one.server.output(position) for one, position in zip(caches.caches, since, strict=True)]
    assert verdict, (verdict, *logs)
    assert content(name) in verdict.text
    return [
        number
        for number, (one, position) in enumerate(zip(caches.caches, since, strict=True))
        if one.logins(position) == ["jane"]
    ]


@pytest.mark.parametrize("why,reason", BAD_READERS)
def test_redirector_itself_refuses(caches: Cluster, site: Site, tmp_path: Path, why: str, reason: str) -> None:
    since = [one.server.position() for one in caches.caches]
    verdict = bad_reader(caches, site, tmp_path, why, "/data/a")
    assert not verdict
    assert re.search(reason, verdict.text), verdict
    assert [one.logins(position) for one, position in zip(caches.caches, since, strict=True)] == [[], []]


def test_sends_readers_to_its_caches_and_to_the_other_when_one_is_gone(
    caches: Cluster, source: XRootD, site: Site, tmp_path: Path
) -> None:
    jane = write_private(tmp_path / "jane", _proxy(site, JANE))
    files = iter(ascii_lowercase)
    served: dict[int, str] = {}
    while len(served) < 2:  # it takes turns; with all letters read, this ends in StopIteration
        name = next(files)
        (number,) = _served_by(caches, jane, name)
        served[number] = name
    assert set(caches.logins()) == {"jane"}
    assert set(source.logins()) == set(_ROBOTS.values())
    caches.stop(0)
    # also what only the one that is gone had
    for name in (served[0], served[1], next(files)):
        assert _served_by(caches, jane, name) == [1]
