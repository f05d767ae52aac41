"""One sandbox for all tests of the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools.daemons import Daemon, Outcome, client_environment, here, sandbox, ttscache


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with sandbox(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture
def cli(daemon: Daemon, tmp_path: Path) -> Callable[..., Outcome]:
    """Run a command in the environment of the sandbox's user, who keeps the proxy in a directory of the test's.

    An exchange is a process of its own, what only looks at things is not.
    """
    environment = client_environment(daemon, X509_USER_PROXY=tmp_path / "proxy")

    def run(*arguments: str | Path, **extra: str) -> Outcome:
        start = ttscache if arguments[0] == "exchange" else here
        return start(*arguments, env={**environment, **extra})

    return run


@pytest.fixture
def token(daemon: Daemon) -> Path:
    return daemon.site.token
