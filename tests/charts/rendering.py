"""Charts through Helm: packaged once in a test run, rendered once for each set of values."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.charts.objects import Json
from tests.tools.programs import PATIENCE, environment, unavailable

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
UMBRELLA = "stateless-site"

# the oldest, the last without native sidecars, what most run, the newest
KUBES = ("1.20.2", "1.28.0", "1.33.0", "1.37.0")
KUBE = "1.33.0"
HELMS = (3, 4)
RELEASE = "site"
NAMESPACE = "grid"

_PACKAGE = ROOT / "deploy" / "charts" / "package.py"


class _Place:
    """Where this run keeps packages and renderings."""

    path: Path | None = None


def share(base: Path) -> None:
    """Say where the run's folder is; the charts are packaged when one is first rendered."""
    _Place.path = base / "charts"
    _Place.path.mkdir(exist_ok=True)


def charts() -> list[str]:
    """Return the names of the charts that can be installed, the umbrella last."""
    names = {file.parent.name for file in CHARTS.glob("*/Chart.yaml")} - {"library"}
    return sorted(names, key=lambda name: (name == UMBRELLA, name))


def defaults(chart: str) -> Json:
    """Return what is in values.yaml."""
    return yaml.safe_load((CHARTS / chart / "values.yaml").read_text()) or {}


def render(
    chart: str,
    values: Mapping[str, object] | None = None,
    kube: str = KUBE,
    helm: int = 3,
    *,
    namespace: str = NAMESPACE,
    release: str = RELEASE,
) -> list[Json]:
    """Return the objects that a release has, each time new ones; a refusal or a warning of Helm's fails the test."""
    text = json.dumps(values or {}, sort_keys=True)
    options = ["--namespace", namespace, "--kube-version", kube]
    key = hashlib.sha256(json.dumps([chart, release, helm, options, text]).encode()).hexdigest()
    known = _place() / f"{key}.json"
    if not known.exists():
        done = _helm(helm, "template", release, _archive(chart), *options, values=text)
        if done.returncode or done.stderr:
            pytest.fail(f"helm {helm} template {chart} --kube-version {kube}, values {text}:\n{done.stderr}")
        _keep(known, json.dumps(_objects(done.stdout)))
    loaded: list[Json] = json.loads(known.read_text())
    return loaded


def refused(chart: str, values: Mapping[str, object], kube: str = KUBE, helm: int = 3) -> str:
    """Return why Helm does not render this; that it does fails the test."""
    done = _helm(helm, "template", RELEASE, _archive(chart), "--kube-version", kube, values=json.dumps(values))
    if done.returncode == 0:
        pytest.fail(f"helm {helm} template {chart} takes {values}")
    return done.stderr


def linted(chart: str, values: Mapping[str, object], kube: str = KUBE, helm: int = 3) -> str:
    """Return what `helm lint --strict` finds: nothing, or everything that it printed."""
    done = _helm(
        helm, "lint", "--strict", "--quiet", _archive(chart), "--kube-version", kube, values=json.dumps(values)
    )
    return done.stdout + done.stderr if done.returncode else ""


def packages() -> Path:
    """Return the folder with the archives of all charts."""
    place = _place()
    with _alone(place):
        dest, log = place / "packages", place / "package.log"
        if not log.exists():
            done = subprocess.run(
                [sys.executable, _PACKAGE, dest, "--helm", program("helm", 3)],
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            log.write_text(done.stderr)
    return dest


@cache
def program(name: str, helm: int) -> str:
    """Find helm or kubectl of this major version of Helm: in the virtual environment, or on PATH."""
    ours = Path(sys.prefix, "tools", f"helm{helm}", name)
    found = str(ours) if ours.exists() else shutil.which(f"{name}{helm}")
    if found is None:
        unavailable(f"helm {helm} is not there: deploy/charts/fetch_helm.py {Path(sys.prefix, 'tools')}")
    assert found is not None
    return found


def _place() -> Path:
    assert _Place.path is not None, "fixture `_shared` of tests/charts/conftest.py says where"
    return _Place.path


@cache
def _archive(chart: str) -> str:
    version = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["version"]
    archive = packages() / f"{chart}-{version}.tgz"
    if not archive.exists():
        pytest.fail(f"{chart} cannot be packaged:\n{(_place() / 'package.log').read_text()}")
    return str(archive)


def _helm(helm: int, *arguments: str, values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("helm", helm), *arguments, "--values", "-"],
        env=_environment(),
        input=values,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _environment() -> dict[str, str]:
    # Helm keeps its caches in HOME
    return environment(HOME=_place())


def _objects(text: str) -> list[Json]:
    found = [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item is not None]
    assert all("kind" in item for item in found), text
    return found


def _keep(file: Path, text: str) -> None:
    # two workers may come to the same rendering at once
    new = file.with_suffix(f".{os.getpid()}")
    new.write_text(text)
    new.replace(file)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
