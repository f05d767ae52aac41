"""One daemon for all tests of this room, over an IAM that they have their hands on."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.tools.daemons import Daemon, LiveIam, change, make_site, serve
from tests.tools.http import Web


@pytest.fixture(scope="session")
def iam() -> Iterator[LiveIam]:
    with LiveIam() as live:
        yield live


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, iam: LiveIam) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("daemon")
    site = make_site(directory, iam)
    change(site, _extend)
    with serve(site, directory) as running:
        yield running
        log = running.log()
    assert [line for line in log if line["event"] in {"request_failed", "Unhandled exception"}] == []


def _extend(document: dict[str, Any]) -> None:
    document["server"]["deadline"] = "3s"
    document["profiles"]["forbidden"] = {"type": "x509-proxy"}
    document["profiles"]["ec"] = {"type": "x509-proxy", "key": "p-256"}
    for rule in document["mapping"]:
        rule["profiles"].append("ec")


@pytest.fixture
def web(daemon: Daemon) -> Web:
    return daemon.web


@pytest.fixture(scope="session")
def token(iam: LiveIam) -> str:
    return iam.token()


@pytest.fixture(autouse=True)
def _no_faults_left(iam: LiveIam) -> Iterator[None]:
    yield
    iam.clear_faults()
