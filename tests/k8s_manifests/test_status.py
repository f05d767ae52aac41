"""How a site is told: workloads, credentials, caches, mounts; and the exit status that comes of it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from k8s_manifests.applying import Applying
from k8s_manifests.cluster import Api
from k8s_manifests.objects import Object
from k8s_manifests.readiness import problems, readiness
from k8s_manifests.status import Finding, State, findings
from tests.k8s_manifests.sites import site as of_site
from tests.k8s_manifests.workloads import NAMESPACE, site
from tests.tools.kubernetes import Kubernetes

(CLUSTER,) = of_site(namespace=NAMESPACE).clusters
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
METRICS = """# TYPE xrootd_up gauge
xrootd_up 1.0
# TYPE xrootd_cache_bytes counter
xrootd_cache_bytes_total{source="hit"} 750.0
xrootd_cache_bytes_total{source="miss"} 250.0
# TYPE xrootd_cache_disk_bytes gauge
xrootd_cache_disk_bytes{state="used"} 10.0
xrootd_cache_disk_bytes{state="total"} 100.0
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Kubernetes]:
    with Kubernetes(tmp_path) as serving:
        with Api(serving.kubeconfig, None) as api:
            Applying(api, CLUSTER, site(), lambda _: None, 5).run()
        yield serving


def told(cluster: Kubernetes, kind: str) -> list[Finding]:
    with Api(cluster.kubeconfig, None) as api:
        return [finding for finding in findings(api, NAMESPACE, CLUSTER.settings["name"], NOW) if finding.kind == kind]


def run_pod(cluster: Kubernetes, name: str, chart: str, component: str, *containers: dict[str, Any]) -> None:
    labels = {
        "app.kubernetes.io/part-of": "stateless-site",
        "app.kubernetes.io/name": chart,
        "app.kubernetes.io/component": component,
    }
    spec = {"nodeName": "node-1", "containers": list(containers)}
    cluster.put("v1", "Pod", NAMESPACE, name, metadata={"labels": labels}, spec=spec, status={"phase": "Running"})


def answering(output: str) -> Callable[[str, str, list[str]], str]:
    return lambda _pod, _container, _command: output


def test_workloads_that_are_ready_are_well(cluster: Kubernetes) -> None:
    assert {(each.name, each.state) for each in told(cluster, "workload")} == {
        ("job/keys", State.OK),
        ("deployment/daemon", State.OK),
        ("deployment/squid", State.OK),
        ("deployment/wn", State.OK),
    }


def test_a_workload_that_is_gone_or_not_ready_is_told_with_its_pods_reason(cluster: Kubernetes) -> None:
    del cluster.objects["Deployment", NAMESPACE, "wn"]
    cluster.named("Deployment", "squid")["status"]["availableReplicas"] = 0
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
    labels = {"labels": {"app": "squid"}}
    spec = {"containers": [{"name": "main", "image": "registry.example/main:1"}]}
    cluster.put("v1", "Pod", NAMESPACE, "squid-1", metadata=labels, spec=spec, status={"conditions": [condition]})
    found = {each.name: each for each in told(cluster, "workload")}
    assert found["deployment/wn"].state is State.NOT_READY
    assert "insufficient memory" in found["deployment/squid"].text


def test_a_namespace_without_a_site_is_told(tmp_path: Path) -> None:
    with Kubernetes(tmp_path) as empty:
        (finding,) = told(empty, "workload")
    assert finding.state is State.NOT_READY


def sidecar(files: list[dict[str, Any]]) -> Callable[[str, str, list[str]], str]:
    body = json.dumps({"pid": 1, "written_at": NOW.isoformat(), "files": files})

    def answer(_pod: str, container: str, command: list[str]) -> str:
        assert (container, command) == ("credentials", ["cat", "/run/credentials/status"])
        return body

    return answer


def entry(*, left: float | None = 3600, failures: int = 0, present: bool = True) -> dict[str, Any]:
    return {
        "kind": "proxy",
        "present": present,
        "written_at": (NOW - timedelta(hours=1)).isoformat(),
        "not_after": None if left is None else (NOW + timedelta(seconds=left)).isoformat(),
        "failures": failures,
        "code": "rate_limited" if failures else None,
        "message": "slow down" if failures else None,
    }


@pytest.mark.parametrize(
    "file, state, words",
    [
        (entry(left=7 * 3600), State.OK, "60m old, 7h left"),
        (entry(left=None), State.OK, "60m old"),
        (entry(failures=2), State.DEGRADED, "rate_limited: slow down"),
        (entry(left=-7200), State.NO_CREDENTIAL, "ended 2h ago"),
        (entry(present=False, failures=1), State.NO_CREDENTIAL, "is not there; last try: rate_limited"),
    ],
)
def test_each_credential_tells_its_age_and_what_is_left(
    file: dict[str, Any], state: State, words: str, cluster: Kubernetes
) -> None:
    args = ["--url=https://ttscache:8443", "--status=/run/credentials/status"]
    run_pod(cluster, "xcache-0", "xcache", "cache", {"name": "credentials", "args": args})
    cluster.commands = sidecar([file])
    (finding,) = told(cluster, "credential")
    assert (finding.name, finding.state) == ("xcache-0/proxy", state)
    assert words in finding.text


@pytest.mark.parametrize("output", ["", "cat: no such file", "{}", '{"files": [{}]}', "[]"])
def test_a_sidecar_that_talks_nonsense_is_told(output: str, cluster: Kubernetes) -> None:
    run_pod(cluster, "xcache-0", "xcache", "cache", {"name": "credentials", "args": ["--status=/s"]})
    cluster.commands = answering(output)
    (finding,) = told(cluster, "credential")
    assert finding.state is State.NOT_READY


@pytest.mark.parametrize(
    "output, state, words",
    [
        (METRICS, State.OK, "75% of bytes from the cache, disk 10% full"),
        (METRICS.replace("xrootd_up 1.0", "xrootd_up 0.0"), State.NOT_READY, "reports nothing"),
        ("xrootd_up 1.0\n", State.OK, "no traffic yet"),
        ("Traceback {", State.NOT_READY, "does not say"),
    ],
)
def test_each_cache_tells_its_traffic(output: str, state: State, words: str, cluster: Kubernetes) -> None:
    exporter = {"name": "exporter", "ports": [{"name": "metrics", "containerPort": 9109}]}
    run_pod(cluster, "xcache-0", "xcache", "cache", exporter)
    cluster.commands = answering(output)
    (finding,) = told(cluster, "cache")
    assert finding.state is state
    assert words in finding.text


def test_each_mount_is_told_by_node_and_repository(cluster: Kubernetes) -> None:
    args = ["cms.cern.ch", "grid.cern.ch"]
    run_pod(cluster, "cvmfs-x", "cvmfs", "client", {"name": "client", "args": args})
    cluster.commands = answering("cms.cern.ch ok\ngrid.cern.ch fails\n")
    assert [(each.name, each.state) for each in told(cluster, "cvmfs")] == [
        ("node-1/cms.cern.ch", State.OK),
        ("node-1/grid.cern.ch", State.NOT_READY),
    ]


def status_of(kind: str, status: dict[str, Any], replicas: int = 2) -> Object:
    return {"kind": kind, "metadata": {"generation": 2}, "spec": {"replicas": replicas}, "status": status}


NEW = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "replicas": 2}


@pytest.mark.parametrize(
    "item, ready",
    [
        (status_of("Deployment", NEW), True),
        (status_of("Deployment", NEW | {"observedGeneration": 1}), False),
        (status_of("Deployment", NEW | {"updatedReplicas": 1}), False),
        (status_of("Deployment", NEW | {"replicas": 3}), False),
        (status_of("Deployment", {}, replicas=0), False),
        (status_of("Deployment", {"observedGeneration": 2}, replicas=0), True),
        (status_of("StatefulSet", NEW | {"updateRevision": "b", "currentRevision": "b"}), True),
        (status_of("StatefulSet", NEW | {"updatedReplicas": 1, "updateRevision": "b", "currentRevision": "a"}), False),
        (status_of("DaemonSet", {"observedGeneration": 2, "desiredNumberScheduled": 3, "numberReady": 2}), False),
        (status_of("Job", {}), False),
        (status_of("ConfigMap", {}), True),
    ],
)
def test_a_rollout_is_over_when_new_pods_alone_are_ready(item: Object, *, ready: bool) -> None:
    assert readiness(item).ready is ready


def test_a_pod_that_is_going_is_no_problem_and_a_crash_is_told_with_its_exit_status() -> None:
    crash = {
        "name": "main",
        "image": "i",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 2}},
        "restartCount": 9,
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"containerStatuses": [crash]}}
    (problem,) = problems([pod])
    assert (problem.lasting, problem.text) == (True, "container main: CrashLoopBackOff: exit status 2")
    assert not list(problems([pod | {"metadata": {"name": "p", "deletionTimestamp": "2030-01-01T00:00:00Z"}}]))


def test_findings_go_on_where_a_pod_does_not_answer(cluster: Kubernetes) -> None:
    run_pod(cluster, "a", "xcache", "cache", {"name": "credentials", "args": ["--status=/s"]})
    run_pod(cluster, "b", "cvmfs", "client", {"name": "client", "args": []})

    def broken(_pod: str, _container: str, _command: list[str]) -> str:
        raise ConnectionResetError

    cluster.commands = broken
    assert {each.state for each in (*told(cluster, "credential"), *told(cluster, "cvmfs"))} == {State.NOT_READY}
