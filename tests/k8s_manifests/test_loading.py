"""Site files: what is filled in, and what is said of each mistake."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k8s_manifests.errors import ExitStatus, SiteFileError
from k8s_manifests.initial import communities, site_file
from k8s_manifests.loading import load, parse
from tests.k8s_manifests.sites import PATH, SITE, site

KEYS = [*yaml.safe_load(SITE), "clusters", "storage", "cvmfs", "tls", "count", "secret", "own", "origin", "context"]


def mistakes(text: str) -> list[str]:
    with pytest.raises(SiteFileError) as caught:
        parse(text.encode(), PATH)
    assert caught.value.exit_status is ExitStatus.USAGE
    return [line.removeprefix(f"{PATH}:") for line in caught.value.mistakes]


def test_what_is_not_said_is_the_communitys_or_has_a_default() -> None:
    settings = site().clusters[0].settings
    assert settings["issuer"]["url"] == "https://cms-auth.cern.ch/"
    assert "cms.cern.ch" in settings["cvmfs"]["repositories"]
    assert (settings["workers"]["cores"], settings["workers"]["memory"]) == (4, "16Gi")
    assert settings["caches"][0]["exports"] == ["/store"]


def test_what_is_said_goes_before_the_community() -> None:
    settings = site(cvmfs={"repositories": ["a.example"]}, issuer={"url": "https://iam.example/"}).clusters[0].settings
    assert settings["cvmfs"]["repositories"] == ["a.example"]
    assert settings["issuer"]["token_issuer"] == "https://iam.example/"


def test_clusters_say_what_differs_and_have_the_sites_values_otherwise() -> None:
    clusters = [{"name": "a", "context": "a", "workers": {"count": 7}}, {"name": "b", "kubeconfig": "b.conf"}]
    first, second = site(clusters=clusters).clusters
    assert (first.settings["workers"]["count"], first.settings["workers"]["cores"]) == (7, 4)
    assert (second.settings["workers"]["count"], second.kubeconfig) == (2, PATH.parent / "b.conf")


@pytest.mark.parametrize(
    "text, line, words",
    [
        (SITE + "worker: {}\n", 12, "did you mean 'workers'?"),
        (SITE.replace("count: 2, cores", "count: two, cores"), 9, "must be a whole number"),
        (SITE.replace("community: cms", "community: atlas"), 3, "must be one of ams, cms, fermi, virgo"),
        (SITE.replace("  client_id: t3-it\n", ""), 4, "the key 'client_id' is missing"),
        (SITE.replace("T3_IT_Opportunistic", "mysite"), 2, "T3_IT_Opportunistic"),
        (SITE.replace("  idtoken: {secret: pool-idtoken, key: token}\n", "  collectors: []\n"), 8, "own: true"),
        (SITE.replace("root://origin.example:1094", "origin.example"), 11, "must match"),
        (SITE + "autoscaling: keda\n", 12, "monitoring.prometheus"),
        (SITE + "autoscaling: hpa\n", 9, ""),
        (SITE + "clusters: [{name: a, context: x}, {name: a, context: y}]\n", 12, "another cluster has this name"),
        (SITE + "clusters: [{name: a}, {name: b, context: y}]\n", 12, "`context` or `kubeconfig`"),
        (SITE.replace("origin.example:1094", "origin.example:99999"), 11, "port"),
        (SITE.replace("count: 2}", "credential: token}"), 11, "audience"),
        (SITE.replace('1094", count', '1094", name: site, count'), 11, "taken"),
        (SITE.replace("t3-it", "t3-it\n  fqans: [nonsense]"), 6, "nonsense"),
        (SITE + "storage: {expose: NodePort}\n", 12, "'size' is missing"),
        (SITE + "images: {squid: 'x//y:1'}\n", 12, "must match"),
        (SITE + "tls: {issuer: letsencrypt}\n", 12, "cert_manager: true"),
        (SITE + '  - {origin: "root://b.example"}\n', 12, "taken"),
        (SITE.replace("t3-it", "t3-it\n  dn: /CN=a*"), 6, "misread"),
        (SITE.replace("t3-it", "t3-it\n  dn: /XX=a"), 6, "XX"),
        (SITE + "name: T2_XX_Other\n", 12, "twice"),
        (SITE + "values: {squidd: {}}\n", 12, "did you mean 'squid'?"),
        ("name: [\n", 2, "not YAML"),
    ],
)
def test_each_mistake_has_its_line_and_a_hint(text: str, line: int, words: str) -> None:
    if not words:
        parse(text.replace("workers: {count: 2", "workers: {count: 1").encode(), PATH)
        words, text = "less than", text.replace("workers: {count: 2", "workers: {count: 99")
    found = mistakes(text)
    assert any(each.startswith(f"{line}: ") and words in each for each in found), found


def test_all_mistakes_are_told_at_once() -> None:
    text = SITE.replace("count: 2, cores: 4", "count: -1, core: 4").replace("t3-it", "t3 it") + "squids: {}\n"
    assert sorted(line.split(":")[0] for line in mistakes(text)) == ["12", "5", "9", "9"]


def test_a_file_that_is_not_there_says_how_one_is_made(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="site init"):
        load(tmp_path / "site.yaml")


@given(st.text(max_size=200))
def test_whatever_the_text_it_is_a_mistake_with_a_place(text: str) -> None:
    assert all(line for line in mistakes(text))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_the_parts_nothing_but_mistakes_comes_out(value: object) -> None:
    document = {**yaml.safe_load(SITE), **value} if isinstance(value, dict) else value
    told: tuple[str, ...] = ()
    try:
        parse(yaml.safe_dump(document).encode(), PATH)
    except SiteFileError as error:
        told = error.mistakes
    assert all(line.startswith(str(PATH)) for line in told)


@pytest.mark.parametrize("community", communities())
@pytest.mark.parametrize("origins", [(), ("root://a.example:1094", "https://b.example:443")])
@pytest.mark.parametrize("contexts", [(), ("admin@cluster", "weird: {name}")])
def test_the_first_site_file_is_a_good_one(
    community: str, origins: tuple[str, ...], contexts: tuple[str, ...], tmp_path: Path
) -> None:
    text = site_file(
        name="T3_XX_New", community=community, client_id="a-b", origins=origins, workers=3, contexts=contexts
    )
    made = parse(text.encode(), tmp_path / "site.yaml")
    assert [cache["origin"] for cache in made.clusters[0].settings["caches"]] == list(origins)
    assert [cluster.context for cluster in made.clusters] == [*(contexts or (None,))]
