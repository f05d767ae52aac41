"""The server itself: starting, stopping, bounds, the levers over HTTP, and what it logs."""

import logging

import pytest

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, TTSCACHE, IamUser, config
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.iam import state as iam_state
from ttscache.sandbox.iam.faults import MAX_FAULTS


async def test_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        await EmbeddedIam(config()).start("0.0.0.0")  # noqa: S104 - what must be refused


async def test_no_url_and_no_token_before_the_start() -> None:
    iam = EmbeddedIam(config())
    with pytest.raises(RuntimeError, match="not been started"):
        _ = iam.url
    with pytest.raises(RuntimeError, match="not been started"):
        iam.token_for("jane")
    await iam.stop()


async def test_started_once_and_port_taken(user: IamUser) -> None:
    with pytest.raises(RuntimeError, match="already"):
        await user.iam.start()
    port = int(user.iam.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await EmbeddedIam(config()).start(port=port)


async def test_what_was_issued_outlives_a_restart(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    url = user.iam.url
    await user.iam.stop()
    await user.iam.start(port=int(url.rstrip("/").rpartition(":")[2]))
    assert user.iam.url == url
    assert (await user.refresh(token)).status == 200


async def test_requests_are_bounded(user: IamUser) -> None:
    assert (await user.send("POST", "token", data={"a": "x" * 70_000})).status == 413
    many = {f"field{number}": "x" for number in range(200)}
    assert (await user.token(many)).json["error"] == "invalid_request"
    assert (await user.send("POST", "token", json={"grant_type": "password"})).status == 401


async def test_the_oldest_tokens_are_forgotten(user: IamUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam_state, "MAX_TOKENS", 2)
    tokens = [user.iam.token_for("jane") for _ in range(3)]
    assert [(await user.exchange(token)).status for token in tokens[:1]] == [401]
    assert (await user.exchange(tokens[2])).status == 200


async def test_counters(user: IamUser) -> None:
    await user.session()
    await user.refresh("unknown")
    await user.token({"grant_type": "magic\n"})
    stats = (await user.send("GET", "sandbox/stats")).json
    assert stats == {
        "requests": {"token": 3},
        "grants": {"token_exchange": 1, "refresh_token": 1, "other": 1},
        "granted": {"token_exchange": 1},
    }
    assert (await user.send("DELETE", "sandbox/stats")).json["requests"] == {}


async def test_faults_over_http(user: IamUser) -> None:
    fault = {"endpoint": "token", "grant": "password", "status": 429, "retry_after": "3", "times": 2, "delay": 0}
    answer = await user.send("POST", "sandbox/faults", json=fault)
    assert answer.status == 200
    assert (await user.password()).status == 429
    active = user.iam.faults.active
    assert [fault.times for fault in active] == [1]
    assert '"times": 1' in (await user.send("GET", "sandbox/faults")).text
    assert (await user.send("DELETE", "sandbox/faults")).text == "[]"
    assert (await user.password()).status == 200


async def test_faults_of_the_answer_over_http(user: IamUser) -> None:
    fault = {"answer": {"expires_in": 5}, "omit": ["scope"], "claims": {"aud": ["a", "b"]}, "signed_by": "unknown"}
    assert (await user.send("POST", "sandbox/faults", json=fault)).status == 200
    answer = await user.password()
    assert (answer.json["expires_in"], answer.claims["aud"]) == (5, ["a", "b"])
    assert "scope" not in answer.json


@pytest.mark.parametrize(
    "fault",
    [
        [],
        {"unknown": 1},
        {"endpoint": "elsewhere"},
        {"endpoint": ["token"]},
        {"status": "503"},
        {"times": True},
        {"delay": "1"},
        {"delay": 1e9},
        {"omit": [1]},
        {"answer": []},
        {"jwks": 1},
        {"reset": 1},
    ],
)
async def test_faults_that_are_refused(user: IamUser, fault: object) -> None:
    answer = await user.send("POST", "sandbox/faults", json=fault)
    assert answer.status == 400
    assert user.iam.faults.active == ()


async def test_faults_come_as_json_and_are_not_many(user: IamUser) -> None:
    form = await user.send("POST", "sandbox/faults", data='{"status": 503}', headers={"Content-Type": "text/plain"})
    assert form.status == 400
    assert (
        await user.send("POST", "sandbox/faults", data="{", headers={"Content-Type": "application/json"})
    ).status == 400
    for _ in range(MAX_FAULTS):
        await user.send("POST", "sandbox/faults", json={"times": 1})
    assert (await user.send("POST", "sandbox/faults", json={"times": 1})).status == 400


async def test_users_over_http(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    change = {"active": False, "aup_signed": False, "denied_scopes": ["offline_access"]}
    answer = await user.send("POST", "sandbox/users/jane", json=change)
    assert answer.json == {"username": "jane", **change}
    assert (await user.refresh(token)).json["error_description"] == "User is disabled"
    await user.send("POST", "sandbox/users/jane", json={"active": True})
    assert "AUP" in (await user.refresh(token)).json["error_description"]
    await user.send("POST", "sandbox/users/jane", json={"aup_signed": True, "revoke_refresh_tokens": True})
    assert (await user.refresh(token)).json["error_description"] == "Invalid refresh token"
    assert (await user.send("POST", "sandbox/users/nobody", json={})).status == 400


async def test_keys_over_http(user: IamUser) -> None:
    assert len((await user.send("POST", "sandbox/keys", json={})).json["keys"]) == 2
    assert len((await user.send("POST", "sandbox/keys", json={"keep_old": False})).json["keys"]) == 1


async def test_nothing_secret_is_logged_or_shown(start_iam: StartIam, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    user = await start_iam()
    session = await user.session()
    await user.refresh(session.json["refresh_token"])
    await user.exchange("planted-subject-token")
    login = await user.password()
    shown = caplog.text + repr(user.iam.config)
    secrets = [session.json["refresh_token"], session.json["access_token"], login.json["id_token"]]
    secrets += ["planted-subject-token", DEMO.secret, TTSCACHE.secret]
    secrets += [one.password for one in user.iam.config.users]
    assert "token token_exchange: 401" in caplog.text
    assert not [secret for secret in secrets if secret in shown]


async def test_ipv6() -> None:
    iam = EmbeddedIam(config())
    try:
        await iam.start("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert iam.url.startswith("http://[::1]:")
    await iam.stop()


def test_defaults() -> None:
    settings = IamConfig()
    assert settings.user("admin").groups == ("/cms", "/cms/ttscache-admins")
    assert settings.client("ttscache").secret != IamConfig().client("ttscache").secret
    with pytest.raises(KeyError):
        settings.user("nobody")
