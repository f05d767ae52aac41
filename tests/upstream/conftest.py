from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.net.loopback import Loopback, loopback
from tests.net.private_ca import PrivateCa
from tests.upstream.desk import Desk, Witness, open_desk


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One CA, for to load the system's hundreds takes a fetcher longer than most tests take."""
    return PrivateCa().write(tmp_path_factory.mktemp("ca") / "ca.pem")


@pytest.fixture
async def desk(ca_file: Path) -> AsyncIterator[Desk]:
    async with open_desk(ca_file) as made:
        yield made


@pytest.fixture
async def stranger() -> AsyncIterator[Loopback]:
    """A token endpoint that says whatever a test wants it to say, at `/token`."""
    async with loopback() as server:
        yield server


@pytest.fixture
def witness(caplog: pytest.LogCaptureFixture) -> Witness:
    return Witness(caplog)
