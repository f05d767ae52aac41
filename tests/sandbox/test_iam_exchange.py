"""Token exchange: the answer, and the refusals in IAM's own words."""

import pytest

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, ROBOT, USERS, Clock, IamUser, unverified

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


async def test_answer(user: IamUser) -> None:
    answer = await user.exchange(
        user.iam.token_for("jane"),
        scope="openid offline_access wlcg.groups",
        audience="https://store.example",
        requested_token_type="urn:ietf:params:oauth:token-type:access_token",
    )
    assert answer.status == 200
    body = answer.json
    assert body["issued_token_type"] == JWT_TYPE
    assert body["token_type"] == "Bearer"
    assert body["scope"] == "openid offline_access wlcg.groups"
    assert body["refresh_token"]
    assert unverified(body["id_token"])["aud"] == "ttscache"
    claims = answer.claims
    assert claims["sub"] == USERS[0].sub
    assert claims["client_id"] == "ttscache"
    assert claims["act"] == {"sub": "ttscache"}
    assert claims["aud"] == "https://store.example"


async def test_no_id_token_and_no_refresh_token_unless_asked(user: IamUser) -> None:
    answer = await user.exchange(user.iam.token_for("jane"), scope="wlcg")
    assert not answer.json.keys() & {"id_token", "refresh_token"}


async def test_actors_nest(user: IamUser) -> None:
    first = await user.exchange(user.iam.token_for("jane"))
    second = await user.exchange(first.json["access_token"])
    assert second.claims["act"] == {"sub": "ttscache", "act": {"sub": "ttscache"}}


async def test_audience_only_when_asked(user: IamUser) -> None:
    subject = user.iam.token_for("jane", audience="the daemon")
    assert "aud" not in (await user.exchange(subject, scope="iam")).claims


async def test_resource_goes_before_aud_before_audience(user: IamUser) -> None:
    subject = user.iam.token_for("jane")
    asked = {"resource": "https://a.example", "aud": "b", "audience": "c"}
    for name, value in list(asked.items()):
        assert (await user.exchange(subject, **asked)).claims["aud"] == value
        del asked[name]


async def test_the_scope_defaults_to_the_subject_tokens(user: IamUser) -> None:
    subject = user.iam.token_for("jane", scope="wlcg wlcg.groups:/cms/production")
    assert (await user.exchange(subject)).json["scope"] == "wlcg wlcg.groups:/cms/production"


async def test_scopes_are_checked_against_the_client_not_the_subject_token(user: IamUser) -> None:
    subject = user.iam.token_for("jane", scope="wlcg")
    assert (await user.exchange(subject, scope="storage.read:/cms")).status == 200
    answer = await user.exchange(subject, scope="wlcg registration.write")
    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")
    assert answer.json["error_description"] == "Invalid scope: registration.write"


@pytest.mark.parametrize("parameter", ["actor_token", "want_composite"])
async def test_delegation_is_not_supported(user: IamUser, parameter: str) -> None:
    answer = await user.exchange(user.iam.token_for("jane"), **{parameter: "x"})
    assert answer.status == 400
    assert answer.json == {"error": "invalid_request", "error_description": "Delegation not supported"}


async def test_a_refused_subject_token_is_echoed(user: IamUser) -> None:
    answer = await user.exchange("eyJ.foreign.token")
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert "eyJ.foreign.token" in answer.json["error_description"]
    assert "eyJ.foreign.token" in answer.headers["WWW-Authenticate"]
    assert answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


async def test_what_is_echoed_stays_one_header(user: IamUser) -> None:
    answer = await user.exchange('x\r\nSet-Cookie: a="b"\u202e' + "y" * 20000)
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert len(answer.headers["WWW-Authenticate"]) < 5000


async def test_a_foreign_issuers_token_is_refused(start_iam: StartIam) -> None:
    one, other = await start_iam(), await start_iam()
    assert (await one.exchange(other.iam.token_for("jane"))).status == 401


async def test_an_expired_subject_token(start_iam: StartIam) -> None:
    clock = Clock()
    user = await start_iam(now=clock)
    subject = user.iam.token_for("jane")
    clock.time += 3599
    assert (await user.exchange(subject)).status == 200
    clock.time += 1
    assert (await user.exchange(subject)).json["error"] == "invalid_token"


async def test_a_client_without_the_grant(user: IamUser) -> None:
    answer = await user.exchange(user.iam.token_for("jane"), DEMO)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


async def test_the_same_client_may_not_ask_for_offline_access(user: IamUser) -> None:
    subject = user.iam.token_for("jane", client_id="ttscache")
    answer = await user.exchange(subject, scope="offline_access")
    assert (answer.status, answer.json["error"]) == (403, "access_denied")


async def test_no_policy_matches(user: IamUser) -> None:
    user.iam.state.exchange_denied.add("ttscache")
    answer = await user.exchange(user.iam.token_for("jane"))
    assert (answer.status, answer.json["error"]) == (403, "access_denied")


async def test_unsigned_aup(user: IamUser) -> None:
    subject = user.iam.token_for("jane")
    user.iam.state.unsign_aup("jane")
    answer = await user.exchange(subject)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert answer.json["error_description"].startswith("User jane needs to sign AUP")
    user.iam.state.sign_aup("jane")
    assert (await user.exchange(subject)).status == 200


async def test_a_suspended_user(user: IamUser) -> None:
    subject = user.iam.token_for("jane")
    user.iam.state.suspend("jane")
    answer = await user.exchange(subject)
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    user.iam.state.restore("jane")
    assert (await user.exchange(subject)).status == 200


async def test_a_policy_drops_offline_access_without_a_word(user: IamUser) -> None:
    user.iam.state.deny_scopes("jane", {"offline_access"})
    answer = await user.exchange(user.iam.token_for("jane"), scope="wlcg offline_access")
    assert answer.status == 200
    assert answer.json["scope"] == "wlcg"
    assert "refresh_token" not in answer.json


async def test_a_clients_own_token_can_be_exchanged(user: IamUser) -> None:
    own = await user.token({"grant_type": "client_credentials"}, ROBOT)
    claims = (await user.exchange(own.json["access_token"])).claims
    assert (claims["sub"], claims["act"]) == ("ttscache", {"sub": "ttscache"})


async def test_a_missing_subject_token(user: IamUser) -> None:
    assert (await user.exchange("")).json["error"] == "invalid_request"
