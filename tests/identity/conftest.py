from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.identity import kit
from tests.net.private_ca import PrivateCa


@pytest.fixture(scope="session")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One CA, for to load the system's hundreds takes a fetcher longer than most tests take."""
    return PrivateCa().write(tmp_path_factory.mktemp("ca") / "ca.pem")


@pytest.fixture
async def realm(ca_file: Path) -> AsyncIterator[kit.Realm]:
    async with kit.open_realm(ca_file) as made:
        yield made
