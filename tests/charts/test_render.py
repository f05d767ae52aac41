"""Every chart with every set of values, on the oldest and the newest cluster, by both versions of Helm."""

from collections.abc import Iterator

import pytest

from tests.charts.cases import Case, case, cases, of_chart
from tests.charts.checks import problems
from tests.charts.checks.exceptions import EXCEPTIONS
from tests.charts.checks.names import named
from tests.charts.checks.ports import addresses, services
from tests.charts.checks.release import Release
from tests.charts.checks.secrets import TOKEN, holds_token
from tests.charts.checks.security import broken_by, broken_by_pod
from tests.charts.checks.volumes import checksums
from tests.charts.kube import faults, faults_of_the_oldest
from tests.charts.objects import Json, Pods, name_of, pods, strings
from tests.charts.rendering import KUBES, RELEASE, UMBRELLA, charts, linted, render

each_case = pytest.mark.parametrize("given", cases(), ids=str)
everywhere = pytest.mark.parametrize(
    "given,kube", [(given, kube) for given in cases() for kube in given.kubes], ids=str
)
each_chart = pytest.mark.parametrize("chart", charts())


def test_every_chart_has_its_cases() -> None:
    lacking = [str(case(chart, name)) for chart in charts() for name in ("minimal", "full")]
    names = list(map(str, cases()))
    assert not set(lacking) - set(names)
    assert len(names) == len(set(names)), "of the same name"


@each_case
def test_lint_is_content(given: Case) -> None:
    assert linted(given.chart, given.values, given.kubes[0], helm=3) == ""
    assert linted(given.chart, given.values, given.kubes[-1], helm=4) == ""


@each_case
def test_both_helms_render_the_same(given: Case) -> None:
    """Nothing else is drawn by lot or read off the clock either."""
    # where what they know by themselves differs most
    kube = given.kubes[0] if given.file.stem == "full" else given.kubes[-1]
    assert _by_name(given.render(kube, helm=3)) == _by_name(given.render(kube, helm=4))


def _by_name(objects: list[Json]) -> dict[str, Json]:
    return {name_of(item): item for item in objects}


@everywhere
def test_a_cluster_takes_every_object(given: Case, kube: str) -> None:
    minor = kube.rpartition(".")[0]
    for item in given.render(kube):
        assert (faults_of_the_oldest(item) if kube == KUBES[0] else faults(item, minor)) == []


@everywhere
def test_the_objects_find_each_other_and_are_shut_in(given: Case, kube: str) -> None:
    """Names of Secrets, and of other things that are there already, are values; never are they a template's own."""
    assert problems(given.render(kube), set(strings(given.all_values))) == []


@pytest.mark.parametrize("minor", ["1.25", "1.29"])
def test_clusters_between_take_a_whole_site(minor: str) -> None:
    """The oldest with schemas, and the first with native sidecars."""
    given = case(UMBRELLA, "full")
    objects = given.render(f"{minor}.0")
    assert [fault for item in objects for fault in faults(item, minor)] == []
    assert problems(objects, set(strings(given.all_values))) == []


def test_every_exception_is_needed() -> None:
    broken = {
        (one.name, name, rule) for given in cases() for one in pods(given.render()) for name, rule in _broken(one)
    }
    assert sorted(set(EXCEPTIONS) - broken) == []


def _broken(one: Pods) -> Iterator[tuple[str, str]]:
    yield from (("", rule) for rule in broken_by_pod(one))
    for container in one.containers():
        yield from ((container["name"], rule) for rule in broken_by(one, container))
        if holds_token(one, container):
            yield container["name"], TOKEN


def test_the_parts_of_a_site_find_each_other() -> None:
    """Each address that begins with a part's name is one of its Services', with that port."""
    release = Release.of(case(UMBRELLA, "full").render(), ())
    said = {(host, port) for _, host, port in addresses(release) if host.partition("-")[0] in charts()}
    assert said
    assert sorted(said - set(services(release))) == []


@each_chart
def test_a_checksum_is_of_what_is_mounted(chart: str) -> None:
    """Pods with other ConfigMaps have another checksum."""
    seen: dict[tuple[str, str], dict[str, Json]] = {}
    for given in of_chart(chart):
        objects = given.render()
        data = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "ConfigMap"}
        for one in (one for one in pods(objects) if checksums(one)):
            mounted = {name: data[name] for kind, name in named(one) if kind == "ConfigMap" and name in data}
            assert seen.setdefault((one.at, str(checksums(one))), mounted) == mounted


@each_chart
def test_a_release_may_have_a_long_name(chart: str) -> None:
    values, name = case(chart, "full").values, "a" * 53
    values.pop("fullnameOverride", None)
    assert problems(render(chart, values, release=name), set(strings(case(chart, "full").all_values))) == []


@pytest.mark.parametrize("chart", [name for name in charts() if name != UMBRELLA])  # a namespace has one site
def test_two_releases_share_nothing(chart: str) -> None:
    """Nor do they in two namespaces: what is the cluster's own has the namespace in its name."""
    values = case(chart, "full").values
    values.pop("fullnameOverride", None)
    first, second = (set(_by_name(render(chart, values, release=name))) for name in (RELEASE, "other"))
    assert sorted(first & second) == []
    elsewhere = _by_name(render(chart, values, namespace="elsewhere"))
    assert [name for name in first & set(elsewhere) if "namespace" not in elsewhere[name]["metadata"]] == []
