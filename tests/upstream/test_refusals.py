"""What IAM refuses, in words for the user and without a word of IAM's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.net.loopback import Loopback
from tests.sandbox.iam_client import DEMO, ROBOT, TTSCACHE
from tests.upstream.desk import SCOPES, Desk, Witness, open_desk
from ttscache.errors import ExchangeRefusedError, UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.sandbox.iam import Fault
from ttscache.upstream.token_endpoint import GrantRefusedError, RefreshDoubtfulError, TokenEndpoint


async def refusal(desk: Desk, witness: Witness, endpoint: TokenEndpoint, token: str) -> GrantRefusedError:
    with pytest.raises(GrantRefusedError) as raised:
        await desk.exchange(endpoint, token)
    error = raised.value
    assert (error.code, isinstance(error, ExchangeRefusedError)) == ("exchange_refused", True)
    assert error.message.startswith("issuer 'iam' refused: ")
    assert endpoint.circuit.closed  # a refusal is a proper answer
    witness.saw_none_of((token, TTSCACHE.secret), error)
    return error


class TestRowsOfTheTable:
    async def test_an_unknown_subject_token(self, desk: Desk, witness: Witness) -> None:
        error = await refusal(desk, witness, desk.endpoint(), "eyJ-planted-subject-token")
        assert error.error == "invalid_token"
        assert "revoked, expired, or of a suspended user" in error.message

    async def test_a_suspended_user(self, desk: Desk, witness: Witness) -> None:
        token = desk.iam.token_for("jane")
        desk.iam.state.suspend("jane")
        assert (await refusal(desk, witness, desk.endpoint(), token)).error == "invalid_token"

    async def test_a_client_without_the_grant(self, desk: Desk, witness: Witness) -> None:
        endpoint = desk.endpoint(client_id=ROBOT.client_id, secret=ROBOT.secret)
        error = await refusal(desk, witness, endpoint, desk.iam.token_for("jane"))
        assert error.error == "invalid_client"
        assert "may not exchange tokens" in error.message

    async def test_a_wrong_secret(self, desk: Desk, witness: Witness) -> None:
        error = await refusal(desk, witness, desk.endpoint(secret="wrong"), desk.iam.token_for("jane"))
        assert error.error == "invalid_client"

    async def test_an_unsigned_aup(self, desk: Desk, witness: Witness) -> None:
        token = desk.iam.token_for("jane")
        desk.iam.state.unsign_aup("jane")
        error = await refusal(desk, witness, desk.endpoint(), token)
        assert error.error == "invalid_grant"
        assert "sign the Acceptable Usage Policy" in error.message
        assert "jane" not in error.message
        desk.iam.state.sign_aup("jane")
        assert (await desk.exchange(desk.endpoint(), token)).access_token

    async def test_a_refused_scope(self, desk: Desk, witness: Witness) -> None:
        error = await refusal(desk, witness, desk.endpoint(scopes=("scim:write",)), desk.iam.token_for("jane"))
        assert error.error == "invalid_scope"
        assert "scopes" in error.message

    async def test_no_policy(self, desk: Desk, witness: Witness) -> None:
        desk.iam.state.exchange_denied.add(TTSCACHE.client_id)
        error = await refusal(desk, witness, desk.endpoint(), desk.iam.token_for("jane"))
        assert error.error == "access_denied"
        assert "policy denies" in error.message

    async def test_offline_access_for_the_same_client(self, desk: Desk, witness: Witness) -> None:
        token = desk.iam.token_for("jane", client_id=TTSCACHE.client_id)
        assert (await refusal(desk, witness, desk.endpoint(), token)).error == "access_denied"


class TestRefresh:
    async def test_rotation(self, desk: Desk) -> None:
        endpoint = desk.endpoint()
        first = (await desk.exchange(endpoint)).refresh_token
        assert first is not None
        second = (await endpoint.refresh(first, Deadline.after(5.0))).refresh_token
        assert second not in {None, first}

    @pytest.mark.parametrize("case", ["suspended", "revoked", "aup", "spent", "unknown"])
    async def test_refusals(self, desk: Desk, witness: Witness, case: str) -> None:
        endpoint, state = desk.endpoint(), desk.iam.state
        token = (await desk.exchange(endpoint)).refresh_token
        assert token is not None
        match case:
            case "suspended":
                state.suspend("jane")
            case "revoked":
                state.revoke_refresh_tokens("jane")
            case "aup":
                state.unsign_aup("jane")
            case "spent":
                await endpoint.refresh(token, Deadline.after(5.0))
            case _:
                token = "planted-refresh-token"
        with pytest.raises(GrantRefusedError) as raised:
            await endpoint.refresh(token, Deadline.after(5.0))
        assert raised.value.error == "invalid_grant"
        assert ("Acceptable Usage Policy" in raised.value.message) == (case == "aup")
        witness.saw_none_of((token,), raised.value)

    async def test_without_offline_access_there_is_none(self, desk: Desk) -> None:
        assert (await desk.exchange(desk.endpoint(scopes=("openid",)))).refresh_token is None


PLANTED = "PLANTED-subject.token-PLANTED"
ERRORS = [
    "invalid_token",
    "invalid_grant",
    "invalid_scope",
    "invalid_target",
    "insufficient_scope",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "access_denied",
    "invalid_request",
]


class TestWhatABodySays:
    @pytest.mark.parametrize("error", [*ERRORS, "invented", PLANTED])
    @pytest.mark.parametrize("status", [400, 401, 403])
    async def test_a_refusal_is_told_in_our_words(
        self, desk: Desk, stranger: Loopback, witness: Witness, error: str, status: int
    ) -> None:
        body = {"error": error, "error_description": f"Invalid: {PLANTED}\r\n\u202e", "error_uri": PLANTED}
        headers = {"WWW-Authenticate": f'Bearer error="{PLANTED}"'}
        stranger.say("/token", body, status=status, headers=headers)
        asyncio.get_running_loop().set_debug(enabled=True)
        asyncio.get_running_loop().slow_callback_duration = 0.0  # it logs the representation of all that runs
        refused = await refusal(desk, witness, desk.endpoint(stranger.url + "/token"), PLANTED)
        assert refused.error == (error if error in ERRORS else "unknown")
        assert refused.message.isprintable()

    @pytest.mark.parametrize(
        "status, body",
        [
            (400, PLANTED),
            (401, f"<html>{PLANTED}</html>"),
            (403, ""),
            (404, {"message": PLANTED}),
            (400, {"error": {"code": PLANTED}}),
            (400, {"error": None}),
            (400, [PLANTED]),
            (400, {"error": "temporarily_unavailable", "error_description": PLANTED}),
            (400, {"error": "server_error"}),
            (302, PLANTED),
            (204, ""),
            (500, {"error": "invalid_grant", "error_description": PLANTED}),
            (503, PLANTED),
            (200, PLANTED),
            (200, f"<html>{PLANTED}</html>"),
            (200, {"token": PLANTED}),
            (200, {"access_token": None, "error": PLANTED}),
            (200, {"access_token": ""}),
            (200, {"access_token": 5}),
            (200, {"access_token": ["x"]}),
            (200, {"access_token": "x\r\ny"}),
            (200, {"access_token": "x\u202e"}),
            (200, {"access_token": "x" * 16385}),
            (200, "[" * 100_000),
            (200, '{"access_token": "x", "expires_in": ' + "9" * 5000 + "}"),
        ],
    )
    async def test_what_is_no_refusal_is_doubtful(
        self, desk: Desk, stranger: Loopback, witness: Witness, status: int, body: object
    ) -> None:
        """A gateway may stand before an IAM that has done the work: a single-use token may be spent."""
        stranger.say("/token", body, status=status)
        for name in ("exchange", "refresh"):
            endpoint = desk.endpoint(stranger.url + "/token")
            with pytest.raises(RefreshDoubtfulError) as raised:
                await getattr(endpoint, name)(PLANTED, Deadline.after(5.0))
            assert (raised.value.code, endpoint.circuit.closed) == ("upstream_unavailable", False)
            witness.saw_none_of((PLANTED,), raised.value)

    async def test_a_refusal_that_repeats_a_long_token_in_a_header_is_one(
        self, desk: Desk, stranger: Loopback, witness: Witness
    ) -> None:
        token = "x" * 16384
        headers = {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{token}"'}
        stranger.say("/token", {"error": "invalid_token", "error_description": token}, status=401, headers=headers)
        error = await refusal(desk, witness, desk.endpoint(stranger.url + "/token"), token)
        assert error.error == "invalid_token"

    async def test_an_answer_of_secrets_is_nowhere_to_be_read(
        self, desk: Desk, stranger: Loopback, witness: Witness
    ) -> None:
        asyncio.get_running_loop().set_debug(enabled=True)
        asyncio.get_running_loop().slow_callback_duration = 0.0
        stranger.say("/token", {"access_token": "PLANTED-access", "refresh_token": "PLANTED-refresh"})
        answer = await asyncio.create_task(desk.exchange(desk.endpoint(stranger.url + "/token"), PLANTED))
        assert answer.refresh_token == "PLANTED-refresh"
        witness.saw_none_of(("PLANTED", TTSCACHE.secret))
        assert "PLANTED" not in repr(answer)


class TestWhatAnAnswerHolds:
    @pytest.mark.parametrize(
        "value, seconds",
        [
            (3600, 3600.0),
            (59.5, 59.5),
            ("3600", 3600.0),
            (0, 0.0),
            (..., None),
            (None, None),
            (True, None),
            (-5, None),
            ("-5", None),
            ("", None),
            ("soon", None),
            ("1e3", None),
            ("\u0661", None),
            (float("nan"), None),
            (float("inf"), None),
            (10**400, None),
            ([], None),
        ],
    )
    async def test_expires_in(self, desk: Desk, stranger: Loopback, value: object, seconds: float | None) -> None:
        body: dict[str, Any] = {"access_token": "x"} | ({} if value is ... else {"expires_in": value})
        stranger.say("/token", body)
        assert (await desk.exchange(desk.endpoint(stranger.url + "/token"), "x")).expires_in == seconds

    @pytest.mark.parametrize("value", [..., None, "", 5, ["x"], "x\n", "\u00e9", "x" * 16385])
    async def test_no_refresh_token(self, desk: Desk, stranger: Loopback, value: object) -> None:
        body: dict[str, Any] = {"access_token": "x"} | ({} if value is ... else {"refresh_token": value})
        stranger.say("/token", body)
        assert (await desk.exchange(desk.endpoint(stranger.url + "/token"), "x")).refresh_token is None

    @pytest.mark.parametrize(
        "value, scopes", [("a b", {"a", "b"}), ("", set()), (..., None), (None, None), (5, None), (["a"], None)]
    )
    async def test_scopes(self, desk: Desk, stranger: Loopback, value: object, scopes: set[str] | None) -> None:
        body: dict[str, Any] = {"access_token": "x"} | ({} if value is ... else {"scope": value})
        stranger.say("/token", body)
        assert (await desk.exchange(desk.endpoint(stranger.url + "/token"), "x")).scopes == scopes


FAULTS: list[tuple[dict[str, Any], type[UpstreamUnavailableError]]] = [
    ({"delay": 20.0}, RefreshDoubtfulError),
    ({"body": "html"}, RefreshDoubtfulError),
    ({"body": "html", "status": 503}, RefreshDoubtfulError),
    ({"body": "empty"}, RefreshDoubtfulError),
    ({"body": "error", "status": 500}, RefreshDoubtfulError),
    ({"body": "garbage"}, RefreshDoubtfulError),
    ({"body": "truncated"}, RefreshDoubtfulError),
    ({"body": "huge"}, RefreshDoubtfulError),
    ({"body": "endless"}, RefreshDoubtfulError),
    ({"redirect": "https://evil.example/"}, RefreshDoubtfulError),
    ({"reset": True}, RefreshDoubtfulError),
    ({"reset": True, "late": True}, RefreshDoubtfulError),
    ({"status": 429, "retry_after": "1"}, UpstreamUnavailableError),
    ({"status": 429}, UpstreamUnavailableError),
]


class TestFaults:
    @pytest.mark.parametrize("fault, kind", FAULTS, ids=str)
    async def test_each_and_back(
        self, desk: Desk, witness: Witness, fault: dict[str, Any], kind: type[UpstreamUnavailableError]
    ) -> None:
        endpoint, token = desk.endpoint(), desk.iam.token_for("jane")
        desk.iam.faults.add(Fault(**fault))
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamUnavailableError) as raised:
            await desk.exchange(endpoint, token, 0.5)
        assert asyncio.get_running_loop().time() - begun < 1.5
        assert type(raised.value) is kind
        assert raised.value.retry_after > 0
        witness.saw_none_of((token, TTSCACHE.secret, "It broke"), raised.value)
        desk.iam.faults.clear()
        # callers wait for the backoff, which is short, and then it is used
        assert (await desk.exchange(endpoint, token)).access_token
        assert endpoint.circuit.closed

    async def test_retry_after_is_passed_on_and_kept_to(self, desk: Desk) -> None:
        endpoint = desk.endpoint()
        desk.iam.faults.add(Fault(status=429, retry_after="20"))
        with pytest.raises(UpstreamUnavailableError) as raised:
            await desk.exchange(endpoint)
        assert raised.value.retry_after == 20.0
        desk.iam.faults.clear()
        for _ in range(10):
            with pytest.raises(UpstreamUnavailableError) as raised:
                await desk.exchange(endpoint)
            assert 15.0 < raised.value.retry_after <= 20.0
        assert desk.iam.counters.requests["token"] == 1

    async def test_down_nothing_was_sent_and_back_it_is_used(self, desk: Desk) -> None:
        endpoint, token = desk.endpoint(f"{desk.iam.url}token"), desk.iam.token_for("jane")
        port = int(desk.iam.url.rstrip("/").rpartition(":")[2])
        await desk.iam.stop()
        with pytest.raises(UpstreamUnavailableError) as raised:
            await endpoint.refresh("r", Deadline.after(5.0))
        assert not isinstance(raised.value, RefreshDoubtfulError)
        await desk.iam.start(port=port)
        assert (await desk.exchange(endpoint, token)).access_token

    async def test_a_crowd_before_an_iam_that_fails_sends_one_probe(self, desk: Desk) -> None:
        endpoint, token = desk.endpoint(), desk.iam.token_for("jane")
        desk.iam.faults.add(Fault(status=503, times=1))
        with pytest.raises(UpstreamUnavailableError):
            await desk.exchange(endpoint, token)
        desk.iam.faults.add(Fault(delay=20.0, times=1))
        crowd = [asyncio.create_task(desk.exchange(endpoint, token, 0.6)) for _ in range(50)]
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert all(isinstance(outcome, UpstreamUnavailableError) for outcome in outcomes)
        assert desk.iam.counters.requests["token"] <= 3

    async def test_a_discovery_that_fails_is_the_upstreams_failure(self, ca_file: Path) -> None:
        async with open_desk(ca_file, clients=(TTSCACHE, DEMO, ROBOT)) as desk:
            endpoint = desk.exchanging().endpoint
            desk.iam.faults.add(Fault(endpoint="discovery", status=503, times=1))
            with pytest.raises(Exception, match="503") as raised:
                await desk.exchange(endpoint)
            assert getattr(raised.value, "code", None) == "issuer_unreachable"
            assert not endpoint.circuit.closed
            assert desk.iam.counters.requests["token"] == 0

    async def test_a_cancelled_probe_leaves_the_place_free(self, desk: Desk, stranger: Loopback) -> None:
        asked = asyncio.Event()

        async def never(_: web.Request) -> web.StreamResponse:
            asked.set()
            await asyncio.Event().wait()
            return web.Response()

        endpoint = desk.endpoint(stranger.url + "/token")
        stranger.say("/token", status=503)
        with pytest.raises(UpstreamUnavailableError):
            await desk.exchange(endpoint, "x")
        stranger.answers["/token"] = never
        probing = asyncio.create_task(desk.exchange(endpoint, "x"))
        await asked.wait()
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        stranger.say("/token", {"access_token": "x"})
        assert (await desk.exchange(endpoint, "x")).access_token == "x"


def test_all_scopes_of_the_tests_are_registered() -> None:
    assert set(SCOPES) <= set(TTSCACHE.scopes)
