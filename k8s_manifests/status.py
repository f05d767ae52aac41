"""How a site is: each workload, each credential's age, each cache, each cvmfs mount, as the cluster's pods tell it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from k8s_manifests import inventory
from k8s_manifests.cluster import Api
from k8s_manifests.errors import SiteError
from k8s_manifests.objects import Key, Object, key_of, label
from k8s_manifests.pods import pod_problems, told
from k8s_manifests.readiness import WORKLOADS, readiness

_PART = "app.kubernetes.io/part-of=stateless-site"
_STATUS_OPTION = "--status="
_SIDECAR = "credentials"
_EXPORTER = "exporter"
_CLIENT = "client"
_FETCH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics', timeout=5).read().decode())"
# a mount whose squid is gone hangs; whoever asks does not want to
_LIST = (
    'for each in "$@"; do timeout 10 ls "/cvmfs/$each" >/dev/null 2>&1 && echo "$each ok" || echo "$each fails"; done'
)


class State(IntEnum):
    """How bad it is; also the order in which the exit status is decided."""

    OK = 0
    DEGRADED = 1
    NOT_READY = 2
    NO_CREDENTIAL = 3


@dataclass(frozen=True)
class Finding:
    """One thing of a site and how it is. ``kind`` is workload, credential, cache or cvmfs."""

    kind: str
    name: str
    state: State
    text: str


def findings(api: Api, namespace: str, site: str, now: datetime) -> Iterator[Finding]:
    """Yield everything that was applied and what its pods say. Raises SiteError when the cluster does not answer."""
    known = inventory.read(api, namespace, site)
    if not known:
        yield Finding("workload", namespace, State.NOT_READY, "nothing of a site was applied to this namespace")
        return
    for key in known:
        if key.kind in WORKLOADS:
            yield _workload(api, key)
    for pod in api.list("v1", "Pod", namespace, labels=_PART):
        if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            yield from _credentials(api, pod, now)
            yield from _cache(api, pod)
            yield from _mounts(api, pod)


def _workload(api: Api, key: Key) -> Finding:
    live, name = api.get(key), f"{key.kind.lower()}/{key.name}"
    if live is None:
        return Finding("workload", name, State.NOT_READY, "is not there; apply the site again")
    state = readiness(live)
    if state.ready:
        return Finding("workload", name, State.OK, state.text)
    found = list(pod_problems(api, live))
    return Finding("workload", name, State.NOT_READY, f"{state.text}; {told(found)}" if found else state.text)


def _containers(pod: Object) -> Mapping[str, Mapping[str, Any]]:
    spec = pod["spec"]
    return {each["name"]: each for each in (*(spec.get("initContainers") or ()), *spec["containers"])}


def _credentials(api: Api, pod: Object, now: datetime) -> Iterator[Finding]:
    """Ask the sidecar's status file, which tells times and reasons and no secret."""
    container = _containers(pod).get(_SIDECAR, {})
    paths = [
        each.removeprefix(_STATUS_OPTION) for each in container.get("args") or () if each.startswith(_STATUS_OPTION)
    ]
    if not paths:
        return
    name = key_of(pod).name
    try:
        files = json.loads(api.run(key_of(pod).namespace, name, _SIDECAR, ["cat", paths[0]]))["files"]
        yield from (_credential(name, entry, now) for entry in files)
    except (SiteError, ValueError, KeyError, TypeError):
        yield Finding("credential", name, State.NOT_READY, "its sidecar does not say how it is")


def _credential(pod: str, entry: Mapping[str, Any], now: datetime) -> Finding:
    name = f"{pod}/{entry['kind']}"
    trouble = f"; last try: {entry['code']}: {entry['message']}" if entry["failures"] else ""
    if not entry["present"]:
        return Finding("credential", name, State.NO_CREDENTIAL, f"is not there{trouble}")
    written = entry["written_at"] and datetime.fromisoformat(entry["written_at"])
    age = f"{_span((now - written).total_seconds())} old" if written else "there"
    if entry["not_after"] is None:
        return Finding("credential", name, State.DEGRADED if trouble else State.OK, age + trouble)
    left = (datetime.fromisoformat(entry["not_after"]) - now).total_seconds()
    if left <= 0:
        return Finding("credential", name, State.NO_CREDENTIAL, f"ended {_span(-left)} ago{trouble}")
    return Finding("credential", name, State.DEGRADED if trouble else State.OK, f"{age}, {_span(left)} left{trouble}")


def _cache(api: Api, pod: Object) -> Iterator[Finding]:
    """Ask the exporter beside an XRootD server."""
    exporter = _containers(pod).get(_EXPORTER)
    if exporter is None or label(pod, "name") not in ("xcache", "xrootd"):
        return
    name, port = key_of(pod).name, exporter["ports"][0]["containerPort"]
    command = ["python3", "-I", "-c", _FETCH.format(port=port)]
    try:
        text = api.run(key_of(pod).namespace, name, _EXPORTER, command)
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except (SiteError, ValueError):
        yield Finding("cache", name, State.NOT_READY, "its exporter does not say how it is")
        return
    values = {f"{sample.name}{''.join(sample.labels.values())}": sample.value for sample in samples}
    if not values.get("xrootd_up"):
        yield Finding("cache", name, State.NOT_READY, "XRootD reports nothing")
        return
    yield Finding("cache", name, State.OK, _traffic(values))


def _traffic(values: Mapping[str, float]) -> str:
    hit, miss = values.get("xrootd_cache_bytes_totalhit", 0.0), values.get("xrootd_cache_bytes_totalmiss", 0.0)
    used, total = values.get("xrootd_cache_disk_bytesused", 0.0), values.get("xrootd_cache_disk_bytestotal", 0.0)
    parts = [f"{hit / (hit + miss):.0%} of bytes from the cache"] if hit + miss else ["no traffic yet"]
    return ", ".join(parts + ([f"disk {used / total:.0%} full"] if total else []))


def _mounts(api: Api, pod: Object) -> Iterator[Finding]:
    """List the repositories where they are mounted."""
    if (label(pod, "name"), label(pod, "component")) != ("cvmfs", "client"):
        return
    name, node = key_of(pod).name, pod["spec"].get("nodeName", "?")
    container = _containers(pod)[_CLIENT]
    try:
        lines = api.run(key_of(pod).namespace, name, _CLIENT, ["sh", "-c", _LIST, "sh", *container["args"]])
    except SiteError:
        yield Finding("cvmfs", node, State.NOT_READY, "its client does not answer")
        return
    for line in lines.splitlines():
        repository, _, state = line.partition(" ")
        yield Finding("cvmfs", f"{node}/{repository}", State.OK if state == "ok" else State.NOT_READY, state)


def _span(seconds: float) -> str:
    """Return a time span as people say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
