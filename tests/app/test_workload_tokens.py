"""Which of a cluster's tokens are taken, where two clusters share an issuer's name."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from tests.app.workloads import OTHERS, OURS, OWN_TYPE, Farm, closed_in, farm
from tests.identity.kit import compact
from tests.tools.serviceaccounts import ISSUER, ServiceAccounts
from ttscache.sandbox.site import AUDIENCE

KUBERNETES = "kubernetes.io"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(tmp_path_factory.mktemp("farm")) as running, closed_in(running):
        yield running


def saying(site: Farm, claims: dict[str, Any]) -> str:
    """Return a token of the pod wn-0's with these claims, whose names Python does not take."""
    return site.token(**claims)


def binding(site: Farm) -> dict[str, object]:
    """Return what the pod wn-0's tokens say of it."""
    told = jwt.decode(site.token(), options={"verify_signature": False})[KUBERNETES]
    assert isinstance(told, dict)
    return told


def without(site: Farm, part: str) -> dict[str, object]:
    return {name: value for name, value in binding(site).items() if name != part}


def by_the_other(site: Farm, **how: object) -> str:
    """Return a token of the same pod's name, signed by the other cluster."""
    return site.opportunistic.token("cms-site", "wn", pod="wn-0", **({"audiences": [OURS]} | how))  # type: ignore[arg-type] # of any kind


def with_its_key_s_name(site: Farm) -> str:
    """Return a token that the other cluster has signed under the name of this one's key."""
    claims = jwt.decode(site.token(), options={"verify_signature": False})
    header = {"alg": "RS256", "kid": site.tier3._keys[0].kid}
    return compact(header, json.dumps(claims).encode(), site.opportunistic._keys[0])


def legacy(site: Farm) -> str:
    """Return a token as clusters put it into Secrets: bound to nothing, and for ever."""
    flat = {
        "iss": "kubernetes/serviceaccount",
        f"{KUBERNETES}/serviceaccount/namespace": "cms-site",
        f"{KUBERNETES}/serviceaccount/service-account.name": "wn",
    }
    left = dict.fromkeys(("aud", "exp", "iat", "nbf", KUBERNETES), ...)
    return saying(site, left | flat)


CASES: dict[str, tuple[str, Callable[[Farm], str]]] = {
    "unbound": ("token_malformed", lambda site: site.token(pod=None)),
    "bound to a node": (
        "token_malformed",
        lambda site: saying(site, {KUBERNETES: {**without(site, "pod"), "node": {"name": "n", "uid": "u"}}}),
    ),
    "bound to a secret": (
        "token_malformed",
        lambda site: saying(site, {KUBERNETES: {**without(site, "pod"), "secret": {"name": "n", "uid": "u"}}}),
    ),
    "no word of Kubernetes": ("token_malformed", lambda site: saying(site, {KUBERNETES: ...})),
    "another's subject": ("token_malformed", lambda site: site.token(sub="system:serviceaccount:cms-site:any")),
    "a person's subject": ("token_malformed", lambda site: site.token(sub="jane")),
    "without end": ("token_malformed", lambda site: site.token(exp=...)),
    "expired": ("token_expired", lambda site: site.token(age=3600, lifetime=3500)),
    "expired within the cluster's leeway": ("token_expired", lambda site: site.token(exp=int(time.time()) - 45)),
    "of tomorrow": ("token_not_yet_valid", lambda site: site.token(nbf=int(time.time()) + 86400)),
    "for the API server": ("audience_mismatch", lambda site: site.token(audiences=[])),
    "for nobody": ("audience_mismatch", lambda site: site.token(aud=...)),
    "for nobody, empty": ("audience_mismatch", lambda site: site.token(aud=[])),
    "for another service": ("audience_mismatch", lambda site: site.token(audiences=["https://vault.example"])),
    "for us, nearly": ("audience_mismatch", lambda site: site.token(audiences=[f"{OURS}/"])),
    "for people's tokens' audience": (
        "audience_mismatch",
        lambda site: site.token(audiences=[AUDIENCE]),
    ),
    "for the other cluster's pods": ("token_signature", lambda site: site.token(audiences=[OTHERS])),
    "by the other cluster": ("token_signature", by_the_other),
    "by the other cluster for both": (
        "token_signature",
        lambda site: by_the_other(site, audiences=[OURS, OTHERS]),
    ),
    "by the other cluster, under this one's key's name": ("token_signature", with_its_key_s_name),
    "by a cluster of nobody's": (
        "token_signature",
        lambda _: ServiceAccounts().token("cms-site", "wn", pod="wn-0", audiences=[OURS]),
    ),
    "another issuer by a slash": ("issuer_unknown", lambda site: site.token(iss=f"{ISSUER}/")),
    "another issuer by case": ("issuer_unknown", lambda site: site.token(iss=ISSUER.replace("default", "Default"))),
    "another issuer by scheme": ("issuer_unknown", lambda site: site.token(iss=ISSUER.replace("https", "http"))),
    "the API server's URL": ("issuer_unknown", lambda site: site.token(iss=site.tier3.url)),
    "of old": ("issuer_unknown", legacy),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(site: Farm, case: str) -> None:
    code, make = CASES[case]
    token = site.noted(make(site))
    answer = site.proxy(token)
    assert (answer.status, answer.code) == (401, code), answer.body
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="ttscache", error="invalid_token"'
    told = site.exchanged(token, f"{OWN_TYPE}x509-proxy")
    assert (told.status, told.json["error"], told.code) == (400, "invalid_request", code)
    for answer in (
        site.daemon.web.post("/v1/proxy", {}, token),
        site.daemon.web.get("/v1/whoami", token),
        site.daemon.web.get("/admin/v1/sessions", token),
    ):
        assert (answer.status, answer.code) == (401, code)


def test_taken(site: Farm) -> None:
    """What is near to them, and good."""
    for token in (
        site.token(),
        site.token(aud=OURS),
        site.token(audiences=["https://vault.example", OURS]),
        site.token(audiences=[OURS, OTHERS]),
        saying(site, {"jti": "b1", KUBERNETES: {**binding(site), "node": {"name": "n", "uid": "u"}}}),
        site.token(exp=int(time.time()) - 5),  # clocks differ
        site.noted(by_the_other(site, audiences=[OTHERS])),
    ):
        assert site.proxy(token).status == 200


def test_people_s_tokens_are_not_the_cluster_s(site: Farm) -> None:
    assert site.refused(site.noted(site.iam.token(audience=OURS))) == (401, "audience_mismatch")
    crafted = site.iam.crafted(claims={KUBERNETES: binding(site), "sub": "system:serviceaccount:cms-site:wn"})
    told = site.whoami(site.noted(crafted))
    assert (told["pod"], told["session"]) == (None, None)


def test_bad_tokens_cause_no_storm_at_the_cluster(site: Farm) -> None:
    keys = "/openid/v1/jwks"
    site.served(site.token())
    before = site.tier3.seen[keys]
    for _ in range(30):
        assert site.refused(site.noted(by_the_other(site))) == (401, "token_signature")
    assert site.tier3.seen[keys] <= before + 1
