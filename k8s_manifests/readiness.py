"""Whether a workload is as it is to be, and if not, why: from its object and its pods'. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from k8s_manifests.objects import Object, key_of

_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_WRONG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
# a first start may fail while what it needs is starting; one that goes on failing is told
_PATIENT_RESTARTS = 4


@dataclass(frozen=True)
class Readiness:
    """How far a workload is: how many of its pods are ready and new, of how many; and what a person reads."""

    ready: bool
    text: str
    failed: bool = False


@dataclass(frozen=True)
class Problem:
    """What is wrong with a pod. ``lasting`` when waiting will not mend it."""

    pod: str
    text: str
    lasting: bool


def readiness(item: Object) -> Readiness:
    """Return how far a live object is. Kinds without pods are ready when they are there."""
    judge = _JUDGES.get(item["kind"])
    return Readiness(ready=True, text="there") if judge is None else judge(item)


def _observed(item: Object) -> bool:
    return bool(item.get("status", {}).get("observedGeneration", 0) >= item["metadata"].get("generation", 0))


def _deployment(item: Object) -> Readiness:
    status, wanted = item.get("status", {}), item["spec"].get("replicas", 1)
    new, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - new
    ready = _observed(item) and new >= wanted and available >= wanted and old <= 0
    return Readiness(ready, f"{min(new, available)}/{wanted} ready")


def _stateful_set(item: Object) -> Readiness:
    status, wanted = item.get("status", {}), item["spec"].get("replicas", 1)
    has_ready = status.get("readyReplicas", 0)
    new = status.get("updatedReplicas", 0)
    rolled = status.get("updateRevision") == status.get("currentRevision") or new >= wanted
    return Readiness(_observed(item) and has_ready >= wanted and rolled, f"{has_ready}/{wanted} ready")


def _daemon_set(item: Object) -> Readiness:
    status = item.get("status", {})
    wanted, has_ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    new = status.get("updatedNumberScheduled", 0)
    return Readiness(_observed(item) and has_ready >= wanted and new >= wanted, f"{has_ready}/{wanted} ready")


def _job(item: Object) -> Readiness:
    conditions = {
        entry["type"]: entry for entry in item.get("status", {}).get("conditions") or () if entry["status"] == "True"
    }
    if "Failed" in conditions:
        told = conditions["Failed"].get("message") or conditions["Failed"].get("reason") or "failed"
        return Readiness(ready=False, text=f"failed: {told}", failed=True)
    return Readiness("Complete" in conditions, "done" if "Complete" in conditions else "running")


_JUDGES: Mapping[str, Callable[[Object], Readiness]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
}
WORKLOADS = tuple(_JUDGES)


def problems(pods: Iterable[Object]) -> Iterator[Problem]:
    """Yield what is wrong with pods: images, Secrets, crashes, no node to run on."""
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        name, status = key_of(pod).name, pod.get("status", {})
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            yield from _of_container(name, container)
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield Problem(name, f"no node takes it: {condition.get('message', '')}", lasting=False)


def _of_container(pod: str, container: Mapping[str, Any]) -> Iterator[Problem]:
    waiting = container.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    told = " ".join(str(waiting.get("message", "")).split())
    if reason in _PULLING:
        # while one pull goes on failing, the reason changes between the two
        lasting = reason != "ErrImagePull"
        yield Problem(pod, f"the image {container['image']} cannot be pulled: {reason} {told}".rstrip(), lasting)
    elif reason in _WRONG:
        restarts = container.get("restartCount", 0)
        ended = (container.get("lastState", {}).get("terminated")) or {}
        why = f"exit status {ended['exitCode']}" if "exitCode" in ended else told
        lasting = reason == "CreateContainerConfigError" or restarts >= _PATIENT_RESTARTS
        yield Problem(pod, f"container {container['name']}: {reason}: {why}", lasting)
