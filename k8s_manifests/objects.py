"""Kubernetes objects as plain values: what one is called, and in which order many are applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import yaml

Object: TypeAlias = Mapping[str, Any]

_HOOK = "helm.sh/hook"
_HOOK_WEIGHT = "helm.sh/hook-weight"
# What others need comes before what needs it. Kinds that are not named, workloads among them, come last.
_KINDS = (
    "Namespace", "PriorityClass", "StorageClass", "CustomResourceDefinition",
    "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    "ConfigMap", "Secret", "Issuer", "Certificate", "PersistentVolume", "PersistentVolumeClaim",
    "NetworkPolicy", "PodDisruptionBudget", "Service",
)  # fmt: skip
# The daemon gives what the others wait for; caches subscribe to their redirector; payloads read through all of them.
_CHARTS = ("ttscache", "squid", "cvmfs", "xcache", "xrootd", "htcondor", "wn")
_COMPONENTS = ("redis", "daemon", "redirector", "cm")


class Key(NamedTuple):
    """What an object is called. ``namespace`` is empty for an object of the whole cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if not self.namespace else f"{self.kind} {self.namespace}/{self.name}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What stays the same when an API moves to a new version."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else "", *self[1:]


def key_of(item: Object) -> Key:
    """Return what an object is called."""
    metadata = item["metadata"]
    return Key(item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"])


def parse(text: str) -> list[Object]:
    """Return the objects of Helm's output."""
    return [item for item in yaml.safe_load_all(text) if item]


def annotation(item: Object, name: str) -> str:
    """Return an annotation of an object, empty when there is none."""
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def label(item: Object, name: str) -> str:
    """Return a label of an object, empty when there is none."""
    return str((item["metadata"].get("labels") or {}).get(f"app.kubernetes.io/{name}", ""))


def is_test(item: Object) -> bool:
    """Return whether an object is there for `helm test` alone."""
    return "test" in annotation(item, _HOOK).split(",")


def is_preparation(item: Object) -> bool:
    """Return whether an object has to be there, and a Job to be done, before anything else is applied."""
    return "pre-install" in annotation(item, _HOOK).split(",")


def in_order(items: Iterable[Object]) -> list[Object]:
    """Return objects in the order in which they are applied; it depends on nothing but them."""
    return sorted(items, key=_place)


def _place(item: Object) -> tuple[Any, ...]:
    kind, chart, component = item["kind"], label(item, "name"), label(item, "component")
    return (
        kind != "Namespace",
        not is_preparation(item),
        int(annotation(item, _HOOK_WEIGHT) or 0) if is_preparation(item) else 0,
        _rank(kind, _KINDS),
        _rank(chart, _CHARTS),
        _rank(component, _COMPONENTS),
        tuple(key_of(item)),
    )


def _rank(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) if name in names else len(names)


def pod_spec(item: Object) -> Mapping[str, Any] | None:
    """Return the pod spec in a workload, or None for what runs no pods."""
    spec = item.get("spec") or {}
    if item["kind"] == "Pod":
        return dict(spec)
    if item["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template = spec.get("template") if item["kind"] in _WORKLOADS else None
    return None if template is None else dict(template["spec"])


_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet")


class SecretUse(NamedTuple):
    """A Secret that an object needs, with the keys it must have; without keys it only has to be there."""

    namespace: str
    name: str
    keys: tuple[str, ...]
    needed_by: Key


def secrets_used(items: Iterable[Object]) -> Iterator[SecretUse]:
    """Yield the Secrets that pods mount or pull images with; optional ones are left out."""
    for item in items:
        spec = pod_spec(item)
        if spec is None:
            continue
        key = key_of(item)
        for reference in spec.get("imagePullSecrets") or ():
            yield SecretUse(key.namespace, reference["name"], (), key)
        for source in _volume_sources(spec):
            if not source.get("optional"):
                keys = tuple(entry["key"] for entry in source.get("items") or ())
                yield SecretUse(key.namespace, source.get("secretName") or source["name"], keys, key)


def _volume_sources(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for volume in spec.get("volumes") or ():
        if "secret" in volume:
            yield volume["secret"]
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "secret" in source:
                yield source["secret"]
