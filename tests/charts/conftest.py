"""One place for the packaged charts and what was rendered from them, shared by all workers of a run."""

import os

import pytest

from tests.charts import rendering


@pytest.fixture(scope="session", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    # each worker of pytest-xdist has a folder of its own in the run's
    rendering.share(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
