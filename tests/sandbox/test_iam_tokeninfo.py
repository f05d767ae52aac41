"""Introspection, user information, revocation and the two documents."""

from tests.sandbox.iam_client import DEMO, TTSCACHE, USERS, Answer, IamUser, basic


async def introspect(user: IamUser, token: str) -> Answer:
    return await user.send("POST", "introspect", data={"token": token}, headers=basic(TTSCACHE))


async def userinfo(user: IamUser, token: str) -> Answer:
    return await user.send("GET", "userinfo", headers={"Authorization": f"Bearer {token}"})


async def test_introspection_in_iams_dialect(user: IamUser) -> None:
    body = (await introspect(user, user.iam.token_for("jane", scope="wlcg profile", audience="a b"))).json
    assert body["active"] is True
    assert body["aud"] == "a b"
    assert body["user_id"] == "jane"
    assert body["sub"] == USERS[0].sub
    assert body["client_id"] == "demo"
    assert body["scope"] == "wlcg profile"
    assert body["groups"] == ["cms", "cms/production"]


async def test_introspection_tells_groups_with_the_scope_profile_only(user: IamUser) -> None:
    body = (await introspect(user, user.iam.token_for("jane", scope="wlcg.groups"))).json
    assert not body.keys() & {"groups", "wlcg.groups", "name", "email"}


async def test_introspection_of_what_is_not_active(user: IamUser) -> None:
    assert (await introspect(user, "unknown")).json == {"active": False}
    token = user.iam.token_for("jane")
    user.iam.state.suspend("jane")
    assert (await introspect(user, token)).json == {"active": False}


async def test_introspection_needs_a_client_and_a_token(user: IamUser) -> None:
    answer = await user.send("POST", "introspect", data={"token": "x"})
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert (await introspect(user, "")).json["error"] == "invalid_request"


async def test_userinfo_tells_what_the_scopes_disclose(user: IamUser) -> None:
    answer = await userinfo(user, user.iam.token_for("jane", scope="openid email"))
    assert answer.json == {"sub": USERS[0].sub, "email": USERS[0].email}
    answer = await userinfo(user, user.iam.token_for("jane", scope="openid profile"))
    assert answer.json["groups"] == ["cms", "cms/production"]


async def test_userinfo_refuses(user: IamUser) -> None:
    assert (await user.send("GET", "userinfo")).status == 401
    assert (await userinfo(user, "unknown")).json["error"] == "invalid_token"
    answer = await userinfo(user, user.iam.token_for("jane", scope="wlcg"))
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")


async def test_revoked_access_token_is_refused(user: IamUser) -> None:
    token = user.iam.token_for("jane")
    answer = await user.send("POST", "revoke", data={"token": token}, headers=basic(DEMO))
    assert (answer.status, answer.text) == (200, "")
    assert (await user.exchange(token)).json["error"] == "invalid_token"


async def test_revoking_a_refresh_token_ends_what_came_of_it(user: IamUser) -> None:
    session = (await user.session()).json
    answer = await user.send("POST", "revoke", data={"token": session["refresh_token"]}, headers=basic(TTSCACHE))
    assert answer.status == 200
    assert (await user.refresh(session["refresh_token"])).json["error"] == "invalid_grant"
    assert (await introspect(user, session["access_token"])).json == {"active": False}


async def test_revoking_what_is_unknown_or_anothers(user: IamUser) -> None:
    assert (await user.send("POST", "revoke", data={"token": "x"}, headers=basic(DEMO))).status == 200
    token = user.iam.token_for("jane")
    assert (await user.send("POST", "revoke", data={"token": token}, headers=basic(TTSCACHE))).status == 403
    assert (await user.exchange(token)).status == 200


async def test_discovery(user: IamUser) -> None:
    body = (await user.send("GET", ".well-known/openid-configuration")).json
    url = user.iam.url
    assert url.endswith("/")
    assert body["issuer"] == url
    assert body["token_endpoint"] == f"{url}token"
    assert body["jwks_uri"] == f"{url}jwk"
    assert "urn:ietf:params:oauth:grant-type:token-exchange" in body["grant_types_supported"]
    assert body["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ]


async def test_jwks_has_no_private_part(user: IamUser) -> None:
    (key,) = (await user.send("GET", "jwk")).json["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert key["alg"] == "ES256"
