"""Daemons and an IAM that each test may stop, break and change."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.tools.daemons import Daemon, LiveIam, make_site, serve
from ttscache.sandbox.site import Site


@pytest.fixture
def iam() -> Iterator[LiveIam]:
    with LiveIam() as live:
        yield live


@pytest.fixture
def site(tmp_path: Path, iam: LiveIam) -> Site:
    return make_site(tmp_path, iam)


@pytest.fixture
def start(tmp_path: Path, site: Site) -> Iterator[Callable[[], Daemon]]:
    """Start daemons over the site; they end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(serve(site, tmp_path))
