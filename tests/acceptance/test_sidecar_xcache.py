"""A reader and an XCache beside their sidecars: not one access fails while one proxy after the other ends."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance.sidecar_xcache import CACHE, READER, Cache, Kept, cache, content, issuing, kept, origin
from tests.acceptance.site import JANE, Site
from tests.acceptance.xrootd import REFUSAL_GSI, XRootD
from tests.acceptance.xrootd_service import home
from tests.tools.minting import delegate, end_entity, write_private
from tests.tools.programs import Verdict, wait_for

pytestmark = pytest.mark.acceptance

# the longer one is for a machine with other things to do, where what takes moments takes seconds
_SHORT, _LONGER = timedelta(seconds=10), timedelta(seconds=30)
_SECOND = timedelta(seconds=1)
_FILES = 200


class _TooSlowError(Exception):
    """This machine has too much else to do for such lifetimes."""


class _Farm:
    """An origin and a cache before it, and the proxies of a lifetime that sidecars keep for the cache and a reader."""

    def __init__(self, source: XRootD, through: Cache, robot: Kept, jane: Kept, lifetime: timedelta) -> None:
        self.source, self.through, self.robot, self.jane, self.lifetime = source, through, robot, jane, lifetime
        self._files = iter(range(_FILES))
        # when what the cache may have in memory is over
        self._shown_until = {datetime.now(UTC)}
        self._slowest = timedelta()

    def read_anew(self) -> None:
        """Read two files by two new clients, when the cache has to log in to the origin again."""
        wait_for(lambda: self._has_hung_up() or None, self.source.server.output)
        since = self.source.server.position()
        self.require(self.fetch(self.through.gsi_read))
        assert self.source.logins(since) == ["robot"]
        self.require(self.fetch(self.through.copy))

    def fetch(self, read: Callable[[Path, str], Verdict], proxy: Path | None = None) -> Verdict:
        """Read a file that nobody has read before."""
        wait_for(lambda: None if self._in_last_moments() else True, lambda: f"it is {datetime.now(UTC)} for ever")
        number, since, there = next(self._files), self.source.server.position(), self.robot.ends()
        started = datetime.now(UTC)
        verdict = read(proxy or self.jane.file, f"/data/{number}")
        self._slowest = max(self._slowest, datetime.now(UTC) - started)
        assert (content(number) in verdict.text) is verdict.ok
        self._note({there, self.robot.ends()})
        return Verdict(verdict.ok, f"{verdict.text}\norigin: {self.source.server.output(since)}")

    def require(self, what: object) -> None:
        """Fail without it, unless it says nothing on a machine like this."""
        if not what and self._is_slow():
            raise _TooSlowError(what)
        assert what

    def _is_slow(self) -> bool:
        """Tell whether accesses, or renewals, which are due at half of a life, take more than a quarter of one."""
        late = 0.75 * self.lifetime
        ends = (sorted([*each.seen, datetime.now(UTC) + self.lifetime]) for each in (self.robot, self.jane))
        return self._slowest > 0.25 * self.lifetime or any(b - a > late for each in ends for a, b in pairwise(each))

    def _has_hung_up(self) -> bool:
        self.jane.ends()
        log = self.source.server.output()
        return log.count(" login as ") == log.count(" disc ")

    def _in_last_moments(self) -> bool:
        """Tell whether the proxy that the cache would show is about to be over.

        It shows it until the second of its end, and an origin that looks at it a moment later may find it over: at a
        site in some milliseconds of each day, but here in a good part of a life.
        """
        now, last, shown = datetime.now(UTC), 0.3 * self.lifetime, self._shown_until
        if any(over <= now for over in shown):
            shown = shown | {self.robot.ends()}
        return any(over - last < now < over for over in shown)

    def _note(self, there: set[datetime]) -> None:
        """Note what the cache may have in memory: where that was over, what was in the file when it logged in."""
        now = datetime.now(UTC)
        over = {each for each in self._shown_until if each <= now}
        if over:
            self._shown_until = self._shown_until - over | there


@contextmanager
def _farm(site: Site, directory: Path, lifetime: timedelta) -> Iterator[_Farm]:
    directory.mkdir()
    far, near = home(site.trust_dir, site.host), home(site.trust_dir, site.host)
    with issuing(site.ca, directory, lifetime) as (daemon, iam), far as there, near as here:
        robot = kept(CACHE, here.folder("credentials"), directory, daemon, iam)
        jane = kept(READER, directory, directory, daemon, iam)
        with origin(there, _FILES) as source, cache(here, source, robot.file) as through:
            yield _Farm(source, through, robot, jane, lifetime)


@pytest.mark.timeout(400)
def test_no_access_fails_for_three_lifetimes_and_every_one_without_the_sidecars(site: Site, tmp_path: Path) -> None:
    good = write_private(tmp_path / "good", delegate(end_entity(site.ca, JANE)).to_pem())
    try:
        with _farm(site, tmp_path / "short", _SHORT) as farm:
            _live(farm, tmp_path / "short", good)
    except _TooSlowError:
        with _farm(site, tmp_path / "longer", _LONGER) as farm:
            _live(farm, tmp_path / "longer", good)


def _live(farm: _Farm, directory: Path, good: Path) -> None:
    """Go through good times and bad ones; ``good`` is a proxy of the reader's that no sidecar keeps."""
    with farm.robot.sidecar() as one, farm.jane.sidecar() as other:
        first = [
            _copy(each, directory / name) for name, each in (("first-robot", farm.robot), ("first-jane", farm.jane))
        ]
        _read_for(3 * farm.lifetime, farm)
        for server, each, copy in zip((farm.source, farm.through), (farm.robot, farm.jane), first, strict=True):
            farm.require(len(each.seen) > 3)
            assert each.told()["renewals"] >= len(each.seen) - 1  # it tells after the file is there
            _require_over(server, copy, min(each.seen))
        for sidecar in (one, other):
            sidecar.process.kill()
            sidecar.ended()
    _until_over(farm)
    _require_no_access(farm, good)
    with farm.robot.sidecar(), farm.jane.sidecar():
        farm.require(farm.fetch(farm.through.gsi_read))


def _copy(each: Kept, file: Path) -> Path:
    return write_private(file, each.file.read_bytes())


def _read_for(time: timedelta, farm: _Farm) -> None:
    until = datetime.now(UTC) + time
    while datetime.now(UTC) < until:
        farm.read_anew()


def _require_over(server: XRootD, proxy: Path, over: datetime) -> None:
    """Have a server itself refuse a proxy, shown by a client whose clock is set back."""
    verdict = server.gsi_read(proxy, "/data/0", clock=over - 3 * _SECOND - datetime.now(UTC))
    assert not verdict
    assert re.search(rf"{REFUSAL_GSI}.*certificate expired", verdict.text), verdict


def _until_over(farm: _Farm) -> None:
    """Wait for the end of both proxies; what a sidecar had begun when it was killed may still come."""

    def probe() -> bool | None:
        return max(farm.robot.ends(), farm.jane.ends()) <= datetime.now(UTC) or None

    wait_for(probe, lambda: "the proxies do not end", within=2 * farm.lifetime.seconds)


def _require_no_access(farm: _Farm, good: Path) -> None:
    """Neither the reader gets in, nor the cache for another reader, who does get what is there already."""
    verdict = farm.through.gsi_read(farm.jane.file, "/data/0")
    assert not verdict
    assert "Auth failed" in verdict.text
    assert farm.through.gsi_read(good, "/data/0")
    verdict = farm.fetch(farm.through.gsi_read, good)
    assert not verdict
    assert "proxy files contains expired certificates" in verdict.text  # in XRootD's English
