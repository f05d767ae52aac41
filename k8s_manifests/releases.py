"""From a site to what Helm makes of it: the releases of a cluster, rendered, as objects ready to be applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s_manifests.charts import complete
from k8s_manifests.helm import Helm, Target
from k8s_manifests.objects import Object, in_order, is_test, parse

_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "ttscache-site"


@dataclass(frozen=True)
class Release:
    """A chart with the values of one cluster."""

    name: str
    chart: str
    values: Mapping[str, Any]


def rendered(
    releases: tuple[Release, ...], namespace: str, *, helm: Helm, charts: Path, target: Target
) -> list[Object]:
    """Return all objects of a cluster's releases in the order in which they are applied. Raises ToolError."""
    found: list[Object] = []
    for release in releases:
        with complete(charts, release.chart) as chart:
            text = helm.template(chart, release=release.name, namespace=namespace, values=release.values, target=target)
        found += [_ours(item) for item in parse(text) if not is_test(item)]
    return in_order(found)


def _ours(item: Object) -> Object:
    """Say in its labels that an object is not Helm's: `helm uninstall` and `helm list` know nothing of it."""
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    if _MANAGED_BY not in labels:
        return item
    return {**item, "metadata": {**metadata, "labels": {**labels, _MANAGED_BY: MANAGER}}}
