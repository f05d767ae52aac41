"""Scaling: who scales finds what it scales, and is the only one who does."""

from collections.abc import Iterator

from tests.charts.checks.release import Check, Release, twice
from tests.charts.objects import Json, name_of


def _targets_exist(release: Release) -> Iterator[str]:
    for item in _scalers(release):
        kind, name = _target(item)
        found = release.find(kind, name)
        if found is None:
            yield f"{name_of(item)}: there is no {kind} {name}"
        elif "replicas" in found["spec"]:
            yield f"{name_of(item)}: {kind} {name} has `replicas`, to which each upgrade would set it back"


def _targets_have_one_scaler(release: Release) -> Iterator[str]:
    targets = [_target(item) for item in _scalers(release)]
    yield from (f"{kind} {name}: two scale it" for kind, name in twice(targets))


def _scalers(release: Release) -> list[Json]:
    return release.kind("HorizontalPodAutoscaler", "ScaledObject")


def _target(scaler: Json) -> tuple[str, str]:
    target = scaler["spec"]["scaleTargetRef"]
    return target.get("kind", "Deployment"), target["name"]


CHECKS: tuple[Check, ...] = (_targets_exist, _targets_have_one_scaler)
