"""Pods by the restricted Pod Security Standard and a little more; exceptions.py has who is excused from which rule."""

from collections.abc import Iterator

from tests.charts.checks.exceptions import excused
from tests.charts.checks.release import Check, Release
from tests.charts.objects import Json, Pods, name_of


def _pods_are_shut_in(release: Release) -> Iterator[str]:
    for one in release.pods:
        yield from (f"{one.at}: {rule}" for rule in broken_by_pod(one) if not excused(one, "", rule))
        for container in one.containers():
            rules = [rule for rule in broken_by(one, container) if not excused(one, container["name"], rule)]
            yield from (f"{one.at}: {container['name']}: {rule}" for rule in rules)


def broken_by_pod(one: Pods) -> Iterator[str]:
    """Yield the rules that a pod as such breaks."""
    spec = one.spec
    if spec.get("automountServiceAccountToken") is not False:
        yield "the cluster's token is mounted"
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")) or spec.get("shareProcessNamespace"):
        yield "namespaces are shared"
    if any("hostPath" in volume for volume in spec.get("volumes", [])):
        yield "host path"
    if spec.get("serviceAccountName", "default") == "default":
        yield "no account of its own"


def broken_by(one: Pods, container: Json) -> Iterator[str]:
    """Yield the rules that a container breaks, with what its pod sets for it."""
    context = one.spec.get("securityContext", {}) | container.get("securityContext", {})
    resources = container.get("resources", {})
    rules = {
        "root": context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0,
        "writable root file system": context.get("readOnlyRootFilesystem") is not True,
        "host port": any("hostPort" in port for port in container.get("ports", [])),
        "no requests": not {"cpu", "memory"} <= set(resources.get("requests", {})),
        "no limit of memory": "memory" not in resources.get("limits", {}),
    }
    yield from (rule for rule, broken in rules.items() if broken)
    yield from ["privileged"] if context.get("privileged") else _rights_kept(context)


def _rights_kept(context: Json) -> Iterator[str]:
    """Yield what a container could be without; one that is privileged is without nothing."""
    capabilities = context.get("capabilities", {})
    if context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation"
    if capabilities.get("drop") != ["ALL"]:
        yield "capabilities kept"
    if added := capabilities.get("add"):
        yield f"capabilities added: {', '.join(sorted(added))}"


def _rights_are_named(release: Release) -> Iterator[str]:
    for item in release.kind("Role", "ClusterRole"):
        for rule in item["rules"]:
            if "*" in [*rule["verbs"], *rule.get("resources", []), *rule.get("apiGroups", [])]:
                yield f"{name_of(item)}: a right to everything: {rule}"
    for item in release.kind("ServiceAccount"):
        if item.get("automountServiceAccountToken") is not False:
            yield f"{name_of(item)}: its token is mounted into pods that do not ask"


def _images_are_fixed(release: Release) -> Iterator[str]:
    for one in release.pods:
        for container in one.containers():
            _, _, tag = container["image"].rpartition("/")[2].partition(":")
            if tag in {"", "latest"} and "@sha256:" not in container["image"]:
                yield f"{one.at}: {container['name']}: image {container['image']}"


CHECKS: tuple[Check, ...] = (_pods_are_shut_in, _rights_are_named, _images_are_fixed)
