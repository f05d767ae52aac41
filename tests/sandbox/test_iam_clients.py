"""Client authentication: Basic, in the body, and by a signed assertion."""

import dataclasses
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.sandbox.conftest import StartIam
from tests.sandbox.iam_client import DEMO, ROBOT, TTSCACHE, Clock, IamUser, basic

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = (
    KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
)
SIGNER = dataclasses.replace(ROBOT, client_id="signer", public_key=PUBLIC_PEM)
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = {"grant_type": "client_credentials"}


def assertion(user: IamUser, now: float, **changes: object) -> dict[str, str]:
    claims = {"iss": "signer", "sub": "signer", "aud": f"{user.iam.url}token", "exp": int(now) + 60, "jti": "1"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    signed = jwt.encode(claims, KEY, "ES256")
    return FORM | {"client_assertion_type": JWT_BEARER, "client_assertion": signed}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def signer(start_iam: StartIam, clock: Clock) -> IamUser:
    return await start_iam(clients=(SIGNER, ROBOT, DEMO, TTSCACHE), now=clock)


async def test_basic_parts_are_form_urlencoded(start_iam: StartIam) -> None:
    odd = dataclasses.replace(ROBOT, client_id="ro:bot", secret="a%b+c d/\u00e9")
    user = await start_iam(clients=(odd,))
    assert (await user.token(FORM, odd)).status == 200


async def test_secret_in_the_body(user: IamUser) -> None:
    assert (await user.token(FORM | {"client_id": "robot", "client_secret": ROBOT.secret}, None)).status == 200


@pytest.mark.parametrize(
    "headers, form",
    [
        ({}, {}),
        ({}, {"client_id": "robot"}),
        ({}, {"client_id": "robot", "client_secret": "guess"}),
        ({}, {"client_id": "nobody", "client_secret": "guess"}),
        ({"Authorization": "Basic !!!"}, {}),
        ({"Authorization": "Basic"}, {}),
        ({"Authorization": "Basic \u00e9"}, {}),
        ({"Authorization": "Basic /w=="}, {}),
        ({}, {"client_assertion_type": JWT_BEARER, "client_assertion": "x.y.z"}),
        ({}, {"client_assertion_type": "other", "client_assertion": "x.y.z"}),
    ],
)
async def test_what_proves_nothing(user: IamUser, headers: dict[str, str], form: dict[str, str]) -> None:
    answer = await user.send("POST", "token", data=FORM | form, headers=headers)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_two_methods_at_once(user: IamUser) -> None:
    answer = await user.token(FORM | {"client_secret": ROBOT.secret}, ROBOT)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("audience", [lambda url: f"{url}token", lambda url: url])
async def test_assertion(signer: IamUser, clock: Clock, audience: Callable[[str], str]) -> None:
    form = assertion(signer, clock.time, aud=audience(signer.iam.url))
    answer = await signer.token(form, None)
    assert answer.status == 200
    assert answer.claims["sub"] == "signer"


async def test_an_assertion_cannot_be_replayed(signer: IamUser, clock: Clock) -> None:
    form = assertion(signer, clock.time)
    assert (await signer.token(form, None)).status == 200
    assert (await signer.token(form, None)).json["error"] == "invalid_client"
    assert (await signer.token(assertion(signer, clock.time, jti="2"), None)).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "robot"},
        {"sub": "robot"},
        {"iss": None},
        {"aud": "https://elsewhere.example/token"},
        {"aud": None},
        {"jti": None},
        {"exp": None},
        {"exp": 1},
        {"exp": 1e12},
        {"exp": "soon"},
    ],
)
async def test_assertions_that_are_refused(signer: IamUser, clock: Clock, changes: dict[str, object]) -> None:
    answer = await signer.token(assertion(signer, clock.time, **changes), None)
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


async def test_an_assertion_by_another_key_or_algorithm(signer: IamUser, clock: Clock) -> None:
    claims = jwt.decode(assertion(signer, clock.time)["client_assertion"], options={"verify_signature": False})
    form = assertion(signer, clock.time)
    for key, algorithm in (
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        ("x" * 32, "HS256"),
    ):
        form["client_assertion"] = jwt.encode(claims, key, algorithm)
        assert (await signer.token(form, None)).json["error"] == "invalid_client"
    header, _, rest = assertion(signer, clock.time)["client_assertion"].partition(".")
    rs256 = jwt.utils.base64url_encode(b'{"alg":"RS256"}').decode()
    form["client_assertion"] = f"{rs256}.{rest}"
    assert header != rs256
    assert (await signer.token(form, None)).json["error"] == "invalid_client"


async def test_a_client_with_a_key_does_not_use_its_secret(signer: IamUser) -> None:
    answer = await signer.send("POST", "token", data=FORM, headers=basic(SIGNER))
    assert answer.json["error"] == "invalid_client"
