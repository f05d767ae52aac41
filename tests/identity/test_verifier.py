"""Which tokens are taken, and the code of each refusal."""

from __future__ import annotations

import gc
import hashlib
import hmac
import json
import tracemalloc
import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.identity.kit import (
    CLAIMS,
    LEEWAY,
    NOW,
    OURS,
    Key,
    Realm,
    base64url,
    compact,
    ed25519_key,
    es256,
    ps256,
    rs256,
)
from ttscache.errors import IssuerUnknownError, TokenError, TokenSignatureError
from ttscache.identity import verifier as verifier_module
from ttscache.identity.jws import MAX_TOKEN_BYTES
from ttscache.identity.settings import NO_AUDIENCE, TokenProfile
from ttscache.identity.verifier import token_digest
from ttscache.net.deadline import Deadline

ANY = "https://wlcg.cern.ch/jwt/v1/any"


async def refusal(realm: Realm, token: str) -> str:
    with pytest.raises(TokenError) as raised:
        await realm.verify(token)
    assert "\n" not in raised.value.message
    return raised.value.code


async def test_who_it_is(realm: Realm) -> None:
    claims: dict[str, Any] = {"wlcg.groups": ["/cms/production", "/cms"], "scope": "openid storage.read:/"}
    token = realm.token(client_id="demo", **claims)
    identity = await realm.verify(token)
    assert (identity.issuer, identity.subject, identity.client_id) == ("site", "jane", "demo")
    assert identity.groups == ("/cms/production", "/cms")
    assert identity.scopes == {"openid", "storage.read:/"}
    assert (identity.issued_at, identity.expires_at) == (NOW, NOW + 3600)
    assert identity.digest == token_digest(token) == hashlib.sha256(token.encode()).hexdigest()
    assert token not in repr(identity)


@pytest.mark.parametrize("key", [es256(), rs256(), ps256(), ed25519_key()], ids=lambda key: key.alg)
async def test_the_algorithms_of_the_list(realm: Realm, key: Key) -> None:
    realm.publish(key)
    assert (await realm.verify(realm.token(key=key))).subject == "jane"


class TestAlgorithms:
    async def test_not_on_the_issuers_list(self, realm: Realm) -> None:
        realm.configure({"algorithms": frozenset({"RS256"})})
        assert await refusal(realm, realm.token()) == "token_algorithm"
        assert realm.fetches == 0

    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "es256", "HS256", "ES256 "])
    async def test_names(self, realm: Realm, name: str) -> None:
        assert await refusal(realm, realm.token({"alg": name})) == "token_algorithm"

    @pytest.mark.parametrize("name", [None, 5, ["ES256"], {"a": "ES256"}, True, ...])
    async def test_what_is_no_name(self, realm: Realm, name: object) -> None:
        assert await refusal(realm, realm.token({"alg": name})) in {"token_algorithm", "token_malformed"}

    async def test_none_without_a_signature(self, realm: Realm) -> None:
        header, payload, _ = realm.token({"alg": "none"}).split(".")
        assert await refusal(realm, f"{header}.{payload}.") == "token_algorithm"

    @pytest.mark.parametrize("listed", [False, True])
    @pytest.mark.parametrize("form", [Encoding.PEM, Encoding.DER])
    async def test_hmac_with_the_public_key_as_the_secret(self, realm: Realm, form: Encoding, listed: bool) -> None:  # noqa: FBT001 - pytest passes by name
        if listed:  # even a configuration that allowed it would not let it happen
            realm.configure({"algorithms": frozenset({"RS256", "HS256"})})
        key = rs256()
        realm.publish(key)
        header, payload, _ = realm.token({"alg": "HS256"}, key=key).split(".")
        secret = key.private.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        signature = hmac.digest(secret, f"{header}.{payload}".encode(), "sha256")
        expected = "token_signature" if listed else "token_algorithm"
        assert await refusal(realm, f"{header}.{payload}.{base64url(signature)}") == expected

    async def test_an_algorithm_of_the_list_that_the_key_is_not_for(self, realm: Realm) -> None:
        realm.publish(rs256(), es256(kid="k2"))
        assert await refusal(realm, realm.token()) == "token_signature"
        unbound = {name: value for name, value in rs256().jwk.items() if name != "alg"}
        realm.publish(unbound)
        realm.configure({"algorithms": frozenset({"PS256", "RS512", "ES256"})})
        assert await refusal(realm, realm.token()) == "token_signature"


class TestHeader:
    @pytest.mark.parametrize(
        "header",
        [
            {"crit": ["exp"]},
            {"crit": []},
            {"crit": ["b64"], "b64": True},
            {"crit": ["b64"], "b64": False},
            {"b64": False},
            {"jwk": es256(1).jwk},
            {"jku": "https://evil.example/jwk"},
            {"x5u": "https://evil.example/x5u"},
            {"x5c": ["MIIB"]},
            {"typ": "dpop+jwt"},
            {"typ": "logout+jwt"},
            {"typ": 5},
            {"kid": 5},
            {"kid": ["k1"]},
            {"kid": "k" * 513},
        ],
        ids="-".join,
    )
    async def test_what_must_not_be_there(self, realm: Realm, header: dict[str, object]) -> None:
        assert await refusal(realm, realm.token(header)) == "token_malformed"
        assert realm.fetches == 0

    async def test_a_key_that_the_token_brings_along_verifies_nothing(self, realm: Realm) -> None:
        evil = es256(1)
        assert await refusal(realm, realm.token({"jwk": evil.jwk}, key=evil)) == "token_malformed"
        assert await refusal(realm, realm.token(key=evil)) == "token_signature"

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", ...])
    async def test_types_of_access_tokens(self, realm: Realm, typ: object) -> None:
        assert (await realm.verify(realm.token({"typ": typ}))).subject == "jane"


class TestTimes:
    @pytest.mark.parametrize(
        "exp", [..., None, True, "1900003600", [], {}, float("nan"), float("inf"), -1, -float("inf"), 2**40, 10**400]
    )
    async def test_what_is_no_end(self, realm: Realm, exp: object) -> None:
        assert await refusal(realm, realm.token(exp=exp)) == "token_malformed"

    @pytest.mark.parametrize("name", ["iat", "nbf"])
    @pytest.mark.parametrize("value", [None, True, "1900000000", float("nan"), -1, 10**400, []])
    async def test_what_is_no_beginning(self, realm: Realm, name: str, value: object) -> None:
        claims: dict[str, Any] = {name: value}
        assert await refusal(realm, realm.token(**claims)) == "token_malformed"

    @pytest.mark.parametrize("past, code", [(LEEWAY - 0.5, None), (LEEWAY, "token_expired"), (1e9, "token_expired")])
    async def test_the_end_and_its_leeway(self, realm: Realm, past: float, code: str | None) -> None:
        token = realm.token(exp=NOW - past, iat=NOW - past, nbf=...)
        assert await outcome(realm, token) == code

    @pytest.mark.parametrize("name", ["iat", "nbf"])
    @pytest.mark.parametrize("ahead, code", [(LEEWAY, None), (LEEWAY + 0.5, "token_not_yet_valid")])
    async def test_the_beginning_and_its_leeway(self, realm: Realm, name: str, ahead: float, code: str | None) -> None:
        claims: dict[str, Any] = {name: NOW + ahead}
        assert await outcome(realm, realm.token(**claims)) == code

    async def test_iat_and_nbf_may_be_missing(self, realm: Realm) -> None:
        assert (await realm.verify(realm.token(iat=..., nbf=...))).issued_at == 0.0


async def outcome(realm: Realm, token: str) -> str | None:
    try:
        await realm.verify(token)
    except TokenError as error:
        return error.code
    return None


class TestAudience:
    @pytest.mark.parametrize(
        "aud",
        [..., None, "", [], "https://other.example", OURS + "/", OURS.upper(), [OURS + "x"], f"{OURS} x", ANY, [ANY]],
    )
    async def test_not_ours(self, realm: Realm, aud: object) -> None:
        assert await refusal(realm, realm.token(aud=aud)) == "audience_mismatch"
        assert realm.fetches == 0

    @pytest.mark.parametrize("aud", [5, {"a": OURS}, [5], [OURS, None], [[OURS]], True])
    async def test_what_is_no_audience(self, realm: Realm, aud: object) -> None:
        assert await refusal(realm, realm.token(aud=aud)) == "token_malformed"

    @pytest.mark.parametrize(
        "listed, aud", [(OURS, ["https://other.example", OURS]), (ANY, ANY), (NO_AUDIENCE, ...), (NO_AUDIENCE, [])]
    )
    async def test_ours_and_what_is_listed(self, realm: Realm, listed: str, aud: object) -> None:
        realm.configure({"audiences": frozenset({listed})})
        assert (await realm.verify(realm.token(aud=aud))).subject == "jane"

    async def test_a_listed_absence_is_not_just_any_audience(self, realm: Realm) -> None:
        realm.configure({"audiences": frozenset({NO_AUDIENCE})})
        assert await refusal(realm, realm.token()) == "audience_mismatch"

    async def test_one_that_is_for_another_can_be_inspected_but_for_the_rest_it_must_hold(self, realm: Realm) -> None:
        deadline = Deadline.after(5.0)
        claims = await realm.verifier.inspect(realm.token(aud="https://other.example"), "site", deadline)
        assert claims["aud"] == "https://other.example"
        for token in (realm.token(key=es256(1)), realm.token(exp=NOW - 3600), realm.token({"alg": "none"})):
            with pytest.raises(TokenError):
                await realm.verifier.inspect(token, "site", deadline)
        with pytest.raises(IssuerUnknownError):
            await realm.verifier.inspect(realm.token(), "another", deadline)


class TestIssuer:
    async def test_to_the_letter(self, realm: Realm) -> None:
        for iss in (realm.url.rstrip("/"), realm.url + "/", realm.url.upper(), realm.url + " ", "https://evil.example"):
            assert await refusal(realm, realm.token(iss=iss)) == "issuer_unknown"
        assert not realm.server.seen

    @pytest.mark.parametrize("iss", [..., None, "", 5, ["x"], {}])
    async def test_what_is_no_issuer(self, realm: Realm, iss: object) -> None:
        assert await refusal(realm, realm.token(iss=iss)) == "token_malformed"

    async def test_it_may_differ_from_the_url_where_the_configuration_says_so(self, realm: Realm) -> None:
        realm.configure({"token_issuer": "https://tokens.example"})
        assert (await realm.verify(realm.token(iss="https://tokens.example"))).issuer == "site"
        assert await refusal(realm, realm.token()) == "issuer_unknown"

    async def test_two_with_one_iss_are_told_apart_by_the_audience(self, realm: Realm) -> None:
        other = "https://other.example"
        realm.configure(
            {"name": "first", "audiences": frozenset({"a", "b"})},
            {"name": "second", "audiences": frozenset({"c"}), "token_profile": TokenProfile.IAM},
            {"name": "third", "token_issuer": other, "audiences": frozenset({"a"})},
        )
        assert (await realm.verify(realm.token(aud="b"))).issuer == "first"
        assert (await realm.verify(realm.token(aud=["x", "c"], groups=["g"]))).groups == ("/g",)
        assert (await realm.verify(realm.token(aud="a", iss=other))).issuer == "third"
        assert await refusal(realm, realm.token(aud="d")) == "audience_mismatch"
        assert await refusal(realm, realm.token(aud="c", iss=other)) == "audience_mismatch"
        for name in ("first", "second"):
            assert await realm.verifier.inspect(realm.token(aud="x"), name, Deadline.after(5.0))

    async def test_a_key_of_another_configured_issuer_is_not_this_ones(self, realm: Realm) -> None:
        realm.configure({}, {"name": "other", "token_issuer": "https://other.example"})
        assert await refusal(realm, realm.token(key=es256(2), iss="https://other.example")) == "token_signature"


class TestForm:
    async def test_none_at_all(self, realm: Realm) -> None:
        assert await refusal(realm, "") == "token_missing"

    @pytest.mark.parametrize(
        "token",
        [
            "x",
            ".",
            "..",
            "...",
            "a.b.c",
            "a.b.c.d.e",
            "\x00",
            "é.é.é",
            "\ud800",
            "Bearer x.y.z",
            " ",
            "{}",
            "a" * 16384,
        ],
    )
    async def test_no_jwt(self, realm: Realm, token: str) -> None:
        assert await refusal(realm, token) == "token_malformed"

    async def test_truncated_anywhere(self, realm: Realm) -> None:
        token = realm.token()
        for length in range(1, len(token)):
            assert await refusal(realm, token[:length]) in {"token_malformed", "token_signature"}

    async def test_with_something_added(self, realm: Realm) -> None:
        token = realm.token()
        for changed in (token + ".", token + ".x", token + "A", "." + token, "A" + token):
            assert await refusal(realm, changed) in {"token_malformed", "token_signature"}

    async def test_any_change_of_what_is_signed(self, realm: Realm) -> None:
        header, payload, signature = realm.token().split(".")
        other = base64url(json.dumps({"iss": realm.url, **CLAIMS, "sub": "mallory"}).encode())
        assert await refusal(realm, f"{header}.{other}.{signature}") == "token_signature"
        wide = base64url(json.dumps({"alg": "ES256", "kid": "k1"}).encode())
        assert await refusal(realm, f"{wide}.{payload}.{signature}") == "token_signature"
        assert await refusal(realm, f"{header}.{payload}.") == "token_signature"

    async def test_size(self, realm: Realm) -> None:
        padding = MAX_TOKEN_BYTES - len(realm.token(x="")) - 10
        filled = realm.token(x="x" * (padding * 3 // 4))
        assert MAX_TOKEN_BYTES - 100 < len(filled) <= MAX_TOKEN_BYTES
        assert (await realm.verify(filled)).subject == "jane"
        assert await refusal(realm, realm.token(x="x" * MAX_TOKEN_BYTES)) == "token_malformed"
        assert await refusal(realm, "x" * 10_000_000) == "token_malformed"

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"5",
            b"{",
            b"\xff",
            b"[" * 10_000,
            b'{"a":' * 2_000,
            b'{"exp": ' + b"9" * 5_000 + b"}",
            b'{"iss": "x\x00"}',
            "{}".encode("utf-32"),
        ],
        ids=range(12),
    )
    async def test_claims_that_are_none(self, realm: Realm, payload: bytes) -> None:
        assert await refusal(realm, compact({"alg": "ES256", "kid": "k1"}, payload, realm.key)) == "token_malformed"

    @pytest.mark.parametrize("header", [[], "x", None, 5, {"alg": {"a": "b"}}, {}])
    async def test_headers_that_are_none(self, realm: Realm, header: object) -> None:
        payload = json.dumps({"iss": realm.url, **CLAIMS}).encode()
        assert await refusal(realm, compact(header, payload, realm.key)) in {"token_malformed", "token_algorithm"}

    async def test_a_deep_header(self, realm: Realm) -> None:
        token = realm.token()
        deep = base64url(b'{"alg": ' + b"[" * 10_000)
        assert await refusal(realm, f"{deep}.{token.split('.', 1)[1]}") == "token_malformed"

    async def test_number_of_claims(self, realm: Realm) -> None:
        room = 256 - len(CLAIMS) - 1
        claims: dict[str, Any] = {f"c{n}": n for n in range(room)}
        assert (await realm.verify(realm.token(**claims))).subject == "jane"
        assert await refusal(realm, realm.token(**claims, another=1)) == "token_malformed"

    async def test_of_a_repeated_claim_the_last_holds(self, realm: Realm) -> None:
        """RFC 7519 section 4: refuse, or take the lexically last."""
        body = json.dumps({"iss": realm.url, **CLAIMS})[:-1] + ', "sub": "joe", "aud": "https://other.example"}'
        token = compact({"alg": "ES256", "kid": "k1"}, body.encode(), realm.key)
        assert await refusal(realm, token) == "audience_mismatch"

    @pytest.mark.parametrize(
        "sub", [..., None, "", 5, ["jane"], "x" * 256, "a\x00b", "a\r\nb", "a\u202eb", "\ud800", "\x7f", "a\tb"]
    )
    async def test_subjects_that_are_none(self, realm: Realm, sub: object) -> None:
        assert await refusal(realm, realm.token(sub=sub)) == "token_malformed"

    async def test_the_longest_subject(self, realm: Realm) -> None:
        assert (await realm.verify(realm.token(sub="x" * 255))).subject == "x" * 255

    @pytest.mark.parametrize(
        "claims",
        [
            {"wlcg.groups": {"a": 1}},
            {"wlcg.groups": [1]},
            {"wlcg.groups": ["/g"] * 1001},
            {"wlcg.groups": "g" * 1025},
            {"scope": 5},
            {"scope": [5]},
            {"entitlements": [[]]},
        ],
        ids=str,
    )
    async def test_claims_of_another_form(self, realm: Realm, claims: dict[str, Any]) -> None:
        assert await refusal(realm, realm.token(**claims)) == "token_malformed"


class TestRemembering:
    async def test_until_the_end(self, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
        token = realm.token()
        first = await realm.verify(token)
        await realm.issuer.jwks.close()
        realm.clock.time = NOW + 3600 + LEEWAY - 1
        assert await realm.verify(token) is first
        realm.clock.time += 1
        assert await refusal(realm, token) == "token_expired"

    @pytest.mark.parametrize("claims", [{"nbf": ...}, {"iat": ...}, {}])
    async def test_the_clock_jumps_back_and_forth(self, realm: Realm, claims: dict[str, Any]) -> None:
        token = realm.token(**claims)
        await realm.verify(token)
        realm.clock.time = NOW - LEEWAY - 1
        assert await refusal(realm, token) == "token_not_yet_valid"
        realm.clock.time = NOW + 1e6
        assert await refusal(realm, token) == "token_expired"
        realm.clock.time = NOW
        assert (await realm.verify(token)).subject == "jane"
        assert realm.fetches == 1

    async def test_a_token_is_another_with_any_other_letter(self, realm: Realm) -> None:
        token = realm.token()
        await realm.verify(token)
        assert await refusal(realm, token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")) == "token_signature"

    async def test_a_refused_token_is_not_remembered(self, realm: Realm) -> None:
        token = realm.token(key=es256(1))
        for _ in range(2):
            with pytest.raises(TokenSignatureError):
                await realm.verify(token)
        assert not realm.verifier._remembered

    async def test_no_more_than_so_many(self, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verifier_module, "_MAX_REMEMBERED", 3)
        for number in range(10):
            await realm.verify(realm.token(jti=number))
        assert len(realm.verifier._remembered) == 3

    async def test_one_that_is_remembered_takes_little_room(self, realm: Realm) -> None:
        """What many tokens have in common is kept once."""
        many = 200
        tokens = [realm.token(key=realm.key, **_usual_claims(number)) for number in range(many + 1)]
        await realm.verify(tokens.pop())
        gc.collect()
        tracemalloc.start()
        for token in tokens:
            await realm.verify(token)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert taken / many < 2048

    async def test_those_that_have_ended_make_room(self, realm: Realm) -> None:
        for number in range(5):
            await realm.verify(realm.token(jti=number))
        realm.clock.time = NOW + 4000
        await realm.verify(realm.token(exp=NOW + 8000))
        assert len(realm.verifier._remembered) == 1


def _usual_claims(number: int) -> dict[str, Any]:
    return {
        "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, f"sub {number}")),
        "jti": str(uuid.uuid5(uuid.NAMESPACE_URL, f"jti {number}")),
        "client_id": "demo",
        "preferred_username": f"user{number}",
        "scope": "openid profile offline_access wlcg wlcg.groups",
        "wlcg.ver": "1.0",
        "wlcg.groups": ["/cms", "/cms/production"],
    }


async def test_keys_on_other_curves_are_not_for_the_algorithm(realm: Realm) -> None:
    p384 = ec.generate_private_key(ec.SECP384R1())
    realm.publish({**Key("ES384", p384).jwk, "alg": "ES256"})
    assert await refusal(realm, realm.token()) == "token_signature"


async def test_a_cluster_s_token_ends_when_its_pod_was_to_have_the_next(realm: Realm) -> None:
    """Asked for 3607 seconds, an API server makes one of a year, and says by `warnafter` what it was asked for."""
    realm.configure({"token_profile": TokenProfile.KUBERNETES})
    bound = {
        "namespace": "cms-site", "pod": {"name": "wn-0", "uid": "0b5c"}, "serviceaccount": {"name": "wn"},
        "warnafter": NOW + 3607,
    }  # fmt: skip
    year: dict[str, Any] = {
        "sub": "system:serviceaccount:cms-site:wn",
        "exp": NOW + 365 * 86400,
        "kubernetes.io": bound,
    }
    token = realm.token(**year)
    assert (await realm.verify(token)).expires_at == NOW + 3607
    realm.clock.time = NOW + 3607 + LEEWAY
    assert await refusal(realm, token) == "token_expired"
