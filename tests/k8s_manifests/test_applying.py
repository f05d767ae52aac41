"""Applying to a cluster: order, what is left alone, what breaks it off, and that it goes on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from k8s_manifests import applying as room
from k8s_manifests import destroying, inventory
from k8s_manifests.applying import Applying
from k8s_manifests.cluster import Api
from k8s_manifests.errors import ClusterRefusedError, ClusterUnavailableError, ExitStatus, SiteError, ToolError
from k8s_manifests.objects import Object, in_order, key_of
from k8s_manifests.plan import Act
from tests.k8s_manifests.sites import site as of_site
from tests.k8s_manifests.workloads import NAMESPACE, config, deployment, job, of, site
from tests.tools.kubernetes import Kubernetes, failure

(CLUSTER,) = of_site(namespace=NAMESPACE).clusters
SITE = CLUSTER.settings["name"]
# an inventory and a namespace are applied besides the objects
OWN = {"Namespace/site", f"ConfigMap/{inventory.NAME}"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setattr(room, "_POLL_SECONDS", 0.01)
    with Kubernetes(tmp_path) as serving:
        yield serving


@pytest.fixture
def api(cluster: Kubernetes) -> Iterator[Api]:
    with Api(cluster.kubeconfig, None) as opened:
        yield opened


def applying(api: Api, objects: Sequence[Object], wait: float = 5) -> Applying:
    return Applying(api, CLUSTER, objects, lambda _: None, wait)


def acts(api: Api, objects: Sequence[Object]) -> list[tuple[Act, str]]:
    return [(step.act, step.key.name) for step in applying(api, objects).plan() if step.act is not Act.KEEP]


def test_a_new_site_is_created_whole_and_in_order(cluster: Kubernetes, api: Api) -> None:
    assert {act for act, _ in acts(api, site())} == {Act.CREATE}
    assert not cluster.objects, "a plan changes nothing"
    assert applying(api, site()).run()
    applied = [each for each in cluster.applied if each not in OWN]
    assert applied == [f"{item['kind']}/{item['metadata']['name']}" for item in site()]


def test_the_second_apply_changes_nothing(cluster: Kubernetes, api: Api) -> None:
    applying(api, site()).run()
    before = {key: item["metadata"].get("resourceVersion") for key, item in cluster.objects.items()}
    cluster.applied.clear()
    assert not applying(api, site()).run()
    assert acts(api, site()) == []
    assert not cluster.applied
    assert before == {key: item["metadata"].get("resourceVersion") for key, item in cluster.objects.items()}


def test_what_others_set_stays_and_what_they_changed_of_ours_is_set_back(cluster: Kubernetes, api: Api) -> None:
    applying(api, site()).run()
    cluster.named("Deployment", "wn")["spec"]["paused"] = False
    cluster.named("Deployment", "wn")["metadata"]["annotations"] = {"kubectl": "restarted"}
    assert acts(api, site()) == []
    cluster.named("Deployment", "wn")["spec"]["replicas"] = 9
    (step,) = [step for step in applying(api, site()).plan() if step.act is not Act.KEEP]
    assert [(each.path, each.before, each.after) for each in step.differences] == [("spec.replicas", "9", "1")]


def test_what_the_site_has_no_more_is_deleted_last(cluster: Kubernetes, api: Api) -> None:
    applying(api, site()).run()
    smaller = [item for item in site() if item["metadata"]["name"] != "squid"]
    assert acts(api, smaller) == [(Act.DELETE, "squid"), (Act.DELETE, "squid")]
    applying(api, smaller).run()
    assert ("Deployment", NAMESPACE, "squid") not in cluster.objects
    assert acts(api, smaller) == []


def test_volumes_outlive_the_site_unless_they_are_asked_for(cluster: Kubernetes, api: Api) -> None:
    claim = of("PersistentVolumeClaim", "data", "v1", spec={"accessModes": ["ReadWriteOnce"]})
    applying(api, [claim, *site()]).run()
    assert acts(api, site()) == []
    cluster.secret(NAMESPACE, "made", "key")
    labels = {"app.kubernetes.io/part-of": "stateless-site"}
    cluster.objects["Secret", NAMESPACE, "made"]["metadata"]["labels"] = labels
    cluster.secret(NAMESPACE, "the-users-own", "key")
    destroying.destroy(api, NAMESPACE, destroying.doomed(api, NAMESPACE, SITE, data=False), lambda _: None)
    kinds = {(kind, name) for kind, _, name in cluster.objects}
    assert kinds == {
        ("Namespace", NAMESPACE),
        ("PersistentVolumeClaim", "data"),
        ("Secret", "made"),
        ("Secret", "the-users-own"),
    }
    applying(api, [claim, *site()]).run()
    destroying.destroy(api, NAMESPACE, destroying.doomed(api, NAMESPACE, SITE, data=True), lambda _: None)
    kinds = {(kind, name) for kind, _, name in cluster.objects}
    assert kinds == {("Namespace", NAMESPACE), ("Secret", "the-users-own")}


def test_a_job_that_has_run_runs_again_when_its_template_changes(cluster: Kubernetes, api: Api) -> None:
    applying(api, [job("keys")]).run()
    (step,) = [step for step in applying(api, [job("keys", image="2")]).plan() if step.act is not Act.KEEP]
    assert step.act is Act.REPLACE
    first = cluster.named("Job", "keys")["metadata"]["uid"]
    applying(api, [job("keys", image="2")]).run()
    assert cluster.named("Job", "keys")["metadata"]["uid"] != first
    assert acts(api, [job("keys", image="2")]) == []


@pytest.mark.parametrize("broken_at", range(6))
def test_broken_off_anywhere_the_next_one_goes_on(broken_at: int, cluster: Kubernetes, api: Api) -> None:
    victim = site()[broken_at]

    def refuse(method: str, kind: str, name: str) -> web.Response | None:
        if method == "PATCH" and (kind, name) == (victim["kind"], victim["metadata"]["name"]):
            return failure(503, "ServiceUnavailable", "apiserver is shutting down")
        return None

    cluster.fault = refuse
    first = applying(api, site())
    with pytest.raises(ClusterUnavailableError, match="shutting down"):
        first.run()
    assert [key.name for key in first.done if key.kind != "Namespace"] == [
        item["metadata"]["name"] for item in site()[:broken_at]
    ]
    assert victim["metadata"]["name"] in [key.name for key in inventory.read(api, NAMESPACE, SITE)]
    cluster.fault = lambda _method, _kind, _name: None
    second = applying(api, site())
    second.run()
    assert [key.name for key in second.done] == [item["metadata"]["name"] for item in site()[broken_at:]]
    assert acts(api, site()) == []


def test_a_missing_secret_is_told_before_anything_is_applied(cluster: Kubernetes, api: Api) -> None:
    cluster.secret(NAMESPACE, "there", "other")
    objects = [*site(), deployment("x", secret="absent"), deployment("y", secret="there")]
    with pytest.raises(ClusterRefusedError) as caught:
        applying(api, objects).run()
    assert caught.value.code == "secret_missing"
    assert "no Secret site/absent (keys key); Deployment site/x needs it" in str(caught.value)
    assert "the Secret site/there has no key key; Deployment site/y needs it" in str(caught.value)
    assert not cluster.applied


REFUSALS = [
    (403, "Forbidden", 'deployments is forbidden: User "u"', "cluster_forbidden", ExitStatus.REFUSED),
    (401, "Unauthorized", "Unauthorized", "cluster_unauthorized", ExitStatus.REFUSED),
    (422, "Invalid", "spec.replicas: Invalid value", "object_invalid", ExitStatus.REFUSED),
    (500, "InternalError", "failed to create typed patch object", "object_invalid", ExitStatus.REFUSED),
    (429, "TooManyRequests", "too many requests", "cluster_unavailable", ExitStatus.UNAVAILABLE),
    (500, "InternalError", "etcdserver: request timed out", "cluster_unavailable", ExitStatus.UNAVAILABLE),
    (
        500,
        "InternalError",
        'Internal error occurred: failed calling webhook "v.example": context deadline exceeded',
        "webhook_failed",
        ExitStatus.UNAVAILABLE,
    ),
]


@pytest.mark.parametrize("status, reason, message, code, exit_status", REFUSALS)
def test_what_the_cluster_says_no_with_is_told(
    status: int, reason: str, message: str, code: str, exit_status: ExitStatus, cluster: Kubernetes, api: Api
) -> None:
    cluster.fault = lambda method, kind, _name: (
        failure(status, reason, message) if (method, kind) == ("PATCH", "Deployment") else None
    )
    with pytest.raises(SiteError) as caught:
        applying(api, site()).run()
    assert (caught.value.code, caught.value.exit_status) == (code, exit_status)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "of-the-kubeconfig" not in str(caught.value)


def test_a_cluster_that_does_not_listen_is_told_in_one_line(cluster: Kubernetes) -> None:
    cluster.stop()
    with Api(cluster.kubeconfig, None) as api, pytest.raises(ClusterUnavailableError, match="refused") as caught:
        api.target()
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "kind: Config\nclusters: []\n", "[1]", "current-context: nowhere\n"])
def test_a_kubeconfig_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(ToolError, match="kubeconfig"):
        Api(tmp_path / "kubeconfig", "here")


def test_a_kind_that_the_cluster_has_not_is_told(api: Api) -> None:
    with pytest.raises(ClusterRefusedError, match=r"has no PodMonitor of monitoring.coreos.com/v1"):
        applying(api, [*site(), of("PodMonitor", "x", "monitoring.coreos.com/v1")]).run()


def pod(name: str, waiting: dict[str, Any], image: str = "registry.example/main:1") -> dict[str, Any]:
    state = {
        "name": "main",
        "image": image,
        "state": {"waiting": waiting},
        "restartCount": 0,
    }
    spec = {"containers": [{"name": "main", "image": image}]}
    status = {"phase": "Pending", "containerStatuses": [state]}
    return {"metadata": {"labels": {"app": name}}, "spec": spec, "status": status}


def test_an_image_that_does_not_exist_is_told_at_once(cluster: Kubernetes, api: Api) -> None:
    cluster.stuck.add("squid")
    cluster.put("v1", "Pod", NAMESPACE, "squid-1", **pod("squid", {"reason": "ImagePullBackOff", "message": "no such"}))
    with pytest.raises(ClusterRefusedError, match=r"squid-1: the image registry.example/main:1 cannot be pulled"):
        applying(api, site(), wait=60).run()
    assert "Deployment/wn" not in cluster.applied, "what comes after it waits"


def test_what_ailed_a_pod_of_before_is_not_told_of_its_successor(cluster: Kubernetes, api: Api) -> None:
    cluster.stuck.add("squid")
    waiting = {"reason": "ImagePullBackOff", "message": "no such"}
    cluster.put("v1", "Pod", NAMESPACE, "squid-1", **pod("squid", waiting, "registry.example/of-before:0"))
    with pytest.raises(ClusterUnavailableError, match="not ready after"):
        applying(api, site(), wait=0.1).run()


def test_where_an_autoscaler_takes_over_nobody_is_sent_home(cluster: Kubernetes, api: Api) -> None:
    applying(api, [deployment("wn", "wn", replicas=40)]).run()
    scaled = deployment("wn", "wn")
    del scaled["spec"]["replicas"]
    applying(api, [scaled]).run()
    assert cluster.named("Deployment", "wn")["spec"]["replicas"] == 40
    assert acts(api, [scaled]) == []


def test_another_sites_namespace_is_left_alone(api: Api) -> None:
    applying(api, site()).run()
    (other,) = of_site(name="T3_XX_Other", namespace=NAMESPACE).clusters
    with pytest.raises(ClusterRefusedError, match="has the site T3_IT_Opportunistic, and not T3_XX_Other"):
        Applying(api, other, site(), lambda _: None, 5).run()
    with pytest.raises(ClusterRefusedError, match="has the site"):
        destroying.doomed(api, NAMESPACE, "T3_XX_Other", data=True)


def test_a_secret_that_is_mounted_whole_must_have_the_keys_that_the_site_file_names(
    cluster: Kubernetes, api: Api
) -> None:
    whole = deployment("daemon", secret="iam-client")
    del whole["spec"]["template"]["spec"]["volumes"][0]["secret"]["items"]
    cluster.secret(NAMESPACE, "iam-client", "another")
    assert applying(api, [whole]).missing() == [
        "the Secret site/iam-client has no key client_secret; Deployment site/daemon needs it"
    ]


def test_what_is_not_ready_in_time_is_told(cluster: Kubernetes, api: Api) -> None:
    cluster.stuck.add("squid")
    with pytest.raises(ClusterUnavailableError, match=r"Deployment site/squid is not ready after 0 s"):
        applying(api, site(), wait=0.1).run()


def test_a_job_that_fails_is_told(cluster: Kubernetes, api: Api) -> None:
    cluster.stuck.add("keys")
    conditions = [{"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]
    cluster.put("batch/v1", "Job", NAMESPACE, "keys", spec=job("keys")["spec"], status={"conditions": conditions})
    cluster.put("v1", "Namespace", "", NAMESPACE)
    with pytest.raises(ClusterRefusedError, match="backoff limit"):
        applying(api, site()).run()
    assert cluster.applied == [f"ConfigMap/{inventory.NAME}", "Job/keys"]


MORE: list[Object] = [config("z"), job("b"), of("Service", "s", "v1"), of("Role", "r", "rbac/v1")]


@given(st.permutations([*site(), *MORE]))
def test_the_order_depends_on_the_objects_alone(objects: Sequence[Object]) -> None:
    ordered = in_order(objects)
    assert ordered == in_order(objects[::-1])
    names = [key_of(item).name for item in ordered]
    assert names.index("keys") < names.index("daemon") < names.index("wn")
    kinds = [item["kind"] for item in ordered]
    assert kinds.index("Service") < kinds.index("Deployment")
