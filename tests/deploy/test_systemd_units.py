"""The units as systemd reads them, and the daemon without memory that can be both written and executed."""

import ctypes
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.tools.daemons import COMMAND, LiveIam, make_site
from tests.tools.http import Web
from tests.tools.programs import dies_with_us, environment, need, run, serving

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SIDECAR = "ttscache-sidecar@xrootd.service"
# prctl(2): PR_GET_MDWE; PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN is what MemoryDenyWriteExecute= stands for
_GET_MDWE = 66
_REFUSING = (
    "import ctypes, os, sys\nassert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0\nos.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with the command where it is here: systemd looks for it."""
    need("systemd-analyze")
    for unit in UNITS.glob("*.service"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/ttscache/bin", str(COMMAND.parent)))
    return tmp_path


@pytest.fixture
def sidecar_with_owner(units: Path) -> Path:
    place = units / f"{SIDECAR}.d"
    place.mkdir()
    shutil.copy(UNITS / "sidecar-owner.conf", place / "owner.conf")
    return units / SIDECAR


def _assert_read(unit: Path) -> None:
    verdict = run(["systemd-analyze", "verify", unit])
    assert verdict, verdict
    assert not verdict.text, "unknown keys are told of, and are no error"


def _exposure(unit: Path) -> float:
    """Return systemd's own score: 0 is shut off from everything, 10 is a service without a sandbox."""
    verdict = run(["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", unit])
    assert verdict, verdict
    found = re.search(r"Overall exposure level for \S+: (\S+)", verdict.text)
    assert found is not None, verdict
    return float(found[1])


@pytest.mark.parametrize("unit", ["ttscache.service", SIDECAR])
def test_systemd_understands_every_line(units: Path, unit: str) -> None:
    _assert_read(units / unit)


@pytest.mark.parametrize("unit", ["ttscache.service", SIDECAR])
def test_they_are_shut_in(units: Path, unit: str) -> None:
    assert _exposure(units / unit) <= 1.3


def test_a_sidecar_that_gives_files_away_has_the_rights_for_that_alone(sidecar_with_owner: Path) -> None:
    _assert_read(sidecar_with_owner)
    assert _exposure(sidecar_with_owner) <= 2.0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to a group")
def test_users_and_directories_are_made(tmp_path: Path) -> None:
    need("systemd-sysusers", "systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    for program in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        verdict = run([*program, f"--root={tmp_path}", UNITS / f"{program[0].removeprefix('systemd-')}.conf"])
        assert verdict, verdict
    users = (line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines())
    group = {name: int(gid) for name, _, _, gid, *_ in users}
    assert {"ttscache", "ttscache-sidecar"} <= set(group)
    secrets = (tmp_path / "etc/ttscache/secrets").stat()
    assert (secrets.st_uid, secrets.st_gid, secrets.st_mode & 0o777) == (0, group["ttscache"], 0o750)


def test_it_serves_without_memory_that_is_written_and_executed(tmp_path: Path) -> None:
    if ctypes.CDLL(None).prctl(_GET_MDWE, 0, 0, 0, 0) < 0:
        pytest.skip("this kernel cannot refuse it")
    ready = tmp_path / "ready.json"
    with LiveIam() as iam:
        site = make_site(tmp_path, iam)
        serve: list[str | Path] = [COMMAND, "serve", "-c", site.configuration, "--ready-file", ready]
        argv = dies_with_us([sys.executable, "-c", _REFUSING, *serve])
        with serving(argv, log=tmp_path / "log", env=environment()) as server:
            server.printed('"event": "serving"')
            web = Web(json.loads(ready.read_bytes())["url"], site.server_ca)
            assert web.get("/v1/proxy", iam.token()).status == 200
