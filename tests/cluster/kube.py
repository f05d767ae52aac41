"""A cluster as the tests use it: what is applied, waited for, run in pods and moved to other nodes."""

import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client, config

from k8s_manifests.cluster import Api
from k8s_manifests.objects import Key, Object, key_of
from k8s_manifests.readiness import WORKLOADS, readiness
from tests.tools.programs import Verdict

# images are pulled, caches fill
PATIENCE = 300.0
_PAUSE = 0.5
_TOO_MANY_REQUESTS = 429


def until(satisfied: Callable[[], bool], otherwise: Callable[[], str], within: float = PATIENCE) -> None:
    """Ask until it is so; past the deadline, fail with the explanation."""
    deadline = time.monotonic() + within
    while not satisfied():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:g} s: {otherwise()}")
        time.sleep(_PAUSE)


class Kube:
    """The cluster of the environment's kubeconfig."""

    def __init__(self, api: Api) -> None:
        self.api = api
        own = config.new_client_from_config()
        self.core = client.CoreV1Api(own)
        found = re.match(r"v1\.(\d+)", client.VersionApi(own).get_code().git_version)
        assert found is not None
        self._eviction = "policy/v1" if int(found[1]) >= 22 else "policy/v1beta1"

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Make a namespace, and delete it in the end with all that is in it, unless KEEP says otherwise."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        try:
            yield name
        finally:
            if not os.environ.get("KEEP"):
                self.api.delete(Key("v1", "Namespace", "", name))

    def apply(self, *items: Object) -> None:
        for item in items:
            self.api.apply(item, dry_run=False)

    def wait_ready(self, namespace: str) -> None:
        """Wait until all workloads of a namespace are as they are to be."""
        until(lambda: not self._unready(namespace), lambda: self.told(namespace))

    def _unready(self, namespace: str) -> list[str]:
        kinds = {"Job": "batch/v1"}
        items = (item for kind in WORKLOADS for item in self.api.list(kinds.get(kind, "apps/v1"), kind, namespace))
        return [str(key_of(item)) for item in items if not readiness(item).ready]

    def told(self, namespace: str) -> str:
        """Return what a person would look at first."""
        pods = [f"{name}: {_state(pod)}" for name, pod in self.pods(namespace).items() if not _is_ready(pod)]
        return "\n".join([f"not ready in {namespace}: {self._unready(namespace)}", *pods])

    def pods(self, namespace: str, labels: str = "") -> dict[str, Object]:
        """Return the pods that are not on their way out, by name."""
        return {
            pod["metadata"]["name"]: pod
            for pod in self.api.list("v1", "Pod", namespace, labels=labels)
            if "deletionTimestamp" not in pod["metadata"]
        }

    def run(self, namespace: str, pod: str, container: str, *command: str) -> Verdict:
        """Run a command in a container; its exit status 0 is a yes."""
        script = f'{shlex.join(command)} 2>&1; echo "status $?"'
        text, _, status = self.api.run(namespace, pod, container, ["sh", "-c", script]).rpartition("status ")
        return Verdict(status.strip() == "0", text)

    def log(self, namespace: str, pod: str, container: str) -> str:
        return str(self.core.read_namespaced_pod_log(pod, namespace, container=container))

    def kill(self, namespace: str, pod: str) -> None:
        """Let a pod be gone without a farewell, as with its node."""
        self.core.delete_namespaced_pod(pod, namespace, grace_period_seconds=0)

    def move(self, namespace: str, pod: str) -> None:
        """Have a pod leave its node, as a drain does, and wait until its workload is as before."""
        uid = self.pods(namespace)[pod]["metadata"]["uid"]
        until(lambda: self._evicted(namespace, pod), lambda: f"{pod} may not be evicted")
        until(lambda: uid not in self._uids(namespace), lambda: f"{pod} does not go")
        self.wait_ready(namespace)

    def _evicted(self, namespace: str, pod: str) -> bool:
        """Evict a pod, if its disruption budget lets it."""
        body = client.V1Eviction(
            api_version=self._eviction,
            kind="Eviction",
            metadata=client.V1ObjectMeta(name=pod, namespace=namespace),
        )
        try:
            self.core.create_namespaced_pod_eviction(pod, namespace, body)
        except client.ApiException as error:
            if error.status != _TOO_MANY_REQUESTS:
                raise
            return False
        return True

    def _uids(self, namespace: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.api.list("v1", "Pod", namespace)}

    def lives(self, namespace: str) -> dict[str, tuple[int, ...]]:
        """Return the pods that run, by name and uid, with how often their containers have begun anew."""
        running = {name: pod for name, pod in self.pods(namespace).items() if pod["status"]["phase"] == "Running"}
        return {f"{name} {pod['metadata']['uid']}": tuple(_restarts(pod)) for name, pod in running.items()}


def _restarts(pod: Object) -> Iterator[int]:
    for container in _containers(pod):
        yield container["restartCount"]


def _containers(pod: Object) -> Iterable[dict[str, Any]]:
    status = pod["status"]
    return (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _state(pod: Object) -> str:
    return ", ".join(f"{container['name']} {container['state']}" for container in _containers(pod)) or str(
        pod["status"].get("conditions")
    )
