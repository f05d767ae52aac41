"""The checks can fail: small faults in objects that are good are each told of."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.charts.cases import case
from tests.charts.checks import problems
from tests.charts.flows import flows, half_open
from tests.charts.kube import faults, faults_of_the_oldest
from tests.charts.objects import Json, Pods, of_kind, pods, strings

_CHARTS = ("ttscache", "squid", "wn")
_DAEMON, _SQUID, _STARTD = "ttscache/daemon", "squid/squid", "wn/startd"


class Site(list[Json]):
    """The objects of some charts, side by side."""

    def one(self, kind: str, name: str) -> Any:  # noqa: ANN401 - JSON
        (found,) = (item for item in of_kind(self, kind) if item["metadata"]["name"] == f"site-{name}")
        return found

    def spec(self, kind: str, name: str) -> Any:  # noqa: ANN401 - JSON
        return self.one(kind, name)["spec"]

    def pod(self, name: str) -> Pods:
        (found,) = (one for one in pods(self) if one.name == name)
        return found

    def container(self, pod: str) -> Any:  # noqa: ANN401 - JSON
        return self.pod(pod).spec["containers"][0]

    def without(self, kind: str, name: str) -> None:
        self.remove(self.one(kind, name))


@pytest.fixture
def site() -> Site:
    return Site(item for chart in _CHARTS for item in case(chart, "full").render())


@pytest.fixture
def known() -> set[str]:
    return {text for chart in _CHARTS for text in strings(case(chart, "full").all_values)}


def test_as_it_is_nothing_is_wrong(site: Site, known: set[str]) -> None:
    assert problems(site, known) == []


# what is done to the objects, and the words by which it is told
_FAULTS: list[tuple[Callable[[Site], object], str]] = [
    # names
    (lambda s: s.append(deepcopy(s.one("Service", "squid"))), "Service site-squid: there are two"),
    (lambda s: s.one("Service", "squid")["metadata"].update(name="Squid_1"), "not a name"),
    (lambda s: s.one("StatefulSet", "squid")["metadata"].update(name="s" * 53), "not a name"),
    (lambda s: s.one("Service", "squid")["metadata"]["labels"].update(a="b" * 64), "label a"),
    (lambda s: s.one("Service", "squid")["metadata"]["labels"].pop("app.kubernetes.io/part-of"), "no label app.kub"),
    (lambda s: s.one("Service", "squid")["metadata"].pop("namespace"), "no namespace"),
    (lambda s: s.without("ConfigMap", "squid"), "no ConfigMap site-squid"),
    (lambda s: _volume(s, _DAEMON)["configMap"].update(items=[{"key": "x", "path": "x"}]), "site-ttscache has no x"),
    (lambda s: s.without("ServiceAccount", "squid"), "no ServiceAccount site-squid"),
    (lambda s: s.pod(_SQUID).spec.update(serviceAccountName="site-ttscache"), "of two components"),
    (lambda s: s.pod(_SQUID).spec.pop("serviceAccountName"), "no ServiceAccount default"),
    (lambda s: s.without("Service", "squid"), "no Service site-squid"),
    (lambda s: s.without("Job", "ttscache-keys"), "no Secret site-ttscache-keys"),
    (lambda s: s.without("RoleBinding", "ttscache-keys"), "Role site-ttscache-keys: bound to nobody"),
    (lambda s: s.without("Role", "ttscache-keys"), "there is no Role site-ttscache-keys"),
    # selectors
    (
        lambda s: s.spec("Service", "squid")["selector"].pop("app.kubernetes.io/component"),
        "Service site-squid: selects",
    ),
    (lambda s: s.spec("Service", "squid")["selector"].clear(), "Service site-squid: selects"),
    (lambda s: s.spec("Service", "squid")["selector"].update(a="b"), "Service site-squid: selects nothing"),
    (lambda s: _match(s.spec("PodDisruptionBudget", "squid"), name="wn"), "Budget site-squid: selects nothing"),
    (lambda s: _match(s.spec("PodMonitor", "squid"), component="test"), "site-squid-test"),
    (lambda s: s.pod(_SQUID).labels.update({"app.kubernetes.io/component": "x"}), "does not select its own pods"),
    (lambda s: s.pod(_SQUID).labels.update({"helm.sh/chart": "squid-0.1.0"}), "helm.sh/chart in a template"),
    (lambda s: _match(s.spec("StatefulSet", "squid"), version="6"), "version in a selector"),
    # ports
    (lambda s: s.spec("Service", "squid")["ports"][0].update(targetPort="web"), "listens on web"),
    (lambda s: s.container(_SQUID)["ports"][0].update(name="web"), "Service site-squid: nothing in"),
    (lambda s: s.spec("PodMonitor", "squid")["podMetricsEndpoints"][0].update(port="web"), "has no port web"),
    (lambda s: s.container(_DAEMON)["livenessProbe"]["httpGet"].update(port="web"), "no port web, which its liveness"),
    (lambda s: s.container(_SQUID)["ports"][0].pop("protocol"), "has no protocol"),
    (lambda s: s.container(_SQUID)["ports"][0].pop("name"), "has no name"),
    (lambda s: s.container(_SQUID)["ports"][0].update(name="a-name-of-16-ch."), "RFC 6335"),
    (lambda s: s.container(_DAEMON)["ports"][1].update(containerPort=8443), "two ports with containerPort 8443"),
    (lambda s: s.one("ConfigMap", "squid")["data"].update(x="http://site-ttscache:8444/"), "has no port 8444"),
    (lambda s: s.container(_SQUID).update(args=["https://site-ttscache.grid.svc/"]), "has no port 443"),
    # policies
    (lambda s: s.without("NetworkPolicy", "squid"), "StatefulSet site-squid: no policy for Egress"),
    (lambda s: s.spec("NetworkPolicy", "squid")["policyTypes"].remove("Egress"), "no policy for Egress"),
    (lambda s: _port(s, "squid", "ingress").update(port=3129), "nothing in StatefulSet site-squid listens"),
    (lambda s: _port(s, "ttscache-test", "egress", 1).update(port=8444), "to port 8444"),
    (lambda s: _port(s, "squid", "ingress").pop("protocol"), "has no protocol"),
    # volumes
    (lambda s: s.pod(_SQUID).spec["volumes"].pop(0), "which is mounted"),
    (lambda s: s.container(_DAEMON)["volumeMounts"].pop(0), "is mounted nowhere"),
    (lambda s: s.container(_DAEMON)["volumeMounts"][0].update(mountPath="/run/ttscache"), "mounts /run/ttscache twice"),
    (lambda s: s.pod(_DAEMON).annotations.clear(), "no checksum of site-ttscache"),
    (lambda s: s.container(_SQUID).update(env=[{"name": "A", "value": "1"}] * 2), "has A twice"),
    # scaling
    (lambda s: s.spec("HorizontalPodAutoscaler", "ttscache")["scaleTargetRef"].update(name="x"), "no Deployment x"),
    (lambda s: s.spec("Deployment", "ttscache").update(replicas=2), "has `replicas`"),
    # secrets
    (lambda s: s.append({**deepcopy(s.one("ConfigMap", "squid")), "kind": "Secret"}), "a Secret is never a chart's"),
    (lambda s: s.one("ConfigMap", "squid")["data"].update(k="-----BEGIN EC PRIVATE KEY-----"), "looks like a secret"),
    (lambda s: s.container(_SQUID).update(args=["eyJhbGciOiJFUzI1NiJ9.e30."]), "looks like a secret"),
    (lambda s: s.container(_SQUID).update(args=["--password=abc"]), "looks like a secret"),
    (lambda s: s.container(_SQUID).update(env=[_of_secret("A")]), "has A of a Secret in its environment"),
    (lambda s: s.container(_SQUID).update(envFrom=[{"secretRef": {"name": "pull"}}]), "has pull of a Secret"),
    (lambda s: s.container(_STARTD)["volumeMounts"].append({"name": "ttscache-token", "mountPath": "/t"}), "a token"),
    (lambda s: _mount(s, _STARTD, "credentials").pop("readOnly"), "can write the sidecar's files"),
    # security
    (lambda s: s.pod(_SQUID).spec.pop("automountServiceAccountToken"), "the cluster's token is mounted"),
    (lambda s: s.pod(_SQUID).spec.update(hostNetwork=True), "namespaces are shared"),
    (lambda s: s.pod(_SQUID).spec["volumes"][0].update(hostPath={"path": "/"}), "host path"),
    (lambda s: s.pod(_SQUID).spec["securityContext"].pop("seccompProfile"), "no seccomp profile"),
    (lambda s: s.pod(_SQUID).spec["securityContext"].pop("runAsNonRoot"), "squid: root"),
    (lambda s: s.container(_SQUID)["securityContext"].update(runAsUser=0), "squid: root"),
    (lambda s: s.container(_SQUID)["securityContext"].update(privileged=True), "squid: privileged"),
    (lambda s: s.container(_SQUID)["securityContext"].pop("allowPrivilegeEscalation"), "privilege escalation"),
    (lambda s: s.container(_SQUID)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "capabilities added"),
    (lambda s: s.container(_SQUID)["securityContext"].pop("capabilities"), "capabilities kept"),
    (lambda s: s.container(_SQUID)["securityContext"].pop("readOnlyRootFilesystem"), "writable root file system"),
    (lambda s: s.container(_SQUID)["ports"][0].update(hostPort=3128), "host port"),
    (lambda s: s.container(_SQUID)["resources"].pop("limits"), "no limit of memory"),
    (lambda s: s.container(_SQUID)["resources"].pop("requests"), "no requests"),
    (lambda s: s.container(_SQUID).update(image="registry.example:5000/squid"), "image registry"),
    (lambda s: s.container(_SQUID).update(image="squid:latest"), "image squid:latest"),
    (lambda s: s.one("Role", "ttscache-keys")["rules"][0].update(verbs=["*"]), "a right to everything"),
    (lambda s: s.one("ServiceAccount", "squid").pop("automountServiceAccountToken"), "into pods that do not ask"),
]


@pytest.mark.parametrize("break_it,told", _FAULTS, ids=[told for _, told in _FAULTS])
def test_a_fault_is_told(site: Site, known: set[str], break_it: Callable[[Site], object], told: str) -> None:
    break_it(site)
    assert [line for line in problems(site, known) if told in line]


_ANYBODY = {"ipBlock": {"cidr": "0.0.0.0/0"}}
_WIDER: list[Callable[[Site], object]] = [
    lambda s: s.without("NetworkPolicy", "ttscache-redis"),
    lambda s: s.spec("NetworkPolicy", "squid")["policyTypes"].remove("Ingress"),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"].append({}),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][1].pop("ports"),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][1]["ports"].clear(),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][0].pop("from"),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][0]["from"].clear(),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][0]["from"].append({"podSelector": {}}),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][0]["from"].append({"namespaceSelector": {}}),
    lambda s: s.spec("NetworkPolicy", "squid")["ingress"][0]["from"].append(_ANYBODY),
    lambda s: s.spec("NetworkPolicy", "squid")["egress"][1]["to"].append(_ANYBODY),
    lambda s: s.spec("NetworkPolicy", "squid")["egress"][1]["ports"][0].update(endPort=90),
    lambda s: s.spec("NetworkPolicy", "squid")["egress"][0]["ports"].append({"port": 853, "protocol": "TCP"}),
    lambda s: s.spec("NetworkPolicy", "squid")["podSelector"]["matchLabels"].update(x="y"),
]


@pytest.mark.parametrize("widen", _WIDER)
def test_a_wider_policy_is_another_set_of_flows(site: Site, widen: Callable[[Site], object]) -> None:
    before = flows(site) | half_open(site)
    widen(site)
    assert (flows(site) | half_open(site)) - before


def test_the_schemas_see_what_is_misspelt(site: Site) -> None:
    site.spec("StatefulSet", "squid")["serviceNames"] = "x"
    site.spec("PodMonitor", "squid")["podMetricsEndpoint"] = []
    for kind in ("StatefulSet", "PodMonitor"):
        assert faults(site.one(kind, "squid"), "1.33")


def test_the_lists_see_what_is_too_new_for_the_oldest(site: Site) -> None:
    assert faults_of_the_oldest(site.one("PodDisruptionBudget", "squid"))
    assert faults_of_the_oldest(site.one("HorizontalPodAutoscaler", "ttscache"))
    assert faults_of_the_oldest(site.one("Deployment", "wn-startd"))
    _port(site, "squid", "egress", 1)["endPort"] = 90
    assert faults_of_the_oldest(site.one("NetworkPolicy", "squid"))


def _match(spec: Json, **labels: str) -> None:
    spec["selector"]["matchLabels"].update({f"app.kubernetes.io/{key}": value for key, value in labels.items()})


def _port(site: Site, policy: str, way: str, rule: int = 0) -> Any:  # noqa: ANN401 - JSON
    return site.spec("NetworkPolicy", policy)[way][rule]["ports"][0]


def _volume(site: Site, pod: str) -> Any:  # noqa: ANN401 - JSON
    return site.pod(pod).spec["volumes"][0]


def _mount(site: Site, pod: str, volume: str) -> Any:  # noqa: ANN401 - JSON
    return next(mount for mount in site.container(pod)["volumeMounts"] if mount["name"] == volume)


def _of_secret(name: str) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "pull", "key": "k"}}}
