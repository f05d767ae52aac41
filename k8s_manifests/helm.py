"""Helm, as a program: it renders, and what is rendered is ours to apply."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s_manifests.errors import ToolError

_OLDEST = (3, 12)
_SECONDS = 120
_VERSION = re.compile(r"v(\d+)\.(\d+)")


@dataclass(frozen=True)
class Target:
    """What a cluster can do, which charts ask: its version, its API versions (`policy/v1`, `apps/v1/Deployment`)."""

    kube_version: str
    api_versions: tuple[str, ...] = ()


class Helm:
    """One helm program, of version 3.12 or later, or 4."""

    def __init__(self, program: str = "helm") -> None:
        """Find the program. Raises ToolError when it is not there or too old."""
        found = shutil.which(program)
        if found is None:
            raise ToolError("helm_missing", f"there is no program {program}; install Helm 3.12 or later (helm.sh)")
        self._program = found
        said = _VERSION.search(self._run(["version", "--short"]))
        version = tuple(int(part) for part in said.groups()) if said else (0, 0)
        if version < _OLDEST:
            raise ToolError("helm_too_old", f"{found} is older than Helm 3.12")

    def template(self, chart: Path, *, release: str, namespace: str, values: Mapping[str, Any], target: Target) -> str:
        """Return a chart rendered, hooks included, as YAML documents. Raises ToolError with what Helm says."""
        arguments = ["template", release, str(chart), "--namespace", namespace, "--values", "-"]
        arguments += ["--kube-version", target.kube_version]
        arguments += [f"--api-versions={version}" for version in target.api_versions]
        return self._run(arguments, standard_input=yaml.safe_dump(dict(values)))

    def _run(self, arguments: Sequence[str], standard_input: str = "") -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own helm, without a shell
                [self._program, *arguments],
                input=standard_input,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolError("helm_failed", f"helm {arguments[0]} has not ended in {_SECONDS} s") from None
        except OSError as error:
            raise ToolError("helm_failed", f"{self._program} cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            raise ToolError("helm_failed", _told(done.stderr))
        return done.stdout


def _told(text: str) -> str:
    """Return what Helm says in one line, without the path of our own copy of the chart."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "walk.go" not in line]
    told = "; ".join(lines).removeprefix("Error: ")
    return re.sub(r"execution error at \(([^)]*)\): ", r"\1: ", told)
