"""Where the charts are, and one of them with what it depends on, as Helm wants it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from k8s_manifests.errors import ToolError

_ENVIRONMENT = "TTSCACHE_CHARTS"
_SIBLING = "file://../"


def charts_directory(given: Path | None = None) -> Path:
    """Return the directory of the charts: the one given, that of the environment, or the checkout's.

    Raises ToolError when the umbrella chart is not in it.
    """
    named = os.environ.get(_ENVIRONMENT)
    directory = given or (Path(named) if named else Path(__file__).parent.parent / "charts")
    if not (directory / "stateless-site" / "Chart.yaml").is_file():
        raise ToolError(
            "charts_missing", f"there are no charts in {directory}; name their directory by --charts or {_ENVIRONMENT}"
        )
    return directory


@contextmanager
def complete(charts: Path, name: str) -> Iterator[Path]:
    """Give a chart with its dependencies inside, as long as it is needed. Nothing is written beside the sources."""
    with TemporaryDirectory(prefix="ttscache-site-") as directory:
        target = Path(directory) / name
        _copy(charts, name, target)
        yield target


def _copy(charts: Path, name: str, target: Path) -> None:
    """Copy a chart, and its siblings that it names into `charts/`. Unpacked, they need no `helm dependency update`."""
    shutil.copytree(charts / name, target, ignore=shutil.ignore_patterns("charts", "*.tgz", "Chart.lock"))
    metadata = yaml.safe_load((target / "Chart.yaml").read_text())
    for dependency in metadata.get("dependencies") or ():
        repository = str(dependency["repository"])
        if repository.startswith(_SIBLING):
            _copy(charts, repository.removeprefix(_SIBLING), target / "charts" / str(dependency["name"]))
