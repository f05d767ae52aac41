"""The issuer's keys: which are taken, when they are fetched, and what becomes of those that are gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.identity import kit
from tests.identity.kit import DISCOVERY, JWKS, NOW, Key, Realm, es256, rs256
from ttscache.errors import IssuerUnreachableError, TokenError, TokenSignatureError
from ttscache.identity import discovery, jwks
from ttscache.identity.jwks import parse_jwks
from ttscache.net.deadline import Deadline

SYMMETRIC = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ", "kid": "k1", "alg": "HS256"}
TINY_CURVE = {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k1"}


@pytest.fixture
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not known may be asked for at once."""
    monkeypatch.setattr(jwks, "_REFETCH_WINDOW", 0.0)
    monkeypatch.setattr(jwks, "backoff", lambda _: 0.0)


@pytest.fixture
def always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_FRESH_FOR", -1.0)


async def settled(realm: Realm) -> None:
    """Wait for what runs behind the scenes."""
    if realm.issuer.jwks._renewal.under_way:
        await realm.issuer.jwks._renewal.join(Deadline.after(5.0))


class TestWhichAreTaken:
    @pytest.mark.parametrize(
        "entry",
        [
            rs256(1024).jwk,
            SYMMETRIC,
            TINY_CURVE,
            {**es256().jwk, "use": "enc"},
            {**es256().jwk, "use": []},
            {**es256().jwk, "key_ops": ["encrypt"]},
            {**es256().jwk, "kid": 5},
            {**es256().jwk, "alg": 5},
            {**es256().jwk, "alg": "HS256"},
            {**es256().jwk, "alg": "nonsense"},
            {**es256().jwk, "kty": []},
            {**es256().jwk, "kty": {}},
            {**es256().jwk, "crv": []},
            {**es256().jwk, "x": 5},
            {**es256().jwk, "x": "AAAA"},
            {**es256().jwk, "x": None},
            {**rs256().jwk, "e": ""},
            {**rs256().jwk, "e": "AQ"},
            {**rs256().jwk, "n": "\ud800"},
            {**rs256().jwk, "n": "A" * 200_000},
            {},
            {"kty": "RSA"},
        ],
        ids=range(22),
    )
    async def test_not_these(self, realm: Realm, entry: dict[str, Any]) -> None:
        assert parse_jwks({"keys": [entry]}) == ()
        # beside a good key they do no harm
        realm.publish(entry, realm.key)
        assert (await realm.verify(realm.token())).subject == "jane"

    @pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": None}, {"keys": [{}] * 101}, "x"])
    def test_what_is_no_set(self, document: object) -> None:
        with pytest.raises(ValueError, match="not a JWK set"):
            parse_jwks(document)

    def test_what_is_no_key_among_keys(self) -> None:
        assert len(parse_jwks({"keys": [None, 5, "x", [], es256().jwk]})) == 1

    def test_of_a_private_key_that_is_published_the_public_half(self) -> None:
        (key,) = parse_jwks({"keys": [es256().jwk | {"d": "AAAA"}]})
        assert not hasattr(key.key, "private_numbers")

    async def test_a_set_with_nothing_but_symmetric_keys_is_none(self, realm: Realm) -> None:
        realm.publish(SYMMETRIC)
        with pytest.raises(IssuerUnreachableError, match="no usable key"):
            await realm.verify(realm.token())

    async def test_two_keys_of_one_name_are_not_tried_out(self, realm: Realm) -> None:
        realm.publish(es256(1), realm.key)
        with pytest.raises(TokenSignatureError, match="several keys"):
            await realm.verify(realm.token())

    async def test_two_of_one_name_for_two_algorithms_are_told_apart(self, realm: Realm) -> None:
        realm.publish(rs256(), realm.key)
        assert (await realm.verify(realm.token())).subject == "jane"

    async def test_without_a_name_one_key_will_do_and_two_will_not(self, realm: Realm) -> None:
        assert (await realm.verify(realm.token({"kid": ...}))).subject == "jane"
        realm.publish(realm.key, es256(1, "k2"))
        realm.configure()
        with pytest.raises(TokenSignatureError, match="several keys"):
            await realm.verify(realm.token({"kid": ...}))

    async def test_hundreds_of_keys_are_refused_and_those_known_are_kept(self, realm: Realm, no_window: None) -> None:
        await realm.verify(realm.token())
        realm.publish(*(es256(0, f"many{n}") for n in range(500)))
        with pytest.raises(IssuerUnreachableError):
            await realm.verify(realm.token({"kid": "unknown"}))
        assert (await realm.verify(realm.token(jti=2))).subject == "jane"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"]), json_values)
)
def test_any_key_is_taken_or_left_out(changes: dict[str, Any]) -> None:
    for good in (es256().jwk, rs256().jwk, kit.ed25519_key().jwk):
        assert len(parse_jwks({"keys": [good | changes]})) <= 1


@given(json_values)
def test_any_document_is_a_set_or_none(document: object) -> None:
    for candidate in (document, {"keys": document}, {"keys": [document]}):
        try:
            parse_jwks(candidate)
        except ValueError:
            continue


class TestWhenTheyAreFetched:
    async def test_once_for_many_at_once(self, realm: Realm) -> None:
        await asyncio.gather(*(realm.verify(realm.token(jti=n)) for n in range(100)))
        assert realm.fetches == realm.server.seen[DISCOVERY] == 1

    async def test_a_storm_of_unknown_names_is_one_fetch_in_a_window(self, realm: Realm) -> None:
        good = realm.token()
        await realm.verify(good)
        for wave in range(3):
            tokens = [realm.token({"kid": f"storm{wave}-{n}"}) for n in range(200)]
            outcomes = await asyncio.gather(*(realm.verify(token) for token in tokens), return_exceptions=True)
            assert {getattr(outcome, "code", None) for outcome in outcomes} == {"token_signature"}
        assert realm.fetches == 1
        assert (await realm.verify(realm.token(jti=2))).subject == "jane"

    async def test_the_next_window_is_one_more(self, realm: Realm) -> None:
        await realm.verify(realm.token())
        realm.issuer.jwks._next_fetch = 0.0  # the window is over
        tokens = [realm.token({"kid": f"storm{n}"}) for n in range(200)]
        await asyncio.gather(*(realm.verify(token) for token in tokens), return_exceptions=True)
        assert realm.fetches == 2
        assert (await realm.verify(realm.token(jti=2))).subject == "jane"

    async def test_callers_that_ask_and_hang_up_do_not_get_round_the_window(self, realm: Realm) -> None:
        await realm.verify(realm.token())
        asked, released = asyncio.Event(), asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            asked.set()
            await released.wait()
            return web.json_response({"keys": [realm.key.jwk]})

        realm.server.answers[JWKS] = slow
        realm.issuer.jwks._next_fetch = 0.0
        for number in range(20):
            caller = asyncio.create_task(realm.verify(realm.token({"kid": f"storm{number}"})))
            await asked.wait()
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
        with pytest.raises(IssuerUnreachableError, match="in time"):
            await realm.verify(realm.token({"kid": "hurried"}), 0.01)
        released.set()
        await settled(realm)
        assert realm.fetches == 2
        with pytest.raises(TokenSignatureError):
            await realm.verify(realm.token({"kid": "after"}))
        assert realm.fetches == 2

    async def test_a_known_name_asks_for_nothing(self, realm: Realm) -> None:
        for number in range(10):
            await realm.verify(realm.token(jti=number))
        assert realm.fetches == 1

    async def test_old_keys_are_renewed_and_nobody_waits_for_it(self, realm: Realm, always_stale: None) -> None:
        await realm.verify(realm.token())
        released = asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            await released.wait()
            return web.json_response({"keys": [realm.key.jwk]})

        realm.server.answers[JWKS] = slow
        realm.issuer.jwks._next_fetch = 0.0
        for number in range(10):
            assert (await realm.verify(realm.token(jti=number), 1.0)).subject == "jane"
        released.set()
        await settled(realm)
        assert realm.fetches == 2

    async def test_a_remembered_token_keeps_the_keys_fresh_too(
        self, realm: Realm, always_stale: None, no_window: None
    ) -> None:
        token = realm.token()
        await realm.verify(token)
        realm.publish(es256(1, "k2"))
        await realm.verify(token)
        await settled(realm)
        with pytest.raises(TokenSignatureError):
            await realm.verify(token)


class TestRotation:
    async def test_a_new_key_is_found_at_once(self, realm: Realm, no_window: None) -> None:
        await realm.verify(realm.token())
        new = es256(1, "k2")
        realm.publish(new, realm.key)
        assert (await realm.verify(realm.token(key=new))).subject == "jane"
        assert (await realm.verify(realm.token(jti=2))).subject == "jane"

    @pytest.mark.parametrize("kid", ["k2", "k1"])
    async def test_tokens_of_a_key_that_is_gone_are_remembered_no_more(
        self, realm: Realm, no_window: None, kid: str
    ) -> None:
        """Also when the new key has the name of the old one, or none has any."""
        token = realm.token()
        await realm.verify(token)
        new = Key("ES256", es256(7).private, kid)
        realm.publish(new)
        with pytest.raises(TokenError):
            await realm.verify(realm.token({"kid": "unknown"}))
        with pytest.raises(TokenSignatureError):
            await realm.verify(token)
        assert (await realm.verify(realm.token(key=new))).subject == "jane"

    async def test_tokens_of_a_key_that_stays_are_verified_anew(self, realm: Realm, no_window: None) -> None:
        kept, gone = es256(1, "k2"), realm.key
        realm.publish(kept, gone)
        token = realm.token(key=kept)
        first = await realm.verify(token)
        realm.publish(kept)
        with pytest.raises(TokenSignatureError):
            await realm.verify(realm.token({"kid": "unknown"}))
        again = await realm.verify(token)
        assert again is not first
        assert again.subject == "jane"

    async def test_a_key_that_is_added_disturbs_nothing(self, realm: Realm, no_window: None) -> None:
        token = realm.token()
        first = await realm.verify(token)
        realm.publish(realm.key, es256(1, "k2"))
        await realm.verify(realm.token(key=es256(1, "k2")))
        assert await realm.verify(token) is first


class TestWhenTheyCannotBeHad:
    @pytest.mark.parametrize(
        "body", ["<html>", "", "null", "[]", '{"keys": 5}', "[" * 100_000, '{"keys": [' + "9" * 5000, "x" * 600_000]
    )
    async def test_garbage(self, realm: Realm, no_window: None, body: str) -> None:
        good = realm.token()
        await realm.verify(good)
        realm.server.say(JWKS, body)
        with pytest.raises(IssuerUnreachableError) as raised:
            await realm.verify(realm.token({"kid": "unknown"}))
        assert raised.value.retry_after > 0
        assert "<" not in raised.value.message
        # what is known is kept
        assert (await realm.verify(realm.token(jti=2))).subject == "jane"
        realm.publish(realm.key, es256(1, "k2"))
        assert (await realm.verify(realm.token(key=es256(1, "k2")))).subject == "jane"

    @pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
    async def test_statuses(self, realm: Realm, status: int) -> None:
        realm.server.say(JWKS, {"keys": [realm.key.jwk]}, status=status)
        with pytest.raises(IssuerUnreachableError, match=str(status)):
            await realm.verify(realm.token())

    async def test_a_failure_is_remembered_for_a_moment(self, realm: Realm) -> None:
        realm.server.say(JWKS, status=503)
        outcomes = [
            outcome
            for _ in range(5)
            for outcome in await asyncio.gather(
                *(realm.verify(realm.token()) for _ in range(20)), return_exceptions=True
            )
        ]
        assert {type(outcome) for outcome in outcomes} == {IssuerUnreachableError}
        assert realm.fetches <= 2

    async def test_very_old_keys_are_forgotten_with_all_that_rests_on_them(
        self, realm: Realm, always_stale: None, no_window: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = realm.token()
        await realm.verify(token)
        realm.server.say(JWKS, status=503)
        await realm.verify(token)
        await settled(realm)
        monkeypatch.setattr(jwks, "_KEEP_FOR", -1.0)
        # not one more token, not even a remembered one, while the fetch goes on behind
        with pytest.raises(IssuerUnreachableError):
            await realm.verify(token)
        assert not realm.issuer.jwks.usable
        assert not await realm.issuer.is_reachable(Deadline.after(5.0))
        monkeypatch.undo()
        realm.publish(realm.key)
        assert await realm.issuer.is_reachable(Deadline.after(5.0))
        assert (await realm.verify(token)).expires_at == NOW + 3600

    async def test_keys_come_from_where_discovery_says_now(
        self, realm: Realm, no_window: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(discovery, "_FRESH_FOR", -1.0)
        await realm.verify(realm.token())
        realm.server.say("/elsewhere", {"keys": [es256(1, "k2").jwk]})
        realm.say_document(jwks_uri=realm.server.url + "/elsewhere")
        assert await realm.issuer.is_reachable(Deadline.after(5.0))
        assert (await realm.verify(realm.token(key=es256(1, "k2")))).subject == "jane"


def test_a_set_of_a_hundred_keys_fits() -> None:
    assert len(parse_jwks(json.loads(json.dumps({"keys": [es256(0, f"k{n}").jwk for n in range(100)]})))) == 100
