"""Refresh tokens: single use or not, narrower scopes, and how they end."""

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, Clock, IamUser


async def test_each_refresh_gives_a_new_token_and_the_used_one_is_dead(user: IamUser) -> None:
    first = (await user.session()).json["refresh_token"]
    answer = await user.refresh(first)
    second = answer.json["refresh_token"]
    assert answer.status == 200
    assert second != first
    assert answer.claims["act"] == {"sub": "ttscache"}
    reused = await user.refresh(first)
    assert (reused.status, reused.json["error"]) == (400, "invalid_grant")
    assert (await user.refresh(second)).status == 200


async def test_reuse_revokes_the_family_when_set(start_iam: StartIam) -> None:
    user = await start_iam(reuse_revokes_family=True)
    session = await user.session()
    first = session.json["refresh_token"]
    second = (await user.refresh(first)).json["refresh_token"]
    assert (await user.refresh(first)).status == 400
    assert (await user.refresh(second)).json["error"] == "invalid_grant"


async def test_refresh_tokens_may_be_for_many_uses(start_iam: StartIam) -> None:
    user = await start_iam(single_use_refresh=False)
    token = (await user.session()).json["refresh_token"]
    for _ in range(2):
        assert (await user.refresh(token)).json["refresh_token"] == token


async def test_a_narrower_scope_is_for_one_answer(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    narrow = await user.refresh(token, scope="wlcg.groups:/cms")
    assert narrow.json["scope"] == "wlcg.groups:/cms"
    assert (await user.refresh(narrow.json["refresh_token"])).json["scope"] == "offline_access wlcg.groups"


async def test_a_wider_scope_is_refused_and_nothing_is_spent(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    answer = await user.refresh(token, scope="storage.read:/")
    assert (answer.status, answer.json["error"]) == (400, "invalid_scope")
    assert (await user.refresh(token)).status == 200


async def test_expiry(start_iam: StartIam) -> None:
    clock = Clock()
    user = await start_iam(now=clock, refresh_lifetime=600)
    token = (await user.session()).json["refresh_token"]
    clock.time += 600
    assert (await user.refresh(token)).json["error"] == "invalid_grant"


async def test_a_suspended_user(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.state.suspend("jane")
    answer = await user.refresh(token)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    user.iam.state.restore("jane")
    assert (await user.refresh(token)).status == 200


async def test_unsigned_aup(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.state.unsign_aup("jane")
    assert "needs to sign AUP" in (await user.refresh(token)).json["error_description"]


async def test_all_of_a_users_tokens_revoked(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.state.revoke_refresh_tokens("joe")
    token = (await user.refresh(token)).json["refresh_token"]
    user.iam.state.revoke_refresh_tokens("jane")
    assert (await user.refresh(token)).json["error"] == "invalid_grant"


async def test_scopes_denied_since_are_dropped(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.state.deny_scopes("jane", {"wlcg.groups"})
    assert (await user.refresh(token)).json["scope"] == "offline_access"


async def test_another_clients_token_is_refused_and_revoked(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    answer = await user.refresh(token, DEMO)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert (await user.refresh(token)).json["error"] == "invalid_grant"


async def test_an_unknown_token(user: IamUser) -> None:
    assert (await user.refresh("made-up")).json["error"] == "invalid_grant"
