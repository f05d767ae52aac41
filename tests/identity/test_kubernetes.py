"""What the tokens of a cluster say of the pod that presents them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.kit import NOW, OURS
from tests.tools.serviceaccounts import ISSUER, ServiceAccounts
from ttscache.errors import TokenMalformedError
from ttscache.identity.kubernetes import pod_of
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import identity_of
from ttscache.model import Pod

UID = "0b5c2f6e-3b1e-4f43-9a53-a3f2b3d5c0aa"
SUBJECT = "system:serviceaccount:cms-site:wn"
BINDING: Mapping[str, Any] = {
    "namespace": "cms-site",
    "pod": {"name": "wn-0", "uid": UID},
    "serviceaccount": {"name": "wn", "uid": "e6f2a7a1-6f0c-4a1e-8a4b-0d4e2a1f7c55"},
}
MISSING = object()


def claims(sub: object = SUBJECT, binding: object = BINDING) -> dict[str, Any]:
    return {"sub": sub, "kubernetes.io": binding, "aud": [OURS], "exp": NOW + 3600}


def changed(part: str, **fields: object) -> dict[str, Any]:
    """Return the binding with other fields in one of its parts, or without them."""
    whole = dict(BINDING[part]) | fields
    return {**BINDING, part: {name: value for name, value in whole.items() if value is not MISSING}}


def settings(profile: TokenProfile) -> IssuerSettings:
    none: frozenset[str] = frozenset()
    return IssuerSettings("tier3", ISSUER, ISSUER, none, none, profile, 0.0)


def refused(told: Mapping[str, Any]) -> str:
    with pytest.raises(TokenMalformedError) as raised:
        pod_of("tier3", told)
    assert raised.value.message.isprintable()
    return raised.value.message


def test_the_pod() -> None:
    assert pod_of("tier3", claims()) == Pod("tier3", "cms-site", "wn", "wn-0", UID)


def test_as_a_cluster_makes_them() -> None:
    token = ServiceAccounts().token("cms-site", "wn", pod="wn-0", audiences=[OURS])
    told = jwt.decode(token, options={"verify_signature": False})
    pod = pod_of("tier3", told)
    assert (pod.namespace, pod.service_account, pod.name) == ("cms-site", "wn", "wn-0")
    assert pod.uid == told["kubernetes.io"]["pod"]["uid"]


def test_what_newer_clusters_say_besides() -> None:
    more = {**BINDING, "node": {"name": "node-1", "uid": UID}, "warnafter": 1}
    assert pod_of("tier3", claims(binding=more) | {"jti": UID}) == pod_of("tier3", claims())


@pytest.mark.parametrize(
    "binding",
    [
        None,
        [],
        "cms-site",
        {},
        {name: part for name, part in BINDING.items() if name != "pod"},
        {name: part for name, part in BINDING.items() if name != "serviceaccount"},
        {name: part for name, part in BINDING.items() if name != "namespace"},
        {**BINDING, "pod": None},
        {**BINDING, "pod": "wn-0"},
        {**BINDING, "pod": [BINDING["pod"]]},
        {**BINDING, "namespace": ["cms-site"]},
        {**{name: part for name, part in BINDING.items() if name != "pod"}, "secret": {"name": "x", "uid": UID}},
        {**{name: part for name, part in BINDING.items() if name != "pod"}, "node": {"name": "x", "uid": UID}},
        changed("pod", name=MISSING),
        changed("pod", uid=MISSING),
        changed("pod", name=""),
        changed("pod", uid=""),
        changed("pod", uid=5),
        changed("serviceaccount", name=MISSING),
        changed("serviceaccount", name=True),
    ],
    ids=str,
)
def test_who_is_bound_to_no_pod(binding: object) -> None:
    assert refused(claims(binding=binding)) == (
        "the token is bound to no pod; mount a projected service account token with this daemon's audience"
    )


def test_the_tokens_of_old_which_are_bound_to_nothing() -> None:
    flat = {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "cms-site",
        "kubernetes.io/serviceaccount/secret.name": "wn-token-x7k2p",
        "kubernetes.io/serviceaccount/service-account.name": "wn",
        "kubernetes.io/serviceaccount/service-account.uid": UID,
        "sub": SUBJECT,
    }
    assert "bound to no pod" in refused(flat)


@pytest.mark.parametrize(
    "name",
    [
        "Wn",
        "wn_0",
        "-wn",
        "wn-",
        ".wn",
        "wn:0",
        "cms-site/wn",
        "wn\n",
        "wn\r\nX: y",
        "wn 0",
        "w\u0144",
        "\u202ewn",
        "w" * 254,
    ],
)
def test_names_that_no_cluster_gives(name: str) -> None:
    assert name not in refused(claims(binding=changed("pod", name=name)))
    refused(claims(binding=changed("pod", uid=name)))
    refused(claims(f"system:serviceaccount:cms-site:{name}", changed("serviceaccount", name=name)))
    refused(claims(f"system:serviceaccount:{name}:wn", {**BINDING, "namespace": name}))


@pytest.mark.parametrize("name", ["w", "0", "wn.farm-1.example", "w" * 253])
def test_names_that_clusters_give(name: str) -> None:
    assert pod_of("tier3", claims(binding=changed("pod", name=name))).name == name


@pytest.mark.parametrize(
    "sub",
    [
        None,
        "",
        "jane",
        ["system:serviceaccount:cms-site:wn"],
        "system:serviceaccount:cms-site:payload",
        "system:serviceaccount:kube-system:wn",
        "system:serviceaccount:cms-site:wn:",
        "system:serviceaccount:cms-site:wn ",
        "System:serviceaccount:cms-site:wn",
        "system:node:cms-site:wn",
    ],
)
def test_a_subject_that_is_another(sub: object) -> None:
    assert refused(claims(sub)) == "the token's 'sub' is not the service account that its other claims name"


def test_only_of_clusters() -> None:
    """Another issuer may say what it likes: it has no pods."""
    for profile in TokenProfile:
        identity = identity_of("digest", claims(), settings(profile))
        assert (identity.pod is not None) == (profile is TokenProfile.KUBERNETES)
        assert (identity.session, identity.profiles) == (None, None)
    pod = identity_of("digest", claims(), settings(TokenProfile.KUBERNETES))
    assert (pod.pod_name, pod.subject) == ("cms-site/wn-0", SUBJECT)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
objects = st.fixed_dictionaries({}, optional={"name": values | st.just("wn"), "uid": values | st.just(UID)})
bindings = st.fixed_dictionaries(
    {},
    optional={
        "namespace": values | st.just("cms-site"),
        "pod": values | objects,
        "serviceaccount": values | objects,
    },
)


@given(sub=values | st.just(SUBJECT), binding=values | bindings)
def test_any_claims_are_a_pod_s_or_malformed(sub: object, binding: object) -> None:
    try:
        pod = pod_of("tier3", claims(sub, binding))
    except TokenMalformedError:
        return
    assert sub == f"system:serviceaccount:{pod.namespace}:{pod.service_account}"
    assert all(text.isascii() and text.isprintable() for text in (pod.namespace, pod.name, pod.uid))
