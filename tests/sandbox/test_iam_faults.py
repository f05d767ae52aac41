"""Each fault as a client sees it."""

import asyncio
from typing import Any

import aiohttp
import jwt
import pytest

from tests.sandbox.iam_client import TTSCACHE, USERS, IamUser, basic, unverified
from ttscache.sandbox.iam import Fault
from ttscache.sandbox.iam.faults import BodyKind
from ttscache.sandbox.iam.keys import OddJwks, OddKey
from ttscache.sandbox.iam.strikes import HUGE

DISCOVERY = ".well-known/openid-configuration"


async def test_times_and_order(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", status=503, times=2))
    user.iam.faults.add(Fault(endpoint="jwks", status=500, times=1))
    assert [(await user.send("GET", "jwk")).status for _ in range(4)] == [503, 503, 500, 200]
    assert user.iam.faults.active == ()


async def test_a_fault_of_one_grant_leaves_the_others_alone(user: IamUser) -> None:
    user.iam.faults.add(Fault(grant="refresh_token", status=503))
    session = await user.session()
    assert (await user.refresh(session.json["refresh_token"])).status == 503


@pytest.mark.parametrize(
    "kind, content_type, start",
    [
        ("html", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("empty", "application/json; charset=utf-8", ""),
        ("error", "application/json; charset=utf-8", '{"error": "server_error"'),
        ("garbage", "application/json; charset=utf-8", '{"access_token": "ey'),
    ],
)
async def test_bodies_in_place_of_the_answer(user: IamUser, kind: BodyKind, content_type: str, start: str) -> None:
    user.iam.faults.add(Fault(body=kind))
    answer = await user.password()
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.text.startswith(start)
    assert user.iam.counters.granted == {}


@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2037 07:28:00 GMT"])
async def test_too_many_requests(user: IamUser, retry_after: str) -> None:
    user.iam.faults.add(Fault(status=429, retry_after=retry_after))
    answer = await user.password()
    assert (answer.status, answer.headers["Retry-After"]) == (429, retry_after)


async def test_redirect(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", redirect="http://other.example/jwk"))
    answer = await user.send("GET", "jwk")
    assert (answer.status, answer.headers["Location"]) == (302, "http://other.example/jwk")


async def test_reset_before_anything_is_done(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.faults.add(Fault(grant="refresh_token", reset=True, times=1))
    with pytest.raises(aiohttp.ClientOSError):
        await user.refresh(token)
    assert (await user.refresh(token)).status == 200


async def test_a_lost_answer_has_spent_the_refresh_token(user: IamUser) -> None:
    token = (await user.session()).json["refresh_token"]
    user.iam.faults.add(Fault(grant="refresh_token", reset=True, late=True, times=1))
    with pytest.raises(aiohttp.ClientOSError):
        await user.refresh(token)
    assert user.iam.counters.granted["refresh_token"] == 1
    assert (await user.refresh(token)).json["error"] == "invalid_grant"


async def test_truncated(user: IamUser) -> None:
    user.iam.faults.add(Fault(body="truncated"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await user.password()


async def test_huge_is_valid_and_too_much(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", body="huge"))
    answer = await user.send("GET", "jwk")
    assert len(answer.text) > HUGE
    assert len(answer.json["keys"]) == 1


async def test_endless_ends_with_its_reader(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", body="endless"))
    async with user.http.get(f"{user.iam.url}jwk") as response:
        assert len(await response.content.readexactly(1024 * 1024)) == 1024 * 1024
        response.close()


async def test_a_delayed_answer_is_let_go_when_faults_are_cleared(user: IamUser) -> None:
    user.iam.faults.add(Fault(delay=20.0))
    asked = asyncio.create_task(user.password())
    async with asyncio.timeout(5):
        while not user.iam.counters.requests["token"]:
            await user.send("GET", "jwk")
        assert not asked.done()
        user.iam.faults.clear()
        assert (await asked).status == 200


async def test_a_short_delay_passes(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", delay=0.01))
    assert (await user.send("GET", "jwk")).status == 200


async def test_stopping_does_not_wait_for_delays(user: IamUser) -> None:
    user.iam.faults.add(Fault(delay=20.0))
    asked = asyncio.create_task(user.password())
    async with asyncio.timeout(5):
        while not user.iam.counters.requests["token"]:
            await user.send("GET", "jwk")
        await user.iam.stop()
        assert (await asked).status == 200


async def test_wrong_issuer_in_discovery(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="discovery", answer={"issuer": "http://evil.example/"}))
    assert (await user.send("GET", DISCOVERY)).json["issuer"] == "http://evil.example/"


async def test_fields_of_the_answer(user: IamUser) -> None:
    fault = Fault(answer={"refresh_token": None, "scope": "wlcg storage.modify:/"}, omit=("expires_in",))
    user.iam.faults.add(fault)
    body = (await user.session()).json
    assert body["refresh_token"] is None
    assert body["scope"] == "wlcg storage.modify:/"
    assert "expires_in" not in body


async def test_refusals_keep_their_fields(user: IamUser) -> None:
    user.iam.faults.add(Fault(answer={"expires_in": 1}))
    assert (await user.refresh("unknown")).json.keys() == {"error", "error_description"}


async def test_claims_of_the_token(user: IamUser) -> None:
    user.iam.faults.add(Fault(claims={"sub": "mallory", "aud": "elsewhere"}, omit_claims=("exp", "never")))
    claims = (await user.session()).claims
    assert (claims["sub"], claims["aud"]) == ("mallory", "elsewhere")
    assert "exp" not in claims
    assert unverified((await user.password()).json["id_token"])["sub"] == USERS[0].sub


async def published(user: IamUser) -> list[dict[str, Any]]:
    keys = (await user.send("GET", "jwk")).json["keys"]
    assert isinstance(keys, list)
    return keys


async def test_signed_by_an_unknown_key(user: IamUser) -> None:
    user.iam.faults.add(Fault(signed_by="unknown", times=1))
    token = (await user.password()).json["access_token"]
    assert jwt.get_unverified_header(token)["kid"] not in {key["kid"] for key in await published(user)}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("odd, jwks", [("weak", "weak_key"), ("symmetric", "symmetric_key")])
async def test_signed_by_a_published_key_that_nobody_should_believe(user: IamUser, odd: OddKey, jwks: OddJwks) -> None:
    user.iam.faults.add(Fault(signed_by=odd))
    user.iam.faults.add(Fault(endpoint="jwks", jwks=jwks))
    token = (await user.password(audience="x")).json["access_token"]
    (jwk,) = [key for key in await published(user) if key["kid"] == jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, jwt.PyJWK(jwk), algorithms=[jwk["alg"]], audience="x")
    assert claims["sub"] == USERS[0].sub


async def test_opaque(user: IamUser) -> None:
    user.iam.faults.add(Fault(opaque=True, times=1))
    token = (await user.password()).json["access_token"]
    assert "." not in token
    assert (await user.exchange(token)).status == 200


async def test_duplicate_kid(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", jwks="duplicate_kid"))
    wrong, right = await published(user)
    assert wrong["kid"] == right["kid"]
    assert wrong["x"] != right["x"]


async def test_hundreds_of_keys(user: IamUser) -> None:
    user.iam.faults.add(Fault(endpoint="jwks", jwks="many_keys"))
    keys = await published(user)
    assert len({key["kid"] for key in keys}) == len(keys) > 100


async def test_rotation(user: IamUser) -> None:
    (old,) = await published(user)
    user.iam.keys.rotate()
    new, kept = await published(user)
    assert kept == old
    header = jwt.get_unverified_header((await user.password()).json["access_token"])
    assert header["kid"] == new["kid"] != old["kid"]
    user.iam.keys.rotate(keep_old=False)
    assert len(await published(user)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": -1},
        {"delay": float("nan")},
        {"status": 99},
        {"times": 0},
        {"redirect": "a\r\nb"},
        {"grant": "exchange"},
        {"endpoint": "jwks", "grant": "password"},
    ],
)
def test_faults_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Fault(**wrong)


async def test_late_faults_strike_after_the_work(user: IamUser) -> None:
    user.iam.faults.add(Fault(status=502, body="html", late=True, times=1))
    answer = await user.send("POST", "token", data={"grant_type": "client_credentials"}, headers=basic(TTSCACHE))
    assert answer.status == 502
    assert user.iam.counters.granted == {"client_credentials": 1}
