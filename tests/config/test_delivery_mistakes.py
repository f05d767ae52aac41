"""Mistakes in what hands out more than proxies, or to others than tokens' bearers: each one clear line, with its place.

Access token profiles, clusters and their workloads, and the listener for old clients.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.test_mistakes import mistakes, put
from ttscache.config.load import load
from ttscache.config.settings import AccessTokenProfile, LegacySettings, WorkloadRule
from ttscache.identity.settings import TokenProfile
from ttscache.sandbox.site import AUDIENCE, Site

Write = Callable[[object], Path]
Document = dict[str, Any]

XCACHE = "https://xcache.example"
IN_CLUSTER = "https://kubernetes.default.svc"
CLUSTER = {
    "name": "cluster",
    "url": "https://10.96.0.1",
    "token_issuer": IN_CLUSTER,
    "audiences": [AUDIENCE],
    "token_profile": "kubernetes",
    "api": {"token": {"file": "cluster.token"}},
}
PILOTS = {"issuer": "cluster", "namespace": "cms-site", "service_account": "wn", "session": "pilot"}
LEGACY = {"listen": "0.0.0.0:8080", "networks": ["10.244.0.0/16"], "session": "pilot", "profile": "pilot"}
EXCHANGE = {"client_id": "x", "client_secret": {"file": "client-secret"}}
# the key is not there at all
GONE = ...


@pytest.fixture
def delivering(document: Document) -> Document:
    """Return a configuration that has all of it, and is good."""
    document["issuers"].append(deepcopy(CLUSTER))
    document["sessions"] = [{"name": "pilot", "issuer": "sandbox", "client_credentials": True}]
    document["workloads"] = [{**PILOTS, "profiles": ["pilot", "storage"]}]
    document["profiles"]["storage"] = {"type": "access-token", "audiences": [XCACHE, "https://storage.example"]}
    document["legacy"] = {**LEGACY, "networks": ["10.244.0.0/16", "fd00:10:244::/56"]}
    return document


def change(document: Any, path: str, value: object) -> None:  # noqa: ANN401 - YAML
    put(document, path, deepcopy(value))
    if value is GONE:
        *above, last = path.split(".")
        for part in above:
            document = document[int(part) if part.isdigit() else part]
        del document[last]


def steps(place: str) -> Iterator[str | int]:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        yield name or int(index)


def line_of(path: Path, place: str) -> int:
    """Return the line on which a place begins, or the nearest one above it that is there."""
    node: Any = yaml.compose(path.read_text())
    line = 0
    for step in steps(place):
        if isinstance(node, yaml.SequenceNode):
            node = node.value[step]
            line = node.start_mark.line
        else:
            found = [(key, value) for key, value in node.value if key.value == step]
            if not found:
                break
            ((key, node),) = found
            line = key.start_mark.line
    return int(line) + 1


def told_once(path: Path, place: str, *words: str) -> None:
    """Hold that there is one mistake, and that it names the place, its line, and what is wrong."""
    (told,) = mistakes(path)
    assert told.startswith(f"{path}:{line_of(path, place)}: {place}: "), told
    assert all(word in told for word in words), told
    assert len(told) < 400 + len(str(path))


def test_what_is_good(write: Write, delivering: Document) -> None:
    settings = load(write(delivering))
    assert settings.profiles["storage"] == AccessTokenProfile(
        "storage", 3600, 60, 21600, outlive_token=False, audiences=(XCACHE, "https://storage.example")
    )
    assert settings.workloads == (WorkloadRule("cluster", "cms-site", "wn", "pilot", ("pilot", "storage")),)
    networks = tuple(ip_network(each) for each in ("10.244.0.0/16", "fd00:10:244::/56"))
    assert settings.legacy == LegacySettings("0.0.0.0", 8080, networks, "pilot", "pilot", plaintext=False)  # noqa: S104
    cluster = settings.issuers[1]
    assert (cluster.identity.token_profile, cluster.identity.token_issuer) == (TokenProfile.KUBERNETES, IN_CLUSTER)
    assert cluster.api is not None
    assert (cluster.api.token, cluster.api.review) == (write(delivering).parent / "cluster.token", False)


def test_what_may_be_left_out(write: Write, delivering: Document) -> None:
    for path in ("issuers.1.api", "workloads.0.profiles"):
        change(delivering, path, GONE)
    delivering["profiles"]["storage"]["audiences"] *= 2
    settings = load(write(delivering))
    assert (settings.issuers[1].api, settings.workloads[0].profiles) == (None, None)
    storage = settings.profiles["storage"]
    assert isinstance(storage, AccessTokenProfile)
    assert storage.audiences == (XCACHE, "https://storage.example")
    for section in ("workloads", "legacy"):
        del delivering[section]
    settings = load(write(delivering))
    assert (settings.workloads, settings.legacy) == ((), None)


@pytest.mark.parametrize(
    "path, value, place, words",
    [
        ("profiles.storage.type", "access_token", "profiles.storage.type", ["access-token"]),
        ("profiles.storage.audiences", GONE, "profiles.storage", ["the key 'audiences' is missing"]),
        ("profiles.storage.audiences", [], "profiles.storage.audiences", ["must not be empty"]),
        ("profiles.storage.audiences", XCACHE, "profiles.storage.audiences", ["list"]),
        ("profiles.storage.audiences.1", "", "profiles.storage.audiences[1]", ["must match"]),
        ("profiles.storage.audiences.1", "a b", "profiles.storage.audiences[1]", ["must match"]),
        ("profiles.storage.audiences.1", "https://\u00e9", "profiles.storage.audiences[1]", ["must match"]),
        ("profiles.storage.audiences.1", "x" * 256, "profiles.storage.audiences[1]", ["must match"]),
        ("profiles.storage.audiences.1", 5, "profiles.storage.audiences[1]", ["text"]),
        ("profiles.storage.audiences", ["a"] * 101, "profiles.storage.audiences", ["100"]),
        ("profiles.storage.audiences.1", AUDIENCE, "profiles.storage.audiences", [AUDIENCE, "this daemon's own"]),
        ("profiles.storage.limited", True, "profiles.storage.limited", ["unknown key"]),
        ("profiles.storage.outlive_token", True, "profiles.storage.outlive_token", ["unknown key"]),
        ("profiles.storage.audience", XCACHE, "profiles.storage.audience", ["did you mean 'audiences'?"]),
        ("profiles.storage.scopes", ["storage.read:/"], "profiles.storage.scopes", ["unknown key"]),
        ("profiles.storage.lifetime", "24h", "profiles.storage", ["min_lifetime <= lifetime <= max_lifetime"]),
        ("profiles.storage.lifetime", "30s", "profiles.storage", ["min_lifetime <= lifetime <= max_lifetime"]),
        ("profiles.storage.min_lifetime", "0s", "profiles.storage.min_lifetime", ["at least 1s"]),
        ("profiles.storage.max_lifetime", "soon", "profiles.storage.max_lifetime", ["30s, 10m, 24h, 7d"]),
    ],
)
def test_access_token_profiles(
    write: Write, delivering: Document, path: str, value: object, place: str, words: list[str]
) -> None:
    change(delivering, path, value)
    told_once(write(delivering), place, *words)


@pytest.mark.parametrize(
    "path, value, place, words",
    [
        ("issuers.0.token_profile", "k8s", "issuers[0].token_profile", ["kubernetes"]),
        ("issuers.1.exchange", EXCHANGE, "issuers[1].exchange", ["clusters exchange no tokens", "`workloads`"]),
        ("issuers.1.url", "http://10.96.0.1", "issuers[1].url", ["https"]),
        ("issuers.1.audiences", GONE, "issuers[1]", ["the key 'audiences' is missing"]),
        ("issuers.1.api", {}, "issuers[1].api", ["the key 'token' is missing"]),
        ("issuers.1.api.token", "eyJ", "issuers[1].api.token", ["mapping"]),
        ("issuers.1.api.token.env", "TOKEN", "issuers[1].api.token.env", ["known here: file"]),
        ("issuers.1.api.review", "yes", "issuers[1].api.review", ["true or false"]),
        ("issuers.1.api.reveiw", True, "issuers[1].api.reveiw", ["did you mean 'review'?"]),
        ("issuers.0.api", CLUSTER["api"], "issuers[0].api", ["token_profile kubernetes only"]),
        ("issuers.0.token_issuer", IN_CLUSTER, "issuers[1].audiences", [AUDIENCE, "nothing would tell them apart"]),
        ("mapping.0.when.issuer", "cluster", "mapping[0].when.issuer", ["'cluster' is a cluster", "`workloads`"]),
        ("sessions.0.issuer", "cluster", "sessions[0].issuer", ["no issuer 'cluster' with `exchange`"]),
    ],
)
def test_clusters(write: Write, delivering: Document, path: str, value: object, place: str, words: list[str]) -> None:
    change(delivering, path, value)
    told_once(write(delivering), place, *words)


def test_a_cluster_s_tokens_must_be_for_us(write: Write, delivering: Document) -> None:
    """What is listed for tokens without an audience is no audience of a pod's."""
    from ttscache.identity.settings import NO_AUDIENCE  # noqa: PLC0415 - its value is what is tried

    delivering["issuers"][1]["audiences"].append(NO_AUDIENCE)
    told_once(write(delivering), "issuers[1].audiences", "must have this daemon's audience")


@pytest.mark.parametrize(
    "path, value, place, words",
    [
        ("workloads", {}, "workloads", ["list"]),
        ("workloads.0", "pilot", "workloads[0]", []),
        ("workloads.0.issuer", "clsuter", "workloads[0].issuer", ["no issuer 'clsuter' of token_profile kubernetes"]),
        ("workloads.0.issuer", "sandbox", "workloads[0].issuer", ["no issuer 'sandbox' of token_profile kubernetes"]),
        ("workloads.0.session", "pliot", "workloads[0].session", ["there is no session 'pliot' under `sessions`"]),
        ("workloads.0.profiles.1", "stroage", "workloads[0].profiles", ["there is no profile 'stroage'"]),
        ("workloads.0.profiles", [], "workloads[0].profiles", ["must not be empty"]),
        ("workloads.0.namespace", "CMS", "workloads[0].namespace", ["must match"]),
        ("workloads.0.namespace", "*", "workloads[0].namespace", ["must match"]),
        ("workloads.0.namespace", "x" * 64, "workloads[0].namespace", ["must match"]),
        ("workloads.0.service_account", "system:serviceaccount:x:y", "workloads[0].service_account", ["must match"]),
        ("workloads.0.service_account", 5, "workloads[0].service_account", ["text"]),
        ("workloads.0.service_acount", "wn", "workloads[0].service_acount", ["did you mean 'service_account'?"]),
        *((f"workloads.0.{name}", GONE, "workloads[0]", [f"the key '{name}' is missing"]) for name in PILOTS),
    ],
)
def test_workloads(write: Write, delivering: Document, path: str, value: object, place: str, words: list[str]) -> None:
    change(delivering, path, value)
    told_once(write(delivering), place, *words)


def test_a_service_account_has_one_rule(write: Write, delivering: Document) -> None:
    others = [{**PILOTS, "namespace": "other"}, {**PILOTS, "service_account": "other"}, {**PILOTS, "profiles": "pilot"}]
    delivering["workloads"] += others
    told_once(write(delivering), "workloads[3]", "there is a rule for this service account already")


@pytest.mark.parametrize(
    "path, value, place, words",
    [
        ("legacy", [], "legacy", []),
        ("legacy.listen", "8080", "legacy.listen", ["HOST:PORT"]),
        ("legacy.listen", "0.0.0.0:65536", "legacy.listen", ["HOST:PORT"]),
        ("legacy.listen", "unix:/run/legacy.sock", "legacy.listen", ["HOST:PORT", "addresses"]),
        ("legacy.networks", [], "legacy.networks", ["must not be empty"]),
        ("legacy.networks", "10.244.0.0/16", "legacy.networks", ["list"]),
        ("legacy.networks.1", "10.244.0.1/16", "legacy.networks[1]", ["10.244.0.0/16", "host bits"]),
        ("legacy.networks.1", "pods", "legacy.networks[1]", ["is no network such as"]),
        ("legacy.networks.1", "10.244.0.0/33", "legacy.networks[1]", ["is no network such as"]),
        ("legacy.networks.1", "0.0.0.0/0", "legacy.networks[1]", ["names everybody"]),
        ("legacy.networks.1", "::/0", "legacy.networks[1]", ["names everybody"]),
        ("legacy.networks.1", 10, "legacy.networks[1]", ["text"]),
        ("legacy.session", "pliot", "legacy.session", ["there is no session 'pliot' under `sessions`"]),
        ("legacy.profile", "pliot", "legacy.profile", ["there is no profile 'pliot' of type x509-proxy"]),
        ("legacy.profile", "condor", "legacy.profile", ["there is no profile 'condor' of type x509-proxy"]),
        ("legacy.profile", "storage", "legacy.profile", ["there is no profile 'storage' of type x509-proxy"]),
        ("legacy.plaintext", "yes", "legacy.plaintext", ["true or false"]),
        ("legacy.plain", True, "legacy.plain", ["did you mean 'plaintext'?"]),
        *((f"legacy.{name}", GONE, "legacy", [f"the key '{name}' is missing"]) for name in LEGACY),
    ],
)
def test_the_listener_for_old_clients(
    write: Write, delivering: Document, path: str, value: object, place: str, words: list[str]
) -> None:
    change(delivering, path, value)
    told_once(write(delivering), place, *words)


def test_keys_in_the_clear_must_be_meant(write: Write, delivering: Document) -> None:
    del delivering["server"]["tls"]
    told_once(write(delivering), "legacy", "in the clear", "`plaintext: true`")
    for listen, plaintext in (("0.0.0.0:8080", True), ("127.0.0.1:8080", False), ("[::1]:8080", False)):
        delivering["legacy"] |= {"listen": listen, "plaintext": plaintext}
        assert load(write(delivering)).legacy is not None


@pytest.mark.parametrize(
    "path, value, place",
    [
        ("profiles.pilot.limited", "yes", "profiles.pilot.limited"),
        ("profiles.pilot.lifetime", "48h", "profiles.pilot"),
        ("profiles.storage.audiences", [], "profiles.storage.audiences"),
        ("sessions.0.issuer", 5, "sessions[0].issuer"),
        ("issuers.1.url", 5, "issuers[1].url"),
        ("issuers.0.url", 5, "issuers[0].url"),
        ("server.tls", 5, "server.tls"),
    ],
)
def test_what_refers_to_a_part_with_a_mistake_is_no_further_one(
    write: Write, delivering: Document, path: str, value: object, place: str
) -> None:
    change(delivering, path, value)
    told_once(write(delivering), place)


def test_all_at_once_in_their_order(write: Write, delivering: Document, site: Site) -> None:
    wrong = {
        "issuers.1.exchange": EXCHANGE,
        "mapping.1.when.issuer": "cluster",
        "profiles.storage.audiences.0": AUDIENCE,
        "workloads.0.session": "nobody",
        "legacy.networks.0": "0.0.0.0/0",
        "legacy.profile": "storage",
    }
    for place, value in wrong.items():
        change(delivering, place, value)
    path = write(delivering)
    told = mistakes(path)
    assert len(told) == len(wrong)
    numbers = [int(mistake.removeprefix(f"{path}:").partition(":")[0]) for mistake in told]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(wrong)
