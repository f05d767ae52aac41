"""Keys: what is made, what is taken, and what cannot be read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.errors import KeyRefusedError
from proxy_gen.keys import (
    KeyKind,
    PrivateKey,
    SubjectKey,
    certificate_key,
    generate_key,
    kind_of,
    load_private_key,
    private_pem,
    public_der,
    require_strong,
    signature_hash,
)
from tests.proxy_gen import der
from tests.proxy_gen.chains import path
from tests.proxy_gen.forge import load
from tests.proxy_gen.keyring import dsa_key, ec_key, key, rsa_key
from tests.tools.programs import need, run


@pytest.mark.parametrize("kind", KeyKind)
def test_a_key_is_of_its_kind(kind: KeyKind) -> None:
    assert kind_of(key(kind).public_key()) is kind
    assert require_strong(key(kind).public_key()) == key(kind).public_key()


def test_keys_that_we_do_not_make_have_no_kind() -> None:
    assert kind_of(rsa_key(2056).public_key()) is None
    assert kind_of(ec_key(ec.SECP521R1).public_key()) is None


def test_each_key_is_new() -> None:
    assert public_der(generate_key(KeyKind.P_256).public_key()) != public_der(generate_key(KeyKind.P_256).public_key())


@pytest.mark.parametrize("kind", KeyKind)
def test_a_subjects_key_is_one_with_its_encoding(kind: KeyKind) -> None:
    public = key(kind).public_key()
    subject = SubjectKey.of(public)
    assert (subject.key, subject.der, subject.is_rsa) == (
        public,
        public_der(public),
        isinstance(public, rsa.RSAPublicKey),
    )
    assert subject == SubjectKey.of(key(kind).public_key()) != SubjectKey.of(key(KeyKind.P_256, 1).public_key())


def test_a_weak_key_is_no_subjects() -> None:
    with pytest.raises(KeyRefusedError) as error:
        SubjectKey.of(rsa_key(1024).public_key())
    assert error.value.code == "key_weak"


@pytest.mark.parametrize("kind", KeyKind)
def test_a_key_survives_its_pem(kind: KeyKind) -> None:
    pem = private_pem(key(kind))
    label = b"RSA PRIVATE KEY" if kind.value.startswith("rsa") else b"PRIVATE KEY"
    assert pem.startswith(b"-----BEGIN " + label + b"-----\n")
    for made_here in (False, True):
        assert public_der(load_private_key(pem, made_here=made_here).public_key()) == public_der(key(kind).public_key())


@pytest.mark.parametrize("kind", [KeyKind.RSA_2048, KeyKind.P_256, KeyKind.ED25519])
def test_openssl_reads_our_keys(kind: KeyKind) -> None:
    need("openssl")
    told = run(["openssl", "pkey", "-pubout"], stdin=private_pem(key(kind)))
    assert told
    expected = key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert told.text.encode() == expected


@pytest.mark.parametrize(
    "weak, code",
    [
        (rsa_key(1024), "key_weak"),
        (rsa_key(2047), "key_weak"),
        (dsa_key(), "key_type"),
        (ec_key(ec.SECP256K1), "key_type"),
        (ec_key(ec.SECP224R1), "key_type"),
        (x25519.X25519PrivateKey.generate(), "key_type"),
    ],
    ids=["rsa-1024", "rsa-2047", "dsa", "secp256k1", "p-224", "x25519"],
)
def test_a_weak_or_unknown_key_is_refused(weak: PrivateKey, code: str) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        require_strong(weak.public_key())
    assert refused.value.code == code
    with pytest.raises(KeyRefusedError) as refused:
        load_private_key(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert refused.value.code == code


def rsa_public(modulus_bits: int, exponent: int) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, (1 << modulus_bits) - 1).public_key()


@pytest.mark.parametrize("bits, exponent", [(8193, 65537), (16384, 65537), (2048, (1 << 65) + 1)])
def test_an_rsa_key_as_a_weapon_is_refused(bits: int, exponent: int) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        require_strong(rsa_public(bits, exponent))
    assert refused.value.code == "key_weak"


@pytest.mark.parametrize("bits, exponent", [(2048, 3), (8192, 65537), (2048, (1 << 63) + 1)])
def test_the_last_rsa_key_that_is_taken(bits: int, exponent: int) -> None:
    assert require_strong(rsa_public(bits, exponent)) == rsa_public(bits, exponent)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(KeyRefusedError, match="neither RSA") as refused:
        require_strong("a key")
    assert refused.value.code == "key_type"


def pkcs1(first: int, second: int, modulus: int | None = None) -> bytes:
    """Encode a private key of two primes, with a modulus that may be another."""
    exponent = pow(65537, -1, (first - 1) * (second - 1))
    numbers = (exponent, first, second, exponent % (first - 1), exponent % (second - 1), pow(second, -1, first))
    private_exponent, *rest = numbers
    fields = [0, modulus or first * second, 65537, private_exponent, *rest]
    return der.pem("RSA PRIVATE KEY", der.sequence(*map(der.integer, fields)))


# Mersenne primes: the check of their primality would take from seconds to hours
@pytest.mark.parametrize(
    "pem, code",
    [
        (pkcs1(2**11213 - 1, 2**9689 - 1), "key_weak"),
        (pkcs1(2**9689 - 1, 2**607 - 1, 2**2048 - 1), "key_malformed"),
        (pkcs1(2**4423 - 1, 2**521 - 1), "key_malformed"),
    ],
    ids=["large", "large primes, small modulus", "lopsided"],
)
@pytest.mark.timeout(5)
def test_a_key_whose_check_would_be_an_attack_is_refused_at_once(pem: bytes, code: str) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        load_private_key(pem)
    assert refused.value.code == code


def test_a_key_of_composites_is_refused() -> None:
    with pytest.raises(KeyRefusedError) as refused:
        load_private_key(pkcs1(2**1024 - 3, 2**1024 - 5))
    assert refused.value.code == "key_malformed"


ENCRYPTED = key(KeyKind.P_256).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
PEMS = [private_pem(key(kind)) for kind in (KeyKind.RSA_2048, KeyKind.P_256, KeyKind.ED25519)]


@pytest.mark.parametrize("junk", [b"", b"junk", ENCRYPTED, PEMS[1][:60], b"-----BEGIN PRIVATE KEY-----\n", b"\xff" * 9])
def test_what_is_no_private_key_is_refused(junk: bytes) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        load_private_key(junk)
    assert refused.value.code == "key_malformed"
    assert "secret" not in str(refused.value)


@given(st.sampled_from(PEMS).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, len(p) - 1), st.integers(0, 255))))
@settings(max_examples=150, deadline=None)
def test_a_key_with_an_octet_changed_is_read_or_refused(changed: tuple[bytes, int, int]) -> None:
    pem, position, octet = changed
    try:
        load_private_key(pem[:position] + bytes([octet]) + pem[position + 1 :])
    except KeyRefusedError as error:
        assert error.code in {"key_malformed", "key_weak", "key_type"}  # noqa: PT017 - to be read is well, too


@given(st.sampled_from(PEMS), st.data())
@settings(max_examples=60, deadline=None)
def test_a_key_cut_short_is_refused(pem: bytes, data: st.DataObject) -> None:
    with pytest.raises(KeyRefusedError):
        load_private_key(pem[: data.draw(st.integers(0, len(pem) - 10))])


@given(st.binary(max_size=200), st.sampled_from(["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]))
@settings(max_examples=150, deadline=None)
def test_random_octets_are_refused(octets: bytes, label: str) -> None:
    for pem in (octets, der.pem(label, octets)):
        with pytest.raises(KeyRefusedError):
            load_private_key(pem)


def test_the_hash_is_as_strong_as_the_key() -> None:
    found = {kind: signature_hash(key(kind)) for kind in (KeyKind.P_256, KeyKind.P_384, KeyKind.RSA_2048)}
    assert {kind: value.name for kind, value in found.items() if value} == {
        KeyKind.P_256: "sha256",
        KeyKind.P_384: "sha384",
        KeyKind.RSA_2048: "sha256",
    }
    assert signature_hash(key(KeyKind.ED25519)) is None


def test_a_certificates_key_that_cannot_be_read_is_refused() -> None:
    spki = der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.3")), der.tlv(der.BIT_STRING, b"\0\4"))
    own = path().links[0]
    with pytest.raises(KeyRefusedError) as refused:
        certificate_key(load(replace(own.draft, public_key=spki).sign(own.key)))
    assert refused.value.code == "key_type"
