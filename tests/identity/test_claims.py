"""Where each token profile keeps what rules ask for."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.iam_client import config
from ttscache.errors import TokenMalformedError
from ttscache.identity import claims as readers
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import identity_of
from ttscache.sandbox.iam import EmbeddedIam

URN = "urn:geant:sandbox.example"


@pytest.mark.parametrize(
    "profile, claims, groups",
    [
        ("wlcg", {"wlcg.groups": ["/cms/production", "/cms"], "groups": ["not", "these"]}, ("/cms/production", "/cms")),
        ("wlcg", {"wlcg.groups": "/cms"}, ("/cms",)),
        ("wlcg", {"groups": ["cms"]}, ()),
        ("iam", {"groups": ["cms", "cms/production"], "wlcg.groups": ["/x"]}, ("/cms", "/cms/production")),
        ("oidc", {"groups": ["/cms", "users"]}, ("/cms", "/users")),
        ("oidc", {"groups": None}, ()),
        ("oidc", {"groups": []}, ()),
        ("aarc", {"entitlements": [f"{URN}:group:cms"]}, ("/cms",)),
        ("aarc", {"eduperson_entitlement": f"{URN}:group:cms:production#sandbox.example"}, ("/cms/production",)),
        ("aarc", {"eduperson_entitlement": [f"{URN}:group:cms:role=manager#x"]}, ("/cms",)),
        ("aarc", {"entitlements": [f"{URN}:group:a"], "eduperson_entitlement": [f"{URN}:group:a"]}, ("/a",)),
        ("aarc", {"entitlements": [f"{URN}:res:disk", "x", "urn:group:a", "http://x:group:a"]}, ()),
        ("aarc", {"entitlements": [f"{URN}:group:", f"{URN}:group:#a", f"{URN}#:group:a"]}, ()),
        ("aarc", {"entitlements": [f"{URN}:group:cms/production"]}, ()),  # no subgroup of cms
        ("aarc", {"groups": ["cms"]}, ()),
    ],
)
def test_groups(profile: str, claims: dict[str, Any], groups: tuple[str, ...]) -> None:
    assert readers.groups(TokenProfile(profile), claims) == groups


@pytest.mark.parametrize("profile", ["wlcg", "iam", "aarc"])
async def test_what_the_embedded_iam_issues(profile: str) -> None:
    iam = EmbeddedIam(config())
    await iam.start()
    token = iam.token_for("jane", scope=f"openid {profile} wlcg.groups compute.read")
    await iam.stop()
    claims = jwt.decode(token, options={"verify_signature": False})
    none: frozenset[str] = frozenset()
    settings = IssuerSettings("iam", iam.url, iam.url, none, none, TokenProfile(profile), 0.0)
    identity = identity_of("digest", claims, settings)
    assert identity.groups == ("/cms", "/cms/production")
    assert identity.client_id == "demo"
    assert identity.scopes == {"openid", profile, "wlcg.groups", "compute.read"}
    assert bool(identity.entitlements) == (profile == "aarc")


@pytest.mark.parametrize(
    "claims, scopes",
    [
        ({"scope": "a  b\tc"}, {"a", "b", "c"}),
        ({"scope": ""}, set()),
        ({"scope": ["a", "b c"]}, {"a", "b c"}),
        ({"scp": ["a"]}, {"a"}),
        ({"scp": "a b"}, {"a", "b"}),
        ({"scope": "a", "scp": "b"}, {"a"}),
        ({}, set()),
    ],
)
def test_scopes(claims: dict[str, Any], scopes: set[str]) -> None:
    assert readers.scopes(claims) == scopes


@pytest.mark.parametrize(
    "claims, client", [({"client_id": "a", "azp": "b"}, "a"), ({"azp": "b"}, "b"), ({"client_id": 5}, None), ({}, None)]
)
def test_client(claims: dict[str, Any], client: str | None) -> None:
    assert readers.client_id(claims) == client


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["wlcg.groups", "groups", "entitlements", "eduperson_entitlement", "scope", "scp", "aud", "client_id", "azp"]
)


@given(st.sampled_from(TokenProfile), st.dictionaries(names, values | st.lists(st.text(), max_size=5)))
def test_any_claims_are_read_or_malformed(profile: TokenProfile, claims: dict[str, Any]) -> None:
    try:
        groups = readers.groups(profile, claims)
        scopes, audiences = readers.scopes(claims), readers.audiences(claims)
    except TokenMalformedError:
        return
    readers.client_id(claims)
    assert all(group.startswith("/") for group in groups)
    assert all(isinstance(item, str) for item in (*scopes, *audiences))


components = st.text(st.characters(exclude_characters="#/:", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda part: not part.startswith("role=")
)


@given(st.lists(components, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_aarc_groups_are_told_apart(parts: list[str], has_role: bool, has_authority: bool) -> None:  # noqa: FBT001 - Hypothesis passes them
    entitlement = f"{URN}:group:{':'.join(parts)}"
    entitlement += (":role=x" if has_role else "") + ("#authority" if has_authority else "")
    assert readers.groups(TokenProfile.AARC, {"entitlements": entitlement}) == ("/" + "/".join(parts),)
