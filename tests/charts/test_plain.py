"""The manifests for people without Helm."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.charts.rendering import CHARTS, ROOT, program
from tests.tools.programs import PATIENCE, environment

_PLAIN = ROOT / "k8s_manifests" / "plain"


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    env = environment(PYTHONPATH=ROOT, TTSCACHE_CHARTS=CHARTS)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_they_are_in_step_with_the_charts() -> None:
    done = _run(sys.executable, ROOT / "deploy/charts/plain.py", "--check", "--helm", program("helm", 3))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_kustomize_builds_them_whole_and_without_a_secret() -> None:
    done = _run(program("kubectl", 4), "kustomize", _PLAIN)
    assert (done.returncode, done.stderr) == (0, "")
    built = [(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(done.stdout)]
    files = [path for path in _PLAIN.glob("*.yaml") if path.name not in {"kustomization.yaml", "site.yaml"}]
    written = [
        (each["kind"], each["metadata"]["name"]) for path in files for each in yaml.safe_load_all(path.read_text())
    ]
    assert sorted(built) == sorted(written)
    assert "Secret" not in {kind for kind, _ in built}
