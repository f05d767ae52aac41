"""The client's page: its examples run, every public name is on it, and kubectl's plugin gives what kubectl takes."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.tools.administered import Administered, administered
from tests.tools.daemons import LiveIam, client_environment
from tests.tools.programs import PATIENCE, environment
from ttscache import client

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client-library.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PLUGIN = ROOT / "docs" / "examples" / "exec_credential.py"
KUBERNETES, OTHER = "kubernetes", "https://storage.example"


@contextmanager
def running(directory: Path) -> Iterator[Administered]:
    with LiveIam() as iam, administered(directory, iam, _extend) as admin:
        admin.site.token.write_text(iam.token())
        yield admin


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Administered]:
    with running(tmp_path_factory.mktemp("examples")) as started:
        yield started


def _extend(document: dict[str, Any]) -> None:
    document["profiles"]["kubernetes"] = {"type": "access-token", "audiences": [KUBERNETES, OTHER], "lifetime": "30m"}
    for rule in document["mapping"]:
        rule["profiles"].append("kubernetes")
        rule["scopes"] = ["storage.read:/", "wlcg.groups"]


def python(
    admin: Administered, *arguments: str | Path, directory: Path, **extra: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run Python as a user who has a token."""
    env = client_environment(admin.daemon, BEARER_TOKEN_FILE=admin.site.token, PYTHONPATH=ROOT)
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=env | {name: str(value) for name, value in extra.items()},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    """At a daemon of their own, whose sessions they revoke."""
    with running(tmp_path) as admin:
        run_all(admin, tmp_path)


def run_all(admin: Administered, directory: Path) -> None:
    script = "".join(BLOCKS)
    for shown, real in (
        ("/run/ttscache/admin.sock", admin.socket),
        ("/etc/grid-security/admin.pem", admin.certificate),
    ):
        assert shown in script
        script = script.replace(shown, str(real))
    done = python(admin, "-c", script, directory=directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert "profile_unknown 3 None\n" in done.stdout
    proxy = directory / "proxy.pem"
    assert proxy.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" in proxy.read_bytes()


def test_every_public_name_is_in_an_example_or_the_text() -> None:
    code = "".join(BLOCKS)
    for name in client.__all__:
        assert re.search(rf"\b{name}\b", PAGE), name
    for kind in (client.Client, client.AdminClient):
        for name, _ in inspect.getmembers(kind, callable):
            assert name.startswith("_") or f".{name}(" in code, name


def plugin(admin: Administered, directory: Path, *arguments: str) -> dict[str, Any]:
    done = python(admin, PLUGIN, *arguments, directory=directory, TTSCACHE_PROFILE="kubernetes")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_the_plugin_s_credential(admin: Administered, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    document = plugin(admin, tmp_path, KUBERNETES)
    assert set(document) == {"apiVersion", "kind", "status"}
    assert (document["apiVersion"], document["kind"]) == ("client.authentication.k8s.io/v1", "ExecCredential")
    assert set(document["status"]) == {"token", "expirationTimestamp"}
    told = claims(document["status"]["token"])
    assert (told["aud"], told["sub"]) == (KUBERNETES, admin.subject("jane"))
    assert "/cms/production" in told["wlcg.groups"]
    end = datetime.strptime(document["status"]["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert 1700 < (end - before).total_seconds() <= 1800, "kubectl asks again before the profile's lifetime is over"
    assert end.timestamp() <= told["exp"]


def test_the_plugin_s_arguments(admin: Administered, tmp_path: Path) -> None:
    several = plugin(admin, tmp_path, OTHER, KUBERNETES)["status"]["token"]
    assert set(claims(several)["aud"]) == {OTHER, KUBERNETES}
    assert claims(plugin(admin, tmp_path)["status"]["token"])["aud"] == KUBERNETES


@pytest.mark.parametrize(
    "arguments, extra, words",
    [
        (["https://elsewhere.example"], {}, "audience_refused"),
        ([], {"TTSCACHE_PROFILE": "pilot"}, "request_invalid"),
        ([], {"TTSCACHE_URL": "daemon.example"}, "url_invalid"),
        ([], {"TTSCACHE_CA_FILE": "/absent"}, "ca_file_invalid"),
        ([], {"BEARER_TOKEN_FILE": "/absent"}, "token_source: the token file /absent cannot be read"),
        ([], {"BEARER_TOKEN": "no.to.ken"}, "token_malformed"),
    ],
)
def test_what_the_plugin_cannot_do_is_one_line(
    admin: Administered, tmp_path: Path, arguments: list[str], extra: dict[str, str], words: str
) -> None:
    done = python(admin, PLUGIN, *arguments, directory=tmp_path, **extra)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"exec_credential: {words}")


def test_the_plugin_can_be_run_as_it_is() -> None:
    done = subprocess.run(
        [PLUGIN], env=environment(BEARER_TOKEN="x"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert PLUGIN.read_text().startswith("#!/usr/bin/env python3\n")
    assert done.returncode == 1
