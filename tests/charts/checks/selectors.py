"""Selectors: each means the pods of one component, and goes on meaning them in the next version."""

from collections.abc import Iterator

from tests.charts.checks.release import Check, Release
from tests.charts.objects import Json, name_of, selected

_OWNERS = ("Deployment", "StatefulSet", "DaemonSet")
# these change with each version of a chart, and a selector never may
_CHANGING = {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"}


def _mean_one_component(release: Release) -> Iterator[str]:
    for what, selector in _selectors(release):
        found = selected(selector, release.pods)
        if len(found) != 1 or not selector.get("matchLabels"):
            yield f"{what}: selects {', '.join(one.at for one in found) or 'nothing'}"


def _selectors(release: Release) -> Iterator[tuple[str, Json]]:
    for item in release.objects:
        spec = item.get("spec", {})
        match item["kind"]:
            case "Service":
                yield name_of(item), {"matchLabels": spec.get("selector", {})}
            case "NetworkPolicy":
                yield name_of(item), spec["podSelector"]
            case "PodDisruptionBudget" | "PodMonitor" | "Deployment" | "StatefulSet" | "DaemonSet":
                yield name_of(item), spec["selector"]


def _mean_their_own(release: Release) -> Iterator[str]:
    for one in release.pods:
        inside = [one.owner["spec"]["selector"]] if one.owner["kind"] in _OWNERS else []
        inside += [spread["labelSelector"] for spread in one.spec.get("topologySpreadConstraints", [])]
        for selector in inside:
            if not selected(selector, [one]):
                yield f"{one.at}: {selector} does not select its own pods"


def _never_change(release: Release) -> Iterator[str]:
    for what, selector in _selectors(release):
        yield from (f"{what}: {key} in a selector" for key in sorted(_CHANGING & set(selector.get("matchLabels", {}))))
    for one in (one for one in release.pods if one.owner["kind"] in _OWNERS):
        claims = one.owner["spec"].get("volumeClaimTemplates", [])
        labels = [one.labels, *(claim["metadata"].get("labels", {}) for claim in claims)]
        for key in sorted(_CHANGING & {key for each in labels for key in each}):
            yield f"{one.at}: {key} in a template, which a new chart alone would change"


CHECKS: tuple[Check, ...] = (_mean_one_component, _mean_their_own, _never_change)
