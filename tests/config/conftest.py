"""A good configuration with its files, for tests to spoil."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ttscache.sandbox.iam import IamConfig
from ttscache.sandbox.site import Site, prepare


@pytest.fixture(scope="session")
def sandbox_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What no test may change."""
    site = Site(tmp_path_factory.mktemp("site"))
    prepare(site, "http://127.0.0.1:1/", IamConfig(), 0)
    return site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    prepare(made, "http://127.0.0.1:1/", IamConfig(), 0)
    return made


@pytest.fixture
def document(site: Site) -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(site.configuration.read_text())


@pytest.fixture
def write(site: Site) -> Callable[[object], Path]:
    """Write another configuration into the site."""

    def written(content: object) -> Path:
        data = content if isinstance(content, bytes) else yaml.safe_dump(content, sort_keys=False).encode()
        site.configuration.write_bytes(data)
        return site.configuration

    return written
