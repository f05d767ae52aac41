"""How the daemon proves who it is."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.net.loopback import Loopback
from tests.sandbox.iam_client import DEMO, ROBOT, TTSCACHE
from tests.upstream.desk import Desk, open_desk
from ttscache.net.deadline import Deadline
from ttscache.upstream.settings import AuthMethod
from ttscache.upstream.token_endpoint import GrantRefusedError

NASTY = "a b+c%d:e/f&g=h~é\u202e"


def pem(key: Any) -> str:  # noqa: ANN401 - keys of all kinds
    private: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode()


def public_pem(key: Any) -> str:  # noqa: ANN401 - keys of all kinds
    public: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


@pytest.mark.parametrize("method", [AuthMethod.BASIC, AuthMethod.POST])
@pytest.mark.parametrize(
    "client_id, secret",
    [(TTSCACHE.client_id, TTSCACHE.secret), (NASTY, NASTY), ("a:b", "c:d")],
    ids=["plain", "any-characters", "colons"],  # the secret is another in each process
)
async def test_a_secret_with_any_characters(ca_file: Path, method: AuthMethod, client_id: str, secret: str) -> None:
    client = replace(TTSCACHE, client_id=client_id, secret=secret)
    async with open_desk(ca_file, clients=(client, DEMO, ROBOT)) as desk:
        endpoint = desk.endpoint(client_id=client_id, secret=secret, auth_method=method)
        answer = await desk.exchange(endpoint)
        assert answer.refresh_token is not None
        assert (await endpoint.refresh(answer.refresh_token, Deadline.after(5.0))).access_token
        with pytest.raises(GrantRefusedError, match="does not take this daemon's client"):
            await desk.exchange(desk.endpoint(client_id=client_id, secret=secret + "x", auth_method=method))


async def test_what_is_sent(desk: Desk, stranger: Loopback) -> None:
    sent: list[tuple[str | None, dict[str, list[str]]]] = []

    async def record(request: web.Request) -> web.StreamResponse:
        sent.append((request.headers.get("Authorization"), parse_qs(await request.text())))
        return web.json_response({"access_token": "x"})

    stranger.answers["/token"] = record
    url = stranger.url + "/token"
    await desk.exchange(desk.endpoint(url, client_id=NASTY, secret="s"), "subject")
    authorization, form = sent.pop()
    assert authorization is not None
    pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    assert pair == "a+b%2Bc%25d%3Ae%2Ff%26g%3Dh~%C3%A9%E2%80%AE:s"
    assert form == {
        "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "subject_token": ["subject"],
        "subject_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
        "scope": ["openid offline_access wlcg.groups"],
    }
    await desk.exchange(desk.endpoint(url, auth_method=AuthMethod.POST, scopes=(), audience="there"), "subject")
    authorization, form = sent.pop()
    assert authorization is None
    assert (form["client_id"], form["client_secret"]) == ([TTSCACHE.client_id], [TTSCACHE.secret])
    assert form["audience"] == ["there"]
    assert "scope" not in form
    await desk.endpoint(url).refresh("r+1", Deadline.after(5.0))
    assert sent.pop()[1] == {"grant_type": ["refresh_token"], "refresh_token": ["r+1"]}


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP521R1()), "rsa"],
    ids=["ES256", "ES512", "RS256"],
)
async def test_an_assertion_that_the_iam_takes(ca_file: Path, key: Any) -> None:  # noqa: ANN401 - keys of all kinds
    key = rsa.generate_private_key(65537, 2048) if key == "rsa" else key
    client = replace(TTSCACHE, public_key=public_pem(key))
    async with open_desk(ca_file, clients=(client, DEMO, ROBOT)) as desk:
        endpoint = desk.endpoint(secret=pem(key), auth_method=AuthMethod.PRIVATE_KEY_JWT)
        for _ in range(2):  # each assertion is good once: the second call has another
            assert (await desk.exchange(endpoint)).refresh_token
        other = pem(ec.generate_private_key(ec.SECP256R1()))
        with pytest.raises(GrantRefusedError, match="does not take this daemon's client"):
            await desk.exchange(desk.endpoint(secret=other, auth_method=AuthMethod.PRIVATE_KEY_JWT))


async def test_an_assertion_with_ed25519_and_a_key_id(desk: Desk, stranger: Loopback) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    url = stranger.url + "/token"

    async def check(request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_id"] == TTSCACHE.client_id
        assertion = form["client_assertion"]
        assert jwt.get_unverified_header(assertion) == {"alg": "EdDSA", "kid": "key-1", "typ": "JWT"}
        claims = jwt.decode(assertion, key.public_key(), algorithms=["EdDSA"], audience=url)
        assert claims["iss"] == claims["sub"] == TTSCACHE.client_id
        assert claims["exp"] - claims["iat"] == 120
        assert abs(claims["iat"] - time.time()) < 60
        return web.json_response({"access_token": claims["jti"]})

    stranger.answers["/token"] = check
    endpoint = desk.endpoint(url, secret=pem(key), auth_method=AuthMethod.PRIVATE_KEY_JWT, key_id="key-1")
    assert len({(await desk.exchange(endpoint, "x")).access_token for _ in range(3)}) == 3


def test_settings_and_answers_do_not_show_their_secrets(desk: Desk) -> None:
    endpoint = desk.endpoint(secret="planted")
    assert "planted" not in repr(endpoint._settings)
