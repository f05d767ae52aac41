"""From objects to a cluster: what would change, and making it so, in order, with waits and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from k8s_manifests import inventory
from k8s_manifests.cluster import FIELD_MANAGER, Api
from k8s_manifests.daemon import secret_keys
from k8s_manifests.errors import ClusterRefusedError, ClusterUnavailableError
from k8s_manifests.needs import missing_secrets
from k8s_manifests.objects import Key, Object, is_preparation, key_of, label, pod_spec
from k8s_manifests.plan import Act, Step, step_for
from k8s_manifests.pods import pod_problems, told
from k8s_manifests.readiness import WORKLOADS, readiness
from k8s_manifests.site import Cluster

Tell: TypeAlias = Callable[[str], None]

_POLL_SECONDS = 1.0
_INVALID = "object_invalid"
_SCALED = ("Deployment", "StatefulSet")
_REPLICAS_MANAGER = f"{FIELD_MANAGER}-replicas"


@dataclass
class Applying:
    """One apply to one cluster. ``tell`` gets a line for each thing done; a workload may take ``wait`` seconds."""

    api: Api
    cluster: Cluster
    objects: Sequence[Object]
    tell: Tell
    wait: float
    done: list[Key] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Where the site is in the cluster."""
        return self.cluster.namespace

    @property
    def site(self) -> str:
        """The site's name."""
        return str(self.cluster.settings["name"])

    def missing(self) -> list[str]:
        """Return a line for each Secret, or key of one, that is not there. Raises SiteError."""
        return list(missing_secrets(self.api, self.objects, secret_keys(self.cluster.settings)))

    def plan(self) -> list[Step]:
        """Return what would change. Raises SiteError."""
        self._require_kinds()
        missing = self._missing_namespace()
        steps = [Step(Act.CREATE, _namespace_key(self.namespace))] if missing else []
        steps += [self._planned(item, unborn=missing) for item in self.objects]
        gone = inventory.left_over(inventory.read(self.api, self.namespace, self.site), map(key_of, self.objects))
        return steps + [Step(Act.DELETE, key, why="no longer in the site") for key in gone]

    def run(self) -> bool:
        """Apply. Returns whether anything changed. Raises SiteError; ``done`` is what was changed until then.

        Whatever breaks it off, running it again goes on: each object is compared with what is there.
        """
        self._require_kinds()
        if lines := self.missing():
            raise ClusterRefusedError("secret_missing", "; ".join(lines) + "; nothing was applied")
        if self._missing_namespace():
            self._apply(_namespace(self.namespace))
        before, now = inventory.read(self.api, self.namespace, self.site), [key_of(item) for item in self.objects]
        if before != now:
            inventory.write(self.api, self.namespace, self.site, (*before, *now))
        for _, stage in groupby(self.objects, key=_stage):
            items = list(stage)
            for item in items:
                self._one(item)
            self._wait_for([key_of(item) for item in items if item["kind"] in WORKLOADS])
        for key in inventory.left_over(before, now):
            if self.api.delete(key):
                self._did(f"deleted {key}", key)
        if before != now:
            inventory.write(self.api, self.namespace, self.site, now)
        return bool(self.done)

    def _one(self, item: Object) -> None:
        step = self._planned(item, unborn=False)
        if step.act is Act.KEEP:
            return
        if step.act is Act.REPLACE:
            self.api.delete(step.key)
            self._until(lambda: self.api.get(step.key) is None, f"{step.key} is still being deleted")
        self._apply(item)

    def _apply(self, item: Object) -> None:
        self._leave_replicas(item)
        self.api.apply(item, dry_run=False)
        self._did(f"applied {key_of(item)}", key_of(item))

    def _leave_replicas(self, item: Object) -> None:
        """Keep the number of pods where an autoscaler takes it over: given up by us, it would fall to one."""
        if item["kind"] not in _SCALED or "replicas" in item["spec"]:
            return
        live = self.api.get(key_of(item))
        if live is not None:
            number = {"replicas": live["spec"].get("replicas", 1)}
            metadata = {"name": key_of(item).name, "namespace": key_of(item).namespace}
            partial = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "spec": number}
            self.api.apply(partial, dry_run=False, manager=_REPLICAS_MANAGER)

    def _did(self, line: str, key: Key) -> None:
        self.done.append(key)
        self.tell(line)

    def _planned(self, item: Object, *, unborn: bool) -> Step:
        """Return what would be done with an object; in a namespace that is not there yet the server cannot be asked."""
        key = key_of(item)
        live = None if unborn and key.namespace else self.api.get(key)
        if unborn and key.namespace:
            return Step(Act.CREATE, key)
        try:
            return step_for(live, self.api.apply(item, dry_run=True), key)
        except ClusterRefusedError as error:
            if error.code == _INVALID and live is not None and "immutable" in str(error):
                return self._replacement(item, error)
            raise

    def _replacement(self, item: Object, error: ClusterRefusedError) -> Step:
        """Run a Job anew when its template has changed. Anything else may hold what is not to be lost."""
        key = key_of(item)
        if item["kind"] == "Job":
            return Step(Act.REPLACE, key, why="it has to run again")
        raise ClusterRefusedError(
            "change_refused",
            f"{error}; if that change is meant: kubectl delete --cascade=orphan {_named(key)}, then apply",
        ) from None

    def _missing_namespace(self) -> bool:
        return self.api.get(_namespace_key(self.namespace)) is None

    def _require_kinds(self) -> None:
        """Find out before anything is applied that the cluster does not know what is to be applied."""
        for api_version, kind in dict.fromkeys((item["apiVersion"], item["kind"]) for item in self.objects):
            self.api.require(api_version, kind)

    def _wait_for(self, keys: list[Key]) -> None:
        for key in keys:
            self._until(lambda key=key: self._is_ready(key), f"{key} is not ready")  # type: ignore[misc]

    def _is_ready(self, key: Key) -> bool:
        live = self.api.get(key)
        if live is None:
            raise ClusterUnavailableError("object_gone", f"{key} was deleted by somebody meanwhile; run it again")
        state = readiness(live)
        if state.failed:
            raise ClusterRefusedError("workload_failed", f"{key} {state.text}{self._reasons(live)}")
        if state.ready:
            return True
        lasting = [problem for problem in pod_problems(self.api, live) if problem.lasting]
        if lasting:
            raise ClusterRefusedError("workload_failed", f"{key} cannot start: {told(lasting)}")
        return False

    def _until(self, satisfied: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + self.wait
        while not satisfied():
            if time.monotonic() >= deadline:
                raise ClusterUnavailableError("not_ready", f"{complaint} after {self.wait:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _reasons(self, live: Object) -> str:
        found = list(pod_problems(self.api, live))
        return f": {told(found)}" if found else ""


def _stage(item: Object) -> tuple[bool, bool, str]:
    """What is waited for together: each preparation for itself, then the workloads chart by chart."""
    runs = pod_spec(item) is not None
    return (
        is_preparation(item),
        runs,
        key_of(item).name if is_preparation(item) else label(item, "name") if runs else "",
    )


def _namespace_key(name: str) -> Key:
    return Key("v1", "Namespace", "", name)


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _named(key: Key) -> str:
    return f"-n {key.namespace} {key.kind.lower()}/{key.name}"
