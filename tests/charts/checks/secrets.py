"""Secrets: none is rendered, none is an environment variable, and tokens are in the sidecar's hands alone."""

import re
from collections.abc import Iterator

from tests.charts.checks.exceptions import excused
from tests.charts.checks.release import Check, Release
from tests.charts.objects import Json, Pods, name_of, strings

TOKEN = "token"
_SIDECAR = {"credentials", "first-credentials"}
# a PEM key, a JWT, a password that somebody wrote out
_SECRET = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|\beyJ[A-Za-z0-9_-]{10,}|(?i:\bpassw(or)?d[ \t]*[:=][ \t]*['\"]?[\w-]+)")


def _are_not_rendered(release: Release) -> Iterator[str]:
    yield from (f"{name_of(item)}: a Secret is never a chart's" for item in release.kind("Secret"))
    for item in release.objects:
        for text in strings(item):
            if found := _SECRET.search(text):
                yield f"{name_of(item)}: looks like a secret: {found[0]}"


def _are_no_variables(release: Release) -> Iterator[str]:
    """A variable is inherited by every child, and shown in /proc; a file is not."""
    for one in release.pods:
        for container in one.containers():
            named = [v["name"] for v in container.get("env", []) if "secretKeyRef" in v.get("valueFrom", {})]
            named += [source["secretRef"]["name"] for source in container.get("envFrom", []) if "secretRef" in source]
            yield from (f"{one.at}: {container['name']} has {name} of a Secret in its environment" for name in named)


def _tokens_are_the_sidecars(release: Release) -> Iterator[str]:
    for one in release.pods:
        for container in one.containers():
            name, mounts = container["name"], container.get("volumeMounts", [])
            if name in _SIDECAR:
                continue
            if holds_token(one, container) and not excused(one, name, TOKEN):
                yield f"{one.at}: {name} mounts a token"
            if not all(mount.get("readOnly") for mount in mounts if mount["name"] == "credentials"):
                yield f"{one.at}: {name} can write the sidecar's files"


def holds_token(one: Pods, container: Json) -> bool:
    """Return whether a container mounts a token of its pod's account."""
    tokens = {volume["name"] for volume in one.spec.get("volumes", []) if _is_token(volume)}
    return any(mount["name"] in tokens for mount in container.get("volumeMounts", []))


def _is_token(volume: Json) -> bool:
    return any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))


CHECKS: tuple[Check, ...] = (_are_not_rendered, _are_no_variables, _tokens_are_the_sidecars)
