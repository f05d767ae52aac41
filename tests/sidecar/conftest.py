"""A daemon for all that only ask it, and directories that several users may get to."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sidecar.living import Living, living
from tests.tools.daemons import LiveIam


@pytest.fixture(scope="session")
def iam() -> Iterator[LiveIam]:
    with LiveIam() as live:
        yield live


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, iam: LiveIam) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("world"), iam) as running:
        yield running


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may write to; nothing on the way to it is for its owner alone, as in `tmp_path`."""
    if os.geteuid() != 0:
        pytest.skip("another user's acts need root")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        made = directory / "shared"
        made.mkdir()
        made.chmod(0o777)
        yield made
