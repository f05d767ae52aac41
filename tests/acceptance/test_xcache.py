"""XCache over our proxies: it fetches with them from an origin, and goes on with the renewed one."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from tests.acceptance.cases import expired_for
from tests.acceptance.site import GRIDMAP, JANE, STRANGER, TOP, Site
from tests.acceptance.xcache import BAD_READERS, Cache, bad_reader, cache, content, origin
from tests.acceptance.xrootd import REFUSAL_GSI, UNMAPPED_GSI, XRootD
from tests.tools.minting import HOUR, delegate, end_entity, tampered, write_private
from tests.tools.programs import Verdict, wait_for

pytestmark = pytest.mark.acceptance

# two names for one cache, so that the origin's log tells its proxies apart
ROBOT, RENEWED = f"{TOP}/CN=robot: cache", f"{TOP}/CN=robot: cache, renewed"
# the first read must come before its end; the longer one is for a machine with other things to do
_SHORT = (timedelta(seconds=6), timedelta(seconds=25))
_SECOND = timedelta(seconds=1)

Start = Callable[[bytes], AbstractContextManager[Cache]]


@pytest.fixture(scope="module")
def source(site: Site) -> Iterator[XRootD]:
    with origin(site.trust_dir, site.host, {ROBOT: "robot", RENEWED: "renewed"}) as server:
        yield server


@pytest.fixture
def start(site: Site, source: XRootD) -> Start:
    return lambda proxy: cache(site.trust_dir, site.host, GRIDMAP, source=source, proxy=proxy)


@pytest.fixture(scope="module")
def through(site: Site, source: XRootD) -> Iterator[Cache]:
    """A cache with a good proxy; each test has files of its own."""
    proxy = _proxy(site, ROBOT).to_pem()
    with cache(site.trust_dir, site.host, GRIDMAP, source=source, proxy=proxy) as running:
        yield running


@pytest.fixture
def jane(site: Site, tmp_path: Path) -> Path:
    return write_private(tmp_path / "jane", delegate(end_entity(site.ca, JANE)).to_pem())


def _proxy(site: Site, dn: str, lifetime: timedelta = HOUR) -> Credential:
    return delegate(end_entity(site.ca, dn), lifetime=lifetime)


def _fetch(name: str, through: Cache, source: XRootD, reader: Path) -> tuple[Verdict, list[str]]:
    """Read a file of the origin's through a cache; return also who came to the origin for it."""
    since = source.server.position()
    verdict = through.gsi_read(reader, f"/data/{name}")
    assert (content(name) in verdict.text) is verdict.ok
    return Verdict(verdict.ok, f"{verdict.text}\norigin: {source.server.output(since)}"), source.logins(since)


def test_fetches_with_its_own_proxy_what_a_reader_asks_with_his(source: XRootD, through: Cache, jane: Path) -> None:
    since = through.server.position()
    verdict, fetchers = _fetch("a", through, source, jane)
    assert verdict
    assert through.logins(since) == ["jane"]
    assert set(fetchers) <= {"robot"}  # nobody, when it still has the connection of another test
    assert "robot" in source.logins()
    again, fetchers = _fetch("a", through, source, jane)
    assert again
    assert fetchers == []  # it is there


@pytest.mark.parametrize("why,reason", BAD_READERS)
def test_refuses_a_reader(
    source: XRootD, through: Cache, site: Site, jane: Path, tmp_path: Path, why: str, reason: str
) -> None:
    assert _fetch("b", through, source, jane)[0]
    since = source.server.position()
    verdict = bad_reader(through, site, tmp_path, why, "/data/b")
    assert not verdict
    assert re.search(reason, verdict.text), verdict
    assert source.logins(since) == []


def test_goes_on_with_the_renewed_proxy_when_the_old_one_ends(
    source: XRootD, start: Start, site: Site, jane: Path
) -> None:
    """XRootD keeps a proxy in memory until its end and only then reads the file again: it must be new by then."""
    for lifetime in _SHORT:
        with start(b"") as through:
            old = _proxy(site, ROBOT, lifetime)
            ends = old.leaf.not_valid_after_utc
            through.give(old.to_pem())
            verdict, fetchers = _fetch("c", through, source, jane)
            if datetime.now(UTC) > ends:
                continue  # too late, on this machine, for what was to be seen
            assert verdict
            assert fetchers == ["robot"]
            through.give(_proxy(site, RENEWED).to_pem())
            _until_idle(source)
            verdict, fetchers = _fetch("d", through, source, jane)
            assert verdict
            assert fetchers == ["robot"] or datetime.now(UTC) > ends, verdict
            _until_idle(source)
            _until(ends + _SECOND)
            verdict, fetchers = _fetch("e", through, source, jane)
            assert verdict
            assert fetchers == ["renewed"]
            return
    pytest.fail("no read was answered within the longest of the lifetimes")


def _until(moment: datetime) -> None:
    wait_for(lambda: datetime.now(UTC) > moment or None, lambda: "time stands still")


def _until_idle(source: XRootD) -> None:
    """Wait until the connection of the one who came last has ended."""
    came = source.server.output().rindex(" login as ")
    wait_for(lambda: " disc " in source.server.output()[came:] or None, source.server.output)


def test_fetches_nothing_with_an_expired_proxy_until_there_is_a_good_one(
    source: XRootD, start: Start, site: Site, jane: Path
) -> None:
    with start(expired_for(HOUR, site)) as through:
        verdict, fetchers = _fetch("f", through, source, jane)
        assert not verdict
        assert fetchers == []
        assert "proxy files contains expired certificates" in verdict.text  # in XRootD's English
        through.give(_proxy(site, ROBOT).to_pem())
        verdict, fetchers = _fetch("f", through, source, jane)
        assert verdict
        assert fetchers == ["robot"]


@pytest.mark.parametrize(
    "make,reason",
    [
        pytest.param(lambda site: delegate(end_entity(site.untrusted_ca, ROBOT)), "unknown CA", id="untrusted"),
        pytest.param(lambda site: tampered(_proxy(site, ROBOT)), "signature verification failed", id="tampered"),
    ],
)
def test_fetches_nothing_with_a_proxy_that_the_origin_refuses(
    source: XRootD, start: Start, site: Site, jane: Path, make: Callable[[Site], Credential], reason: str
) -> None:
    with start(make(site).to_pem()) as through:
        verdict, fetchers = _fetch("h", through, source, jane)
        assert not verdict
        assert fetchers == []
        assert through.logins() == ["jane"]  # the reader was good
        assert re.search(rf"{REFUSAL_GSI}.*{reason}", verdict.text), verdict


def test_fetches_nothing_with_a_name_that_the_origin_does_not_map(
    source: XRootD, start: Start, site: Site, jane: Path
) -> None:
    with start(_proxy(site, STRANGER).to_pem()) as through:
        verdict, fetchers = _fetch("g", through, source, jane)
        assert not verdict
        assert fetchers == []
        assert UNMAPPED_GSI in verdict.text
        # it has this one in memory until its end: to replace the file does not help
        through.give(_proxy(site, ROBOT).to_pem())
        verdict, _ = _fetch("g", through, source, jane)
        assert not verdict
        assert UNMAPPED_GSI in verdict.text
