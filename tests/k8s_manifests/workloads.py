"""Small sets of objects, as a rendering gives them."""

from typing import Any

Object = dict[str, Any]
NAMESPACE = "site"


def of(kind: str, name: str, api_version: str, chart: str = "ttscache", **fields: Any) -> Object:  # noqa: ANN401 - JSON
    labels = {"app.kubernetes.io/name": chart, "app.kubernetes.io/part-of": "stateless-site"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def pods(name: str, *, secret: str = "", key: str = "key") -> Object:
    volumes = [{"name": "s", "secret": {"secretName": secret, "items": [{"key": key, "path": key}]}}] if secret else []
    container = {"name": "main", "image": "registry.example/main:1"}
    return {
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], "volumes": volumes}},
    }


def deployment(name: str, chart: str = "ttscache", *, secret: str = "", replicas: int = 1) -> Object:
    return of("Deployment", name, "apps/v1", chart, spec={"replicas": replicas, **pods(name, secret=secret)})


def config(name: str, text: str = "a") -> Object:
    return of("ConfigMap", name, "v1", data={"file": text})


def job(name: str, image: str = "1", makes: str = "") -> Object:
    annotations = {"helm.sh/hook": "pre-install,pre-upgrade", "ttscache/makes-secrets": makes}
    spec = pods(name)
    spec["template"]["spec"]["containers"][0]["image"] = image
    del spec["selector"]
    item = of("Job", name, "batch/v1", spec=spec)
    item["metadata"]["annotations"] = annotations
    return item


def site() -> list[Object]:
    """A site in its order: what is prepared, then what needs it."""
    return [
        job("keys", makes="made"),
        config("daemon"),
        config("squid"),
        deployment("daemon", secret="made"),
        deployment("squid", "squid"),
        deployment("wn", "wn"),
    ]
