#!/usr/bin/env python3
"""plain.py [--check] [--helm PROGRAM]: write k8s_manifests/plain, the example site for people without Helm.

A file for each chart, and a kustomization that names them. With --check nothing is written: exit status 1 when they are
not in step with the charts.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from k8s_manifests.charts import charts_directory
from k8s_manifests.deployment import Tools, objects_of
from k8s_manifests.helm import Helm, Target
from k8s_manifests.loading import load
from k8s_manifests.objects import Object, label
from k8s_manifests.site import DEFAULT_TOKEN_ISSUER

_PLAIN = Path(__file__).parents[2] / "k8s_manifests" / "plain"
_KUBE = "1.33.0"
_HEAD = "# Made of site.yaml by deploy/charts/plain.py; change that, or the charts.\n"


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--helm", default="helm")
    given = parser.parse_args()
    wanted = _manifests(given.helm)
    present = {path.name: path.read_text() for path in _PLAIN.glob("*.yaml") if path.name != "site.yaml"}
    if given.check:
        stale = sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))
        sys.stdout.writelines(f"k8s_manifests/plain/{name} is not in step with the charts\n" for name in stale)
        return 1 if stale else 0
    for name in set(present) - set(wanted):
        (_PLAIN / name).unlink()
    for name, text in wanted.items():
        (_PLAIN / name).write_text(text)
    return 0


def _manifests(helm: str) -> dict[str, str]:
    """Return the files' texts by their names."""
    site = load(_PLAIN / "site.yaml")
    (cluster,) = site.clusters
    tools = Tools(Helm(helm), charts_directory())
    files: dict[str, list[Object]] = {}
    for item in objects_of(site, cluster, tools, Target(_KUBE), DEFAULT_TOKEN_ISSUER):
        files.setdefault(f"{label(item, 'name')}.yaml", []).append(_plain(item))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": cluster.namespace,
        "resources": sorted(files),
    }
    texts = {name: yaml.safe_dump_all(items, sort_keys=False, width=120) for name, items in files.items()}
    texts["kustomization.yaml"] = yaml.safe_dump(kustomization, sort_keys=False)
    return {name: _HEAD + text for name, text in texts.items()}


def _plain(item: Object) -> dict[str, Any]:
    """Return an object without what only Helm reads."""
    metadata = dict(item["metadata"])
    metadata["annotations"] = _without_helm(metadata.get("annotations") or {})
    metadata["labels"] = _without_helm(metadata.get("labels") or {})
    return {**item, "metadata": {name: value for name, value in metadata.items() if value != {}}}


def _without_helm(entries: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in entries.items() if not name.startswith("helm.sh/")}


if __name__ == "__main__":
    sys.exit(main())
