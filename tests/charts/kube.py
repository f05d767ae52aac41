"""Objects as an API server reads them: the published schemas of each version, in which unknown fields are faults.

There are no schemas below 1.25. What 1.20 serves, and which fields it does not know, are lists here; it drops such a
field without a word.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import SchemaRegistry

from tests.charts.custom_resources import SCHEMAS
from tests.charts.objects import Json, name_of, pods

_SERVED_BY_1_20 = {
    "v1": {"ConfigMap", "Pod", "Service", "ServiceAccount", "PersistentVolumeClaim"},
    "apps/v1": {"Deployment", "StatefulSet", "DaemonSet"},
    "autoscaling/v2beta2": {"HorizontalPodAutoscaler"},
    "batch/v1": {"Job"},
    "batch/v1beta1": {"CronJob"},
    "networking.k8s.io/v1": {"NetworkPolicy", "Ingress"},
    "policy/v1beta1": {"PodDisruptionBudget"},
    "rbac.authorization.k8s.io/v1": {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
    "storage.k8s.io/v1": {"StorageClass"},
}
# field: the version that brought it
_LATER = {
    "endPort": "1.22",
    "internalTrafficPolicy": "1.21",
    "trafficDistribution": "1.30",
    "matchLabelKeys": "1.25",
    "minDomains": "1.24",
    "nodeTaintsPolicy": "1.25",
    "persistentVolumeClaimRetentionPolicy": "1.23",
    "podFailurePolicy": "1.25",
    "unhealthyPodEvictionPolicy": "1.26",
    "hostUsers": "1.25",
    "grpc": "1.23",
    "timeZone": "1.24",
    "appArmorProfile": "1.30",
    "supplementalGroupsPolicy": "1.31",
}


def faults(item: Json, version: str) -> list[str]:
    """Return what a cluster of this version, such as 1.33, would say to an object."""
    validator = _validator(version, item["apiVersion"], item["kind"])
    if validator is None:
        return [f"{name_of(item)}: Kubernetes {version} has no {item['kind']} of {item['apiVersion']}"]
    return [f"{name_of(item)}: {error.json_path}: {error.message[:300]}" for error in validator.iter_errors(item)]


def faults_of_the_oldest(item: Json) -> list[str]:
    """Return what Kubernetes 1.20 does not have, as far as the lists above know."""
    kind = f"{item['apiVersion']}/{item['kind']}"
    if kind not in SCHEMAS and item["kind"] not in _SERVED_BY_1_20.get(item["apiVersion"], ()):
        return [f"{name_of(item)}: Kubernetes 1.20 has no {kind}"]
    later = [f"{key} is there from {_LATER[key]} on" for key in _fields(item.get("spec")) if key in _LATER]
    inits = [container for one in pods([item]) for container in one.spec.get("initContainers", [])]
    native = [f"{container['name']} is a native sidecar" for container in inits if "restartPolicy" in container]
    return [f"{name_of(item)}: {what}" for what in [*later, *native]]


def _fields(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


@cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator | None:
    if custom := SCHEMAS.get(f"{api_version}/{kind}"):
        return Draft202012Validator(custom)
    # rbac.authorization.k8s.io/v1 is in role-rbac-v1.json, v1 in service-v1.json
    group, _, number = api_version.rpartition("/")
    file = _schemas(version) / "-".join(filter(None, (kind.lower(), group.partition(".")[0], f"{number}.json")))
    return Draft202012Validator(_read(file), registry=_definitions(version)) if file.is_file() else None


@cache
def _definitions(version: str) -> SchemaRegistry:
    """Read a megabyte of definitions once; the package's own `validate` does for each object."""
    return Resource.from_contents(_read(_schemas(version) / "_definitions.json")) @ Registry()


def _schemas(version: str) -> Traversable:
    return files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"


def _read(file: Traversable) -> Json:
    read: Json = json.loads(file.read_text())
    return read
