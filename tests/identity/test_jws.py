"""A token is taken apart as PyJWT would, only faster and by the letter of the RFCs: compared, and the differences."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.exceptions import InvalidSignatureError, PyJWTError
from jwt.utils import raw_to_der_signature

from tests.identity.kit import CLAIMS, Key, base64url, compact, ed25519_key, es256, ps256, rs256
from ttscache.errors import TokenError, TokenMalformedError, TokenSignatureError
from ttscache.identity import jws
from ttscache.identity.settings import ALGORITHMS

KEYS = {key.alg: key for key in (es256(), rs256(), ps256(), ed25519_key())}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BODY = json.dumps(dict(CLAIMS)).encode()
_PYJWT = jwt.PyJWS()

many = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
keys = st.sampled_from(list(KEYS.values()))


def ours(token: str, key: Key) -> str | None:
    """Return the code of the refusal, None when the token is taken."""
    try:
        parsed = jws.parse(token)
        if parsed.header.get("alg") != key.alg:
            return "token_algorithm"
        jws.require_signature(parsed, key.alg, key.private.public_key())
    except TokenError as error:
        return error.code
    return None


def pyjwts(token: str, key: Key) -> str | None:
    """Return the code by PyJWT's decoder, which takes the token apart once for the claims and once to verify it."""
    if not token:
        return "token_missing"
    if len(token) > jws.MAX_TOKEN_BYTES:
        return "token_malformed"
    try:
        decoded = _PYJWT.decode_complete(token, options={"verify_signature": False})
        claims = json.loads(decoded["payload"])
    except (PyJWTError, ValueError, RecursionError, TypeError, AttributeError):
        return "token_malformed"
    if not isinstance(claims, dict) or len(claims) > jws.MAX_CLAIMS:
        return "token_malformed"
    return "token_algorithm" if decoded["header"].get("alg") != key.alg else _pyjwts_signature(token, key)


def _pyjwts_signature(token: str, key: Key) -> str | None:
    try:
        _PYJWT.decode(token, key.private.public_key(), algorithms=[key.alg])
    except InvalidSignatureError:
        return "token_signature"
    except (PyJWTError, ValueError, TypeError):
        return "token_malformed"
    return None


def agree(token: str, key: Key) -> None:
    """The same code, unless PyJWT takes what RFC 7515 section 2 (padding) or RFC 7519 section 7.2 (UTF-8) does not."""
    expected, got = pyjwts(token, key), ours(token, key)
    if expected != got:
        assert got == "token_malformed"
        assert "=" in token or not _is_plain_utf8(token)
    if got is None:
        assert jws.parse(token).header == jwt.get_unverified_header(token)


def _is_plain_utf8(token: str) -> bool:
    try:
        texts = [base64.urlsafe_b64decode(part + "==").decode() for part in token.split(".")[:2]]
    except ValueError:
        return False
    # UTF-16 of ASCII is UTF-8 as well, of which every second character is NUL
    return not any(text.startswith("\ufeff") or "\0" in text for text in texts)


def good(key: Key, header: Mapping[str, Any] | None = None, payload: bytes = BODY) -> str:
    return compact({"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}, payload, key)


GOOD = {name: good(key) for name, key in KEYS.items()}
letters = st.characters() | st.sampled_from(ALPHABET + "=.+/ \t\r\n\0")
Mutation = Callable[[str], str]


def _replaced(position: int, letter: str) -> Mutation:
    return lambda token: token[: position % (len(token) + 1)] + letter + token[position % (len(token) + 1) + 1 :]


def _inserted(position: int, text: str) -> Mutation:
    return lambda token: token[: position % (len(token) + 1)] + text + token[position % (len(token) + 1) :]


def _of_a_segment(number: int, change: Mutation) -> Mutation:
    def changed(token: str) -> str:
        segments = token.split(".")
        segments[number % len(segments)] = change(segments[number % len(segments)])
        return ".".join(segments)

    return changed


def _rearranged(order: list[int]) -> Mutation:
    return lambda token: ".".join(token.split(".")[number % (token.count(".") + 1)] for number in order)


def _bit_flipped(position: int) -> Mutation:
    def changed(segment: str) -> str:
        try:
            decoded = bytearray(base64.urlsafe_b64decode(segment + "=="))
        except ValueError:
            return segment
        if decoded:
            decoded[position // 8 % len(decoded)] ^= 1 << position % 8
        return base64url(bytes(decoded))

    return changed


positions = st.integers(0, 5000)
segments = st.integers(0, 2)
segment_changes = st.one_of(
    st.integers(0, 4).map(lambda count: lambda segment: segment + "=" * count),
    st.sampled_from(ALPHABET).map(lambda letter: lambda segment: segment[:-1] + letter),
    positions.map(lambda length: lambda segment: segment[:length]),
    positions.map(_bit_flipped),
    st.sampled_from([str.upper, lambda segment: "", lambda segment: segment * 2]),
    st.just(lambda segment: segment.replace("-", "+").replace("_", "/")),
)
mutations = st.one_of(
    st.builds(_replaced, positions, letters),
    st.builds(_inserted, positions, letters | st.text(max_size=3)),
    st.builds(_of_a_segment, segments, segment_changes),
    st.builds(_rearranged, st.lists(segments, max_size=5)),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
header_changes = st.fixed_dictionaries(
    {},
    optional={
        "alg": json_values | st.sampled_from([*ALGORITHMS, "none", "HS256"]),
        "kid": json_values,
        "typ": json_values,
        "b64": st.booleans() | json_values,
        "crit": st.lists(st.sampled_from(["b64", "exp", "kid"]), max_size=2) | json_values,
        "jwk": json_values,
    },
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be", "latin-1"])


@many
@given(keys, st.lists(mutations, min_size=1, max_size=3))
def test_a_token_that_was_changed(key: Key, changes: list[Mutation]) -> None:
    token = GOOD[key.alg]
    for change in changes:
        token = change(token)
    agree(token, key)
    assert token == GOOD[key.alg] or ours(token, key) is not None


@many
@given(keys, header_changes)
def test_a_header_of_any_kind_that_is_signed(key: Key, header: dict[str, Any]) -> None:
    agree(good(key, header), key)


@many
@given(keys, json_values | st.dictionaries(st.text(max_size=5), json_values), encodings)
def test_claims_of_any_kind_that_are_signed(key: Key, claims: object, encoding: str) -> None:
    text = json.dumps(claims, ensure_ascii=encoding == "latin-1")
    agree(good(key, payload=text.encode(encoding, errors="surrogatepass")), key)


@many
@given(keys, st.binary(max_size=40) | st.sampled_from([b'{"a":1,"a":2}', b'{"a":NaN}', b"{} ", b"\xef\xbb\xbf{}"]))
def test_bytes_of_any_kind_that_are_signed(key: Key, payload: bytes) -> None:
    agree(good(key, payload=payload), key)


@many
@given(keys, st.binary(max_size=300))
def test_a_signature_of_any_kind(key: Key, signature: bytes) -> None:
    agree(GOOD[key.alg].rsplit(".", 1)[0] + "." + base64url(signature), key)


@many
@given(st.text() | st.lists(st.text(st.sampled_from(ALPHABET)), max_size=4).map(".".join))
def test_any_text(text: str) -> None:
    agree(text, KEYS["ES256"])


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_what_is_signed_by_another_key_or_for_another_algorithm(key: Key) -> None:
    assert ours(GOOD[key.alg], key) is None
    assert ours(good(Key(key.alg, _another(key))), key) == "token_signature"
    for other in KEYS.values():
        if other.alg != key.alg:
            agree(good(other, {"alg": key.alg}), key)
            assert ours(good(other, {"alg": key.alg}), key) == "token_signature"


def _another(key: Key) -> Any:  # noqa: ANN401 - of any of three types
    if isinstance(key.private, rsa.RSAPrivateKey):
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if key.alg == "EdDSA" else ec.generate_private_key(ec.SECP256R1())


def test_an_ecdsa_signature_in_der_is_none() -> None:
    signed, signature = GOOD["ES256"].rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    token = f"{signed}.{base64url(raw_to_der_signature(raw, ec.SECP256R1()))}"
    assert ours(token, KEYS["ES256"]) == pyjwts(token, KEYS["ES256"]) == "token_signature"


@pytest.mark.parametrize("length, accepted", [(1, 0), (2, 4), (3, 16), (4, 64)])
def test_each_last_letter_of_a_segment(length: int, accepted: int) -> None:
    """RFC 4648 section 3.5: the bits that stand for nothing are zero, else one token has several spellings."""
    head = GOOD["ES256"].rsplit(".", 1)[0]
    taken = 0
    for letter in ALPHABET:
        token = f"{head}.{'A' * (length - 1)}{letter}"
        agree(token, KEYS["ES256"])
        taken += ours(token, KEYS["ES256"]) == "token_signature"
    assert taken == accepted


@pytest.mark.parametrize("segment", range(3))
@pytest.mark.parametrize("addition", ["=", "==", "===", "\n", " ", "+", "/", "%", "\0", "é", "\u0661", "\ud800"])
def test_what_is_no_base64url(segment: int, addition: str) -> None:
    segments = GOOD["RS256"].split(".")
    segments[segment] += addition
    assert ours(".".join(segments), KEYS["RS256"]) == "token_malformed"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"])
def test_json_in_another_encoding(encoding: str) -> None:
    """RFC 7515 section 5.2 and RFC 7519 section 7.2 say UTF-8, and RFC 8259 section 8.1 no byte order mark."""
    key = KEYS["ES256"]
    header, payload = (json.dumps(part).encode(encoding) for part in ({"alg": "ES256"}, dict(CLAIMS)))
    assert ours(good(key, payload=payload), key) == "token_malformed"
    _, rest = GOOD["ES256"].split(".", 1)
    assert ours(f"{base64url(header)}.{rest}", key) == "token_malformed"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256K", "", "rs256"])
def test_algorithms_that_are_never_used(algorithm: str) -> None:
    """Not even where a configuration lists them."""
    assert jws._METHODS.keys() == set(ALGORITHMS)
    parsed = jws.parse(good(KEYS["RS256"], {"alg": algorithm}))
    with pytest.raises(TokenMalformedError):
        jws.require_signature(parsed, algorithm, KEYS["RS256"].private.public_key())


@pytest.mark.parametrize(
    "algorithm, other",
    [
        ("RS256", es256()),
        ("PS256", ed25519_key()),
        ("ES256", rs256()),
        ("ES256", Key("ES384", ec.generate_private_key(ec.SECP384R1()))),
        ("EdDSA", rs256()),
    ],
)
def test_a_key_that_is_not_for_the_algorithm(algorithm: str, other: Key) -> None:
    with pytest.raises(TokenMalformedError):
        jws.require_signature(jws.parse(GOOD[algorithm]), algorithm, other.private.public_key())


def test_a_weak_key_verifies_nothing() -> None:
    weak = rs256(1024)
    with pytest.raises(TokenSignatureError):
        jws.require_signature(jws.parse(good(weak)), "RS256", weak.private.public_key())
