"""Volumes: what is mounted is there, what is there is mounted, and what changes starts its pods anew."""

from collections.abc import Iterator

from tests.charts.checks.names import sources
from tests.charts.checks.release import Check, Release, twice
from tests.charts.objects import Json, Pods, name_of


def _are_mounted(release: Release) -> Iterator[str]:
    for one in release.pods:
        claims = one.owner.get("spec", {}).get("volumeClaimTemplates", [])
        volumes = [item["name"] for item in one.spec.get("volumes", [])] + [item["metadata"]["name"] for item in claims]
        mounts = {mount["name"] for container in one.containers() for mount in container.get("volumeMounts", [])}
        yield from (f"{one.at}: two volumes {name}" for name in twice(volumes))
        yield from (f"{one.at}: no volume {name}, which is mounted" for name in sorted(mounts - set(volumes)))
        yield from (f"{one.at}: volume {name} is mounted nowhere" for name in sorted(set(volumes) - mounts))


def _containers_say_things_once(release: Release) -> Iterator[str]:
    for one in release.pods:
        yield from (f"{one.at}: two containers {name}" for name in twice(c["name"] for c in one.containers()))
        for container in one.containers():
            what = f"{one.at}: {container['name']}"
            paths = twice(mount["mountPath"] for mount in container.get("volumeMounts", []))
            yield from (f"{what} mounts {path} twice" for path in paths)
            yield from (f"{what} has {name} twice" for name in twice(v["name"] for v in container.get("env", [])))


def _sub_paths_are_files(release: Release) -> Iterator[str]:
    """A subPath that a ConfigMap does not have becomes an empty directory."""
    for one in release.pods:
        maps = {volume["name"]: volume["configMap"] for volume in one.spec.get("volumes", []) if "configMap" in volume}
        for container in one.containers():
            for mount in container.get("volumeMounts", []):
                source = maps.get(mount["name"], {})
                found = release.find("ConfigMap", source.get("name", ""))
                if found and "subPath" in mount and mount["subPath"] not in _paths(source, found):
                    yield f"{one.at}: {container['name']} mounts {mount['subPath']}, which {name_of(found)} has not"


def _paths(source: Json, found: Json) -> set[str]:
    return {item["path"] for item in source["items"]} if "items" in source else set(found["data"])


def _maps_are_watched(release: Release) -> Iterator[str]:
    """Pods start anew with a new configuration: their template has a checksum of it."""
    for one in release.pods:
        maps = {name for _, kind, name, _ in sources(one) if kind == "ConfigMap"}
        rendered = sorted(name for name in maps if release.find("ConfigMap", name))
        once = one.owner["kind"] in {"Pod", "Job", "CronJob", "ScaledJob"}
        if rendered and not once and not checksums(one):
            yield f"{one.at}: no checksum of {', '.join(rendered)}"


def checksums(one: Pods) -> dict[str, str]:
    """Return the annotations by which a template follows its configuration."""
    return {key: value for key, value in one.annotations.items() if key.startswith("checksum/")}


CHECKS: tuple[Check, ...] = (_are_mounted, _containers_say_things_once, _sub_paths_are_files, _maps_are_watched)
