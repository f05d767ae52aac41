"""Names: of objects, and where one object says another's."""

import re
from collections.abc import Iterator

from tests.charts.checks.release import Check, Release, twice
from tests.charts.objects import NAME, Json, Pods, name_of

_LABELS = (NAME, "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of")
_CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "StorageClass")
# RFC 1123; an RBAC name may have colons, and none of ours has
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
# a controller adds to the name of its pods: "-" and a number of ten digits (StatefulSet's revision), eleven (CronJob)
_LONGEST = {"StatefulSet": 52, "CronJob": 52, "Service": 63, "Pod": 63, "Deployment": 63, "DaemonSet": 63, "Job": 63}


def _are_unique(release: Release) -> Iterator[str]:
    seen = [(item["apiVersion"].partition("/")[0], name_of(item)) for item in release.objects]
    yield from (f"{name}: there are two" for _, name in twice(seen))


def _are_valid(release: Release) -> Iterator[str]:
    for item in release.objects:
        name = item["metadata"]["name"]
        if not _OBJECT.fullmatch(name) or len(name) > _LONGEST.get(item["kind"], 253):
            yield f"{name_of(item)}: not a name that Kubernetes takes"
        labels = item["metadata"].get("labels", {})
        yield from (f"{name_of(item)}: label {key}: {labels[key]}" for key in labels if not _is_label(labels[key]))
    for one in release.pods:
        yield from (f"{one.at}: label {key} on its pods" for key in one.labels if not _is_label(one.labels[key]))


def _is_label(value: str) -> bool:
    return len(value) <= 63 and _LABEL.fullmatch(value) is not None


def _are_in_the_release(release: Release) -> Iterator[str]:
    """Everything is labelled, and in one namespace: the release's."""
    for item in release.objects:
        lacks = set(_LABELS) - set(item["metadata"].get("labels", {}))
        yield from (f"{name_of(item)}: no label {label}" for label in sorted(lacks))
    local = [item for item in release.objects if item["kind"] not in _CLUSTER_WIDE]
    yield from (f"{name_of(item)}: no namespace" for item in local if "namespace" not in item["metadata"])


def _exist(release: Release) -> Iterator[str]:
    """What a pod names is in the release, or a value says that it is there without."""
    for one in release.pods:
        lost = [known for known in named(one) if not release.has(*known) and known not in _EVERYWHERE]
        yield from (f"{one.at}: there is no {kind} {name}" for kind, name in lost)


def named(one: Pods) -> Iterator[tuple[str, str]]:
    """Yield kind and name of everything that a pod needs to start."""
    yield "ServiceAccount", one.spec.get("serviceAccountName", "default")
    for secret in one.spec.get("imagePullSecrets", []):
        yield "Secret", secret["name"]
    if one.owner["kind"] == "StatefulSet":
        yield "Service", one.owner["spec"]["serviceName"]
    for volume in one.spec.get("volumes", []):
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for _, kind, name, _ in sources(one):
        yield kind, name


def sources(one: Pods) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield where, kind, name and keys of each ConfigMap and Secret that a pod takes files or variables from."""
    for volume in one.spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            yield from _volume(f"volume {volume['name']}", source)
    for container in one.containers():
        yield from _environment(container)


def _volume(what: str, source: Json) -> Iterator[tuple[str, str, str, list[str]]]:
    for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
        if key in source:
            found = source[key]
            yield what, kind, found.get("name") or found["secretName"], [item["key"] for item in found.get("items", [])]


def _environment(container: Json) -> Iterator[tuple[str, str, str, list[str]]]:
    for kind, one, many in (("ConfigMap", "configMapKeyRef", "configMapRef"), ("Secret", "secretKeyRef", "secretRef")):
        for variable in container.get("env", []):
            if reference := variable.get("valueFrom", {}).get(one):
                yield f"{container['name']}'s {variable['name']}", kind, reference["name"], [reference["key"]]
        for source in container.get("envFrom", []):
            if many in source:
                yield f"{container['name']}'s environment", kind, source[many]["name"], []


def _keys_exist(release: Release) -> Iterator[str]:
    for one in release.pods:
        for what, kind, name, keys in sources(one):
            found = release.find(kind, name)
            if found is not None:
                lost = set(keys) - {*found.get("data", {}), *found.get("binaryData", {})}
                yield from (f"{one.at}: {what}: {name_of(found)} has no {key}" for key in sorted(lost))


def _accounts_are_one_components(release: Release) -> Iterator[str]:
    """A component has an account of its own, and nobody's rights but its own."""
    owners = {(one.spec.get("serviceAccountName"), one.name) for one in release.pods}
    yield from (f"ServiceAccount {name}: of two components" for name in twice(account for account, _ in owners))
    used = {account for account, _ in owners}
    for item in release.kind("ServiceAccount"):
        if item["metadata"]["name"] not in used:
            yield f"{name_of(item)}: no pod has it"


def _roles_are_bound(release: Release) -> Iterator[str]:
    bound = set()
    for item in release.kind("RoleBinding", "ClusterRoleBinding"):
        role = (item["roleRef"]["kind"], item["roleRef"]["name"])
        bound.add(role)
        if release.find(*role) is None and role not in _BUILT_IN:
            yield f"{name_of(item)}: there is no {' '.join(role)}"
        for subject in item["subjects"]:
            if subject["kind"] == "ServiceAccount" and not release.has("ServiceAccount", subject["name"]):
                yield f"{name_of(item)}: there is no ServiceAccount {subject['name']}"
    for item in release.kind("Role", "ClusterRole"):
        if (item["kind"], item["metadata"]["name"]) not in bound:
            yield f"{name_of(item)}: bound to nobody"


# every cluster has these
_EVERYWHERE = (("ConfigMap", "kube-root-ca.crt"),)
_BUILT_IN = (("ClusterRole", "system:service-account-issuer-discovery"),)

CHECKS: tuple[Check, ...] = (
    _are_unique,
    _are_valid,
    _are_in_the_release,
    _exist,
    _keys_exist,
    _accounts_are_one_components,
    _roles_are_bound,
)
