"""Objects that the tests bring themselves, as plain as they can be."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from k8s_manifests.objects import Object

Spec = dict[str, Any]

# what the restricted Pod Security Standard wants of every container
LOCKED: Spec = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_LITTLE: Spec = {"requests": {"cpu": "10m", "memory": "64Mi"}}


def secret(namespace: str, name: str, files: Mapping[str, str | bytes]) -> Object:
    data = {
        key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for key, value in files.items()
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}


def config_map(namespace: str, name: str, files: Mapping[str, str]) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(files)}


def service(namespace: str, name: str, port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "protocol": "TCP"}]},
    }


def deployment(namespace: str, name: str, pod: Spec, labels: Mapping[str, str] | None = None) -> Object:
    """Return one pod that comes back. ``pod`` is its spec, run as a user who is nobody."""
    marked = {"app": name, **(labels or {})}
    restricted = {
        "automountServiceAccountToken": False,
        "securityContext": pod_security(10005),
        "terminationGracePeriodSeconds": 5,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": marked}, "spec": {**restricted, **pod}},
        },
    }


def pod_security(uid: int) -> Spec:
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container(name: str, image: str, command: Sequence[str], mounts: Mapping[str, str], **more: object) -> Spec:
    """Return a container; ``mounts`` are volumes by the path that they are seen at."""
    return {
        "name": name,
        "image": image,
        "command": list(command),
        "securityContext": LOCKED,
        "resources": _LITTLE,
        "volumeMounts": [{"name": volume, "mountPath": path} for path, volume in mounts.items()],
        **more,
    }


def env(**variables: str) -> list[Spec]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def from_secret(name: str) -> Spec:
    return {"name": name, "secret": {"secretName": name, "defaultMode": 0o440}}


def from_config_map(name: str) -> Spec:
    return {"name": name, "configMap": {"name": name}}


def scratch(name: str) -> Spec:
    return {"name": name, "emptyDir": {}}
