"""What is wrong with the pods of a workload, as the cluster tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from k8s_manifests.cluster import Api
from k8s_manifests.objects import Object, key_of
from k8s_manifests.readiness import Problem, problems


def pod_problems(api: Api, workload: Object) -> Iterator[Problem]:
    """Yield what is wrong with a workload's pods; a pod that hangs before its first container has its events read."""
    labels = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    namespace = key_of(workload).namespace
    pods = [pod for pod in api.list("v1", "Pod", namespace, labels=selector) if _is_present(pod, workload)]
    yield from problems(pods)
    for pod in pods:
        if (pod.get("status") or {}).get("phase") == "Pending":
            yield from _mount_problems(api, namespace, key_of(pod).name)


def _is_present(pod: Object, workload: Object) -> bool:
    """Return whether a pod is of the workload as it is now: what ails one that is about to go says nothing."""
    revision = (workload.get("status") or {}).get("updateRevision")
    labels = pod["metadata"].get("labels") or {}
    if revision is not None:
        return bool(labels.get("controller-revision-hash") == revision)
    template = workload["spec"]["template"]
    wanted = (template.get("metadata") or {}).get("annotations") or {}
    held = pod["metadata"].get("annotations") or {}
    images = {each["image"] for each in template["spec"]["containers"]}
    return all(held.get(name) == value for name, value in wanted.items()) and images <= {
        each["image"] for each in pod["spec"]["containers"]
    }


def _mount_problems(api: Api, namespace: str, pod: str) -> Iterator[Problem]:
    events = api.list("v1", "Event", namespace, fields=f"involvedObject.name={pod},reason=FailedMount")
    for event in events[-1:]:
        yield Problem(pod, " ".join(str(event.get("message", "")).split()), lasting=False)


def told(found: Iterable[Problem]) -> str:
    """Return problems in one line."""
    return "; ".join(dict.fromkeys(f"pod {problem.pod}: {problem.text}" for problem in found))
