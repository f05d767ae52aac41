"""`ttscache site` from end to end: the real Helm, our charts, an API server on loopback."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from k8s_manifests import applying, inventory
from k8s_manifests.initial import communities
from tests.charts.rendering import CHARTS, program
from tests.tools.daemons import Outcome, here
from tests.tools.kubernetes import Kubernetes, failure
from tests.tools.programs import environment
from ttscache.config.load import load
from ttscache.errors import ConfigurationError

Site = Callable[..., Outcome]

NEEDED = {
    "iam-client": ("client_secret",),
    "pool-idtoken": ("token",),
    "ttscache-tls": ("tls.crt", "tls.key", "ca.crt"),
    "xrootd-host": ("tls.crt", "tls.key"),
}
INIT = ("--name", "T3_IT_Opportunistic", "--community", "cms", "--client-id", "t3-it")
ORIGINS = ("--origin", "root://origin.example:1094", "--origin", "https://other.example:8443")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setattr(applying, "_POLL_SECONDS", 0.01)
    with Kubernetes(tmp_path) as serving:
        yield serving


@pytest.fixture
def site(cluster: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    env = environment(KUBECONFIG=cluster.kubeconfig, HELM=program("helm", 3), TTSCACHE_CHARTS=CHARTS, HOME=tmp_path)

    def run(*arguments: str) -> Outcome:
        return here("site", *arguments, env=env)

    return run


@pytest.fixture
def initialised(site: Site, cluster: Kubernetes) -> Site:
    assert site("init", *INIT, *ORIGINS).status == 0
    for name, keys in NEEDED.items():
        cluster.secret("stateless-site", name, *keys)
    return site


def test_the_four_commands_of_the_tutorial(initialised: Site, cluster: Kubernetes) -> None:
    planned = initialised("plan")
    assert (planned.status, planned.err) == (0, "")
    assert re.fullmatch(
        r"\d+ to create, 0 to change, 0 to run again, 0 to delete, [01] as they are", planned.text.splitlines()[-1]
    )
    assert "Deployment" not in str(cluster.objects), "a plan changes nothing"

    applied = initialised("apply")
    assert (applied.status, applied.err) == (0, "")
    assert "applied Deployment stateless-site/ttscache" in applied.text
    redis, workers = "StatefulSet stateless-site/ttscache-redis", "Deployment stateless-site/wn-startd"
    assert applied.text.index(redis) < applied.text.index(workers)

    again = initialised("apply")
    assert again.text.splitlines()[1:] == ["nothing to change"]
    assert " 0 to create, 0 to change" in " " + initialised("plan").text.splitlines()[-1]

    status = initialised("status")
    assert (status.status, status.err) == (0, ""), status.text
    assert "deployment/ttscache: 2/2 ready" in status.text
    assert initialised("status", "--output", "json").json["state"] == "ok"


def test_a_change_of_the_file_is_the_plans_and_nothing_else(initialised: Site, cluster: Kubernetes) -> None:
    initialised("apply")
    path = Path("site.yaml")
    path.write_text(path.read_text().replace("squid: {count: 2}", "squid: {count: 3}"))
    lines = initialised("plan").text.splitlines()
    assert lines[1:3] == ["~ StatefulSet stateless-site/squid", "    spec.replicas: 2 -> 3"]
    cluster.applied.clear()
    assert initialised("apply").status == 0
    assert cluster.applied == ["StatefulSet/squid"]


def test_a_cache_that_is_taken_out_goes(initialised: Site, cluster: Kubernetes) -> None:
    initialised("apply")
    path = Path("site.yaml")
    kept = [line for line in path.read_text().splitlines() if "other.example" not in line]
    path.write_text("\n".join(kept))
    assert initialised("apply").status == 0
    names = {name for _, _, name in cluster.objects}
    assert any(name.startswith("xcache-redirector") for name in names)
    assert not any(name.startswith("xcache-2") for name in names)


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_a_missing_secret_is_told_before_anything_is_applied(
    missing: str, initialised: Site, cluster: Kubernetes
) -> None:
    del cluster.objects["Secret", "stateless-site", missing]
    outcome = initialised("apply")
    assert outcome.status == 3
    assert f"secret_missing: there is no Secret stateless-site/{missing}" in outcome.err
    assert not cluster.applied


def test_broken_off_it_says_how_far_it_was_and_goes_on(initialised: Site, cluster: Kubernetes) -> None:
    cluster.fault = lambda method, kind, name: (
        failure(500, "InternalError", 'failed calling webhook "v.example.org": context deadline exceeded')
        if (method, kind, name) == ("PATCH", "StatefulSet", "squid")
        else None
    )
    outcome = initialised("apply")
    done = len(cluster.applied) - cluster.applied.count(f"ConfigMap/{inventory.NAME}")
    assert outcome.status == 4
    assert outcome.text.count("\napplied ") == done
    broken, told = outcome.err.splitlines()
    assert broken == f"broken off after {done} changes; run it again to go on"
    assert told.startswith("ttscache: webhook_failed: StatefulSet stateless-site/squid is refused: ")
    cluster.fault = lambda _method, _kind, _name: None
    assert "applied StatefulSet stateless-site/squid" in initialised("apply").text


def test_destroy_asks_and_deletes_what_was_applied(
    initialised: Site, cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised("apply")
    count = len(cluster.objects)
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    refused = initialised("destroy")
    assert refused.status == 2
    assert "nothing was deleted" in refused.err
    assert len(cluster.objects) == count
    assert initialised("destroy", "--yes").status == 0
    assert {kind for kind, _, _ in cluster.objects} <= {"Namespace", "Secret", "PersistentVolumeClaim"}
    assert initialised("status").status == 4


def test_no_secret_is_in_what_is_rendered_planned_or_applied(initialised: Site, cluster: Kubernetes) -> None:
    outputs = [initialised(command) for command in ("plan", "apply", "status")]
    initialised("render", "-o", "out")
    text = "".join(outcome.text + outcome.err for outcome in outputs) + Path("out/default/site.yaml").read_text()
    assert "cGxhbnRlZC1zZWNyZXQ" not in text
    assert "planted-secret" not in text
    assert "\nkind: Secret\n" not in text


@pytest.mark.parametrize("community", communities())
def test_the_daemons_configuration_of_each_community_is_good(community: str, site: Site, tmp_path: Path) -> None:
    site("init", "--name", "T3_IT_Opportunistic", "--community", community, "--client-id", "x", *ORIGINS)
    assert (done := site("render", "-o", "out")).status == 0, done.err
    objects = list(yaml.safe_load_all(Path("out/default/site.yaml").read_text()))
    (text,) = [item["data"]["ttscache.yaml"] for item in objects if "ttscache.yaml" in (item.get("data") or {})]
    (tmp_path / "ttscache.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "ttscache.yaml")
    # the files are in the pod
    rest = [line for line in caught.value.mistakes if not re.search(r"cannot be read|is not a file of CA", line)]
    assert not rest


def test_several_clusters_are_one_site(cluster: Kubernetes, initialised: Site) -> None:
    path = Path("site.yaml")
    clusters = [{"name": "a", "context": "here"}, {"name": "b", "context": "here", "namespace": "other"}]
    path.write_text(path.read_text() + yaml.safe_dump({"clusters": clusters}))
    for name, keys in NEEDED.items():
        cluster.secret("other", name, *keys)
    assert initialised("apply", "--cluster", "b").status == 0
    assert initialised("status", "--cluster", "a").status == 4
    assert initialised("apply").status == 0
    startds = [item for (kind, _, name), item in cluster.objects.items() if (kind, name) == ("ConfigMap", "wn-startd")]
    names = {re.search(r"GLIDEIN_Site\W+(\w+)", str(item["data"])).group(1) for item in startds}  # type: ignore[union-attr]
    assert (len(startds), names) == (2, {"T3_IT_Opportunistic"})
    unknown = initialised("plan", "--cluster", "c")
    assert (unknown.status, "it has: a, b" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (("plan", "absent.yaml"), 2, "site init"),
        (("init", *INIT), 2, "is there already"),
        (("plan", "--helm", "/nonexistent/helm"), 2, "helm_missing"),
        (("plan", "--charts", "/nonexistent"), 2, "charts_missing"),
        (("apply", "--wait", "soon"), 2, "30s, 10m"),
        (("plan", "--cluster", "nowhere"), 2, "it has: default"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    arguments: tuple[str, ...], status: int, words: str, initialised: Site
) -> None:
    outcome = initialised(*arguments)
    assert outcome.status == status
    assert words in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_what_helm_refuses_is_told_in_one_line(initialised: Site) -> None:
    path = Path("site.yaml")
    path.write_text(path.read_text() + "values: {squid: {nonsense: 1}}\n")
    outcome = initialised("plan")
    assert outcome.status == 2
    assert "nonsense" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_the_schema_tells_each_key(site: Site) -> None:
    schema = site("schema").json
    assert "workers" in schema["properties"]
    undescribed = [name for name, part in schema["properties"].items() if not ({"description", "$ref"} & set(part))]
    assert not undescribed
