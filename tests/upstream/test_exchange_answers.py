"""What comes back from an exchange is inspected: no word is taken for it."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from tests.net.loopback import Loopback
from tests.sandbox.iam_client import USERS
from tests.upstream.desk import Desk, Witness
from ttscache.errors import ExchangeRefusedError, UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.sandbox.iam import Fault
from ttscache.upstream.token_endpoint import TokenAnswer

JANE = USERS[0].sub
AUDIENCE = "https://ttscache.example"


async def expiry(desk: Desk, fault: Fault | None = None, subject: str = JANE, **settings: Any) -> tuple[float, float]:  # noqa: ANN401 - settings
    """Exchange at an IAM with this fault; return `exp` and what was made of it."""
    issuer = desk.exchanging(**settings)
    if fault is not None:
        desk.iam.faults.add(fault)
    deadline = Deadline.after(5.0)
    answer = await issuer.endpoint.exchange(desk.iam.token_for("jane"), deadline)
    ends = (await issuer.inspected(answer, subject, time.time(), deadline)).expires_at
    return jwt.decode(answer.access_token, options={"verify_signature": False})["exp"], ends


async def test_an_honest_answer(desk: Desk) -> None:
    exp, ends = await expiry(desk)
    assert exp - 5 <= ends <= exp


async def test_with_an_audience(desk: Desk) -> None:
    exp, ends = await expiry(desk, audience=AUDIENCE)
    assert exp - 5 <= ends <= exp


@pytest.mark.parametrize(
    "fault, settings, words",
    [
        ({"claims": {"sub": "mallory"}}, {}, "another subject"),
        ({"claims": {"sub": JANE.upper()}}, {}, "another subject"),
        ({"omit_claims": ("sub",)}, {}, "token_malformed"),
        ({"claims": {"iss": "https://evil.example/"}}, {}, "issuer_unknown"),
        ({"claims": {"aud": "https://other.example"}}, {"audience": AUDIENCE}, "another audience"),
        ({"claims": {"aud": [AUDIENCE, "https://other.example"]}}, {"audience": AUDIENCE}, "another audience"),
        ({"omit_claims": ("aud",)}, {"audience": AUDIENCE}, "another audience"),
        ({"claims": {"aud": 5}}, {"audience": AUDIENCE}, "token_malformed"),
        ({"claims": {"scope": "openid storage.modify:/"}}, {}, "more scopes"),
        ({"claims": {"scope": "openid wlcg.groups.x"}}, {}, "more scopes"),
        ({"claims": {"scope": "storage.read:/cmsx"}}, {"scopes": ("openid", "storage.read:/cms")}, "more scopes"),
        ({"claims": {"scope": "storage.read:/cms/../x"}}, {"scopes": ("openid", "storage.read:/cms")}, "more scopes"),
        ({"claims": {"scope": "storage.read:/"}}, {"scopes": ("openid", "storage.read:/cms")}, "more scopes"),
        ({"answer": {"scope": "openid offline_access storage.modify:/"}}, {}, "more scopes"),
        ({"opaque": True}, {}, "token_malformed"),
        ({"omit_claims": ("exp",)}, {}, "token_malformed"),
        ({"answer": {"access_token": "eyJhbGciOiJub25lIn0.e30."}}, {}, "token_malformed"),
    ],
    ids=str,
)
async def test_what_is_not_as_asked(
    desk: Desk, witness: Witness, fault: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ExchangeRefusedError, match=words) as raised:
        await expiry(desk, Fault(**fault), **settings)
    assert raised.value.message.endswith("tell its administrators")
    assert raised.value.code == "exchange_refused"
    witness.saw_none_of(("mallory", "evil.example", "other.example"), raised.value)


@pytest.mark.parametrize(
    "fault, words",
    [
        ({"signed_by": "unknown"}, "none of the keys"),
        ({"claims": {"exp": 1}}, "not valid now"),
        ({"claims": {"nbf": 2**39}}, "not valid now"),
    ],
    ids=str,
)
async def test_what_speaks_of_a_clock_or_a_new_key_is_not_taken_and_ends_nothing(
    desk: Desk, fault: dict[str, Any], words: str
) -> None:
    with pytest.raises(UpstreamUnavailableError, match=words):
        await expiry(desk, Fault(**fault))


@pytest.mark.parametrize(
    "fault, settings",
    [
        ({"claims": {"scope": "openid"}}, {}),
        ({"omit_claims": ("scope",), "omit": ("scope",)}, {}),
        ({"claims": {"scope": "openid wlcg.groups:/cms"}}, {}),
        (
            {"claims": {"scope": "storage.read:/cms/x"}, "answer": {"scope": "openid"}},
            {"scopes": ("openid", "storage.read:/")},
        ),
        ({"claims": {"scope": "anything at all"}}, {"scopes": ()}),
        ({"claims": {"aud": [AUDIENCE]}}, {"audience": AUDIENCE}),
        ({"claims": {"aud": "a"}}, {"audience": "a b"}),
        ({"claims": {"aud": "https://other.example"}}, {}),
        ({"answer": {"issued_token_type": "urn:ietf:params:oauth:token-type:saml2"}}, {}),
        ({"answer": {"token_type": None, "refresh_token": None}}, {}),
    ],
    ids=str,
)
async def test_as_asked_or_narrower(desk: Desk, fault: dict[str, Any], settings: dict[str, Any]) -> None:
    assert await expiry(desk, Fault(**fault), **settings)


@pytest.mark.parametrize(
    "expires_in, seconds",
    [(60, 60), ("60", 60), (999999, 3600), (None, 3600), (-5, 3600), (0, 0), (10**300, 3600), ("soon", 3600)],
)
async def test_the_end_is_the_earlier_one(desk: Desk, expires_in: object, seconds: int) -> None:
    exp, ends = await expiry(desk, Fault(answer={"expires_in": expires_in}))
    assert abs(ends - (exp - 3600 + seconds)) < 5


async def test_a_refresh_is_inspected_too(desk: Desk) -> None:
    issuer, deadline = desk.exchanging(), Deadline.after(5.0)
    answer = await issuer.endpoint.exchange(desk.iam.token_for("jane"), deadline)
    assert answer.refresh_token is not None
    desk.iam.faults.add(Fault(grant="refresh_token", claims={"sub": "mallory"}))
    refreshed = await issuer.endpoint.refresh(answer.refresh_token, deadline)
    with pytest.raises(ExchangeRefusedError, match="another subject"):
        await issuer.inspected(refreshed, JANE, time.time(), deadline)


async def test_a_token_that_is_echoed_back_by_a_stranger(desk: Desk, stranger: Loopback) -> None:
    """It is a good token of the subject's, but has more scopes than were asked for."""
    token = desk.iam.token_for("jane", scope="openid compute.modify")
    stranger.say("/token", {"access_token": token})
    issuer = desk.exchanging(desk.endpoint(stranger.url + "/token"))
    answer = await issuer.endpoint.exchange(token, Deadline.after(5.0))
    with pytest.raises(ExchangeRefusedError, match="more scopes"):
        await issuer.inspected(answer, JANE, time.time(), Deadline.after(5.0))


def test_an_answer_does_not_show_its_tokens() -> None:
    assert "planted" not in repr(TokenAnswer("planted", None, None, "planted"))
