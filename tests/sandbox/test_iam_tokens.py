"""The grants that give a first token, and what the tokens of each profile say."""

import dataclasses
import uuid

import jwt
import pytest

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, ROBOT, TTSCACHE, USERS, Clock, IamUser, config, unverified
from ttscache.sandbox.iam import EmbeddedIam, GrantType


async def test_password_grant_gives_a_wlcg_token_of_the_user(user: IamUser) -> None:
    answer = await user.password()
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    claims = answer.claims
    assert claims["iss"] == user.iam.url
    assert claims["sub"] == str(uuid.UUID(claims["sub"])) == USERS[0].sub
    assert claims["client_id"] == "demo"
    assert claims["wlcg.ver"] == "1.0"
    assert claims["wlcg.groups"] == ["/cms", "/cms/production"]
    assert claims["aud"] == "https://wlcg.cern.ch/jwt/v1/any"
    assert claims["preferred_username"] == "jane"
    assert claims["exp"] - claims["iat"] == answer.json["expires_in"] == 3600
    assert {"nbf", "jti"} <= claims.keys()
    assert "act" not in claims


async def test_users_subjects_are_stable() -> None:
    one, two = EmbeddedIam(config()), EmbeddedIam(config())
    assert one.config.user("jane").sub == two.config.user("jane").sub


async def test_wrong_password(user: IamUser) -> None:
    form = {"grant_type": "password", "username": "jane", "password": "guess"}
    answer = await user.token(form, DEMO)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert answer.json["error_description"] == "Bad credentials"
    unknown = await user.token(form | {"username": "nobody"}, DEMO)
    assert unknown.json == answer.json


async def test_password_of_a_suspended_user(user: IamUser) -> None:
    user.iam.state.suspend("jane")
    answer = await user.password()
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


async def test_client_credentials_give_a_token_without_a_user(user: IamUser) -> None:
    answer = await user.token({"grant_type": "client_credentials", "scope": "compute.read"}, ROBOT)
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.claims["sub"] == "robot"
    assert not answer.claims.keys() & {"wlcg.groups", "groups", "preferred_username"}


@pytest.mark.parametrize(
    "scope, groups",
    [
        ("wlcg", None),
        ("wlcg.groups", ["/cms", "/cms/production"]),
        ("wlcg.groups:/cms/production", ["/cms/production", "/cms"]),
        ("wlcg.groups wlcg.groups:/cms/production", ["/cms", "/cms/production"]),
        ("wlcg.groups:/atlas", ["/cms", "/cms/production"]),
    ],
)
async def test_wlcg_groups_are_ordered_by_the_scope(user: IamUser, scope: str, groups: list[str] | None) -> None:
    assert (await user.password(scope=scope)).claims.get("wlcg.groups") == groups


@pytest.mark.parametrize(
    "profile, there, not_there",
    [
        ("iam", {"groups", "organisation_name", "name", "email"}, {"wlcg.ver", "roles", "aud"}),
        ("aarc", {"eduperson_entitlement", "entitlements", "voperson_id"}, {"wlcg.ver", "groups", "aud"}),
        ("kc", {"roles"}, {"wlcg.ver", "groups", "aud"}),
        ("wlcg", {"wlcg.ver", "aud"}, {"groups", "roles", "entitlements"}),
    ],
)
async def test_the_scope_chooses_the_profile(user: IamUser, profile: str, there: set[str], not_there: set[str]) -> None:
    claims = (await user.password(scope=profile)).claims
    assert there <= claims.keys()
    assert not not_there & claims.keys()


async def test_claims_of_groups(user: IamUser) -> None:
    assert (await user.password(scope="iam")).claims["groups"] == ["cms", "cms/production"]
    assert (await user.password(scope="kc")).claims["roles"] == ["cms", "cms/production"]
    entitlements = (await user.password(scope="aarc")).claims["entitlements"]
    assert entitlements[1].endswith(":group:cms:production")


async def test_the_registration_chooses_the_profile_when_the_request_does_not(start_iam: StartIam) -> None:
    client = dataclasses.replace(DEMO, scopes=("openid", "aarc"))
    user = await start_iam(clients=(client,))
    assert "entitlements" in (await user.password(scope="openid")).claims


@pytest.mark.parametrize("scope", ["storage.read:/", "storage.read:/cms/a", "wlcg.groups:/cms"])
async def test_parametric_scopes_are_covered_by_the_registration(user: IamUser, scope: str) -> None:
    assert (await user.password(scope=scope)).json["scope"] == scope


@pytest.mark.parametrize("scope", ["storage.read:/cmsx", "storage.read:/cms/../x", "storage.modify:/cms", "admin"])
async def test_scopes_outside_the_registration_are_refused(start_iam: StartIam, scope: str) -> None:
    user = await start_iam(clients=(dataclasses.replace(DEMO, scopes=("wlcg", "storage.read:/cms")),))
    answer = await user.password(scope=scope)
    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")


async def test_denied_scopes_are_dropped_without_a_word(user: IamUser) -> None:
    user.iam.state.deny_scopes("jane", {"storage.read:/cms"})
    answer = await user.password(scope="wlcg storage.read:/cms/x storage.read:/atlas")
    assert answer.status == 200
    assert answer.json["scope"] == answer.claims["scope"] == "wlcg storage.read:/atlas"


async def test_audience_as_string_and_as_list(user: IamUser) -> None:
    assert (await user.password(audience="one")).claims["aud"] == "one"
    assert (await user.password(audience="one two")).claims["aud"] == ["one", "two"]


async def test_offline_access_gives_a_refresh_token(user: IamUser) -> None:
    assert (await user.password(scope="offline_access")).json["refresh_token"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_tokens_verify_with_the_published_key(start_iam: StartIam, algorithm: str) -> None:
    user = await start_iam(signing=(algorithm,))
    jwks = jwt.PyJWKSet.from_dict((await user.send("GET", "jwk")).json)
    for name, audience in (("access_token", "here"), ("id_token", "demo")):
        token = (await user.password(audience="here")).json[name]
        key = jwks[jwt.get_unverified_header(token)["kid"]]
        assert jwt.decode(token, key, algorithms=[algorithm], audience=audience)["sub"] == USERS[0].sub


async def test_token_issuer_may_differ_from_discovery(start_iam: StartIam) -> None:
    user = await start_iam(token_issuer="https://iam.example")
    discovery = await user.send("GET", ".well-known/openid-configuration")
    assert discovery.json["issuer"] == user.iam.url
    assert unverified(user.iam.token_for("jane"))["iss"] == "https://iam.example"


async def test_the_clock_is_the_configured_one(start_iam: StartIam) -> None:
    clock = Clock()
    user = await start_iam(now=clock)
    assert unverified(user.iam.token_for("jane"))["iat"] == int(clock.time)


async def test_token_for_takes_scope_and_audience(user: IamUser) -> None:
    claims = unverified(user.iam.token_for("joe", client_id="ttscache", scope="iam", audience="a b"))
    assert (claims["client_id"], claims["scope"], claims["aud"]) == ("ttscache", "iam", ["a", "b"])


async def test_grants_are_per_client(user: IamUser) -> None:
    answer = await user.token({"grant_type": GrantType.PASSWORD}, TTSCACHE)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    answer = await user.token({"grant_type": "magic"})
    assert (answer.status, answer.json["error"]) == (400, "unsupported_grant_type")
