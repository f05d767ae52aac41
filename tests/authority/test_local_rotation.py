"""The next CA's files: whole or not there, whatever kills whoever writes them."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from tests.faults.striking import Program
from tests.tools.programs import need
from ttscache.authority import local
from ttscache.authority.generations import Generations
from ttscache.errors import ConfigurationError

SUBJECT = DistinguishedName.parse("/DC=ch/CN=CA")
NOW = datetime(2026, 7, 25, tzinfo=UTC)
YEAR, HOUR = timedelta(days=365), timedelta(hours=1)
ROTATOR = Program(
    prepare="""
from datetime import UTC, datetime, timedelta
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from ttscache.authority import local
now, year = datetime(2026, 7, 25, tzinfo=UTC), timedelta(days=365)
local.load_or_create(Path(sys.argv[1]), DistinguishedName.parse("/DC=ch/CN=CA"), KeyKind.P_256, now=now, lifetime=year)
""",
    act="""
begins = now + timedelta(hours=1)
local.rotate(Path(sys.argv[1]), None, KeyKind.P_256, begins=begins, lifetime=year)
""",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "ca"
    local.load_or_create(made, SUBJECT, KeyKind.P_256, now=NOW, lifetime=YEAR)
    return made


def rotate(directory: Path, hours: int = 1, subject: DistinguishedName | None = None) -> str:
    made = local.rotate(directory, subject, KeyKind.P_256, begins=NOW + hours * HOUR, lifetime=YEAR)
    return made.subject.slash


def generations(directory: Path) -> list[str]:
    """Return the names as the daemon finds them at a start or a reload."""
    found, made = local.load_or_create(directory, SUBJECT, KeyKind.P_256, now=NOW, lifetime=YEAR)
    assert not made
    return [each.subject.slash for each in found.all]


def test_names_are_counted_and_files_numbered(directory: Path) -> None:
    assert [rotate(directory, hours) for hours in (1, 2, 3)] == [
        "/DC=ch/CN=CA G2",
        "/DC=ch/CN=CA G3",
        "/DC=ch/CN=CA G4",
    ]
    assert generations(directory) == ["/DC=ch/CN=CA", "/DC=ch/CN=CA G2", "/DC=ch/CN=CA G3", "/DC=ch/CN=CA G4"]
    assert sorted(file.name for file in directory.glob("ca*.pem")) == ["ca-2.pem", "ca-3.pem", "ca-4.pem", "ca.pem"]
    assert {file.stat().st_mode & 0o777 for file in directory.glob("*.key")} == {0o600}


def test_more_than_ten(directory: Path) -> None:
    for hours in range(1, 12):
        rotate(directory, hours)
    assert generations(directory)[-1] == "/DC=ch/CN=CA G12"
    assert (directory / "ca-12.pem").exists()


def test_a_name_or_a_beginning_twice(directory: Path) -> None:
    rotate(directory)
    for taken in ("/DC=ch/CN=CA", "/DC=CH/CN=ca  g2"):
        with pytest.raises(ConfigurationError, match="is there already"):
            rotate(directory, 2, DistinguishedName.parse(taken))
    for hours in (-1, 0, 1):
        with pytest.raises(ConfigurationError, match="after the youngest"):
            rotate(directory, hours, DistinguishedName.parse("/DC=ch/CN=other"))
    assert len(generations(directory)) == 2


def test_without_a_ca(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca init"):
        rotate(tmp_path / "absent")


def test_turns(directory: Path) -> None:
    rotate(directory, 1)
    rotate(directory, 48)
    found = local.load(directory)
    assert isinstance(found, Generations)
    start = NOW.timestamp()
    turns = {0: "CA", 3599: "CA", 3600: "CA G2", 48 * 3600 - 1: "CA G2", 48 * 3600: "CA G3"}
    for seconds, name in turns.items():
        assert found.issuing(start + seconds).subject.slash == f"/DC=ch/CN={name}"
    day = 86400.0
    trusted = {0: "CA, CA G2, CA G3", 3600: "CA G2, CA G3, CA", 3600 + day: "CA G2, CA G3", 3 * day: "CA G3"}
    for moment, names in trusted.items():
        told = [each.subject.slash.removeprefix("/DC=ch/CN=") for each in found.trusted(start + moment, day)]
        assert ", ".join(told) == names


def test_killed_at_any_step_it_is_there_or_can_be_made_again(tmp_path: Path) -> None:
    need("strace")
    writing = ("fchmod", "write", "fsync", "renameat", "rename")
    steps = ROTATOR.calls(writing, tmp_path / "whole")
    assert len(steps) >= 9
    outcomes = set()
    for number, step in enumerate(steps):
        directory = tmp_path / str(number)
        assert ROTATOR.struck(step, "signal=KILL", directory)[1] == -signal.SIGKILL, step
        published = (directory / "ca-2.pem").exists()
        names = generations(directory)
        # one that others may have seen already is there for good
        assert names == ["/DC=ch/CN=CA", "/DC=ch/CN=CA G2"][: 2 if published else 1], step
        outcomes.add(published)
        rotate(directory, 5)
        assert len(generations(directory)) == len(names) + 1
    assert outcomes == {False, True}
