"""Certificate signing requests: a key that proves that it is there, and nothing else is believed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.csr import MAX_CSR_BYTES, csr_public_key, make_csr
from proxy_gen.errors import CsrRefusedError, KeyRefusedError, ProxyGenError
from proxy_gen.keys import KeyKind, SubjectKey, private_pem, public_der
from tests.proxy_gen import der
from tests.proxy_gen.keyring import dsa_key, ec_key, key, rsa_key
from tests.tools.programs import need, run

SAMPLE = make_csr(key(KeyKind.P_256))
SAMPLE_DER = x509.load_pem_x509_csr(SAMPLE).public_bytes(Encoding.DER)
SIGNED = x509.load_pem_x509_csr(SAMPLE).tbs_certrequest_bytes


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.RSA_4096])  # seconds to make
def test_our_own_request_is_taken(kind: KeyKind) -> None:
    assert csr_public_key(make_csr(key(kind))) == SubjectKey.of(key(kind).public_key())


@pytest.mark.parametrize("kind", [KeyKind.RSA_2048, KeyKind.P_256, KeyKind.ED25519])
def test_openssl_takes_our_request_and_we_take_its(kind: KeyKind, tmp_path: Path) -> None:
    need("openssl")
    assert run(["openssl", "req", "-verify", "-noout"], stdin=make_csr(key(kind)))
    file = tmp_path / "key.pem"
    file.write_bytes(private_pem(key(kind)))
    told = run(["openssl", "req", "-new", "-key", file, "-subj", "/CN=somebody else", "-text"])
    assert csr_public_key(told.text.encode()) == SubjectKey.of(key(kind).public_key())


def test_our_request_says_no_name() -> None:
    request = x509.load_pem_x509_csr(SAMPLE)
    assert not request.subject.rdns
    assert not list(request.extensions)


def request_of(signer: object) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "weak, code",
    [(rsa_key(1024), "key_weak"), (dsa_key(), "key_type"), (ec_key(ec.SECP256K1), "key_type")],
    ids=["rsa-1024", "dsa", "secp256k1"],
)
def test_a_weak_key_is_refused(weak: object, code: str) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        csr_public_key(request_of(weak))
    assert refused.value.code == code


def invalid(pem: bytes) -> str:
    with pytest.raises(CsrRefusedError) as refused:
        csr_public_key(pem)
    assert refused.value.code == "csr_invalid"
    return str(refused.value)


def test_a_signature_of_another_key_is_refused() -> None:
    other = make_csr(key(KeyKind.P_256, 1))
    ours = public_der(key(KeyKind.P_256).public_key())
    theirs = public_der(key(KeyKind.P_256, 1).public_key())
    stolen = x509.load_pem_x509_csr(other).public_bytes(Encoding.DER).replace(theirs, ours)
    assert "does not hold" in invalid(der.pem("CERTIFICATE REQUEST", stolen))


def test_a_long_request_is_refused_before_it_is_parsed() -> None:
    text = b"x" * (MAX_CSR_BYTES - len(SAMPLE) - 1) + b"\n" + SAMPLE
    assert csr_public_key(text) == SubjectKey.of(key(KeyKind.P_256).public_key())
    assert "more than 8192 bytes" in invalid(b"x" + text)


def test_a_large_request_still_fits() -> None:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "x" * 60) for _ in range(10)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    request = builder.sign(key(KeyKind.RSA_3072), hashes.SHA256())
    assert csr_public_key(request.public_bytes(Encoding.PEM)) == SubjectKey.of(key(KeyKind.RSA_3072).public_key())


@pytest.mark.parametrize(
    "junk", [b"", b"junk", SAMPLE[:-40], SAMPLE[40:], private_pem(key(KeyKind.P_256)), b"\0" * 100]
)
def test_what_is_no_request_is_refused(junk: bytes) -> None:
    invalid(junk)


def test_a_request_of_another_version_is_refused() -> None:
    assert SAMPLE_DER.count(der.integer(0), 0, 9) == 1
    invalid(der.pem("CERTIFICATE REQUEST", SAMPLE_DER.replace(der.integer(0), der.integer(1), 1)))


@given(st.integers(0, len(SAMPLE_DER) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_request_with_bits_turned_over_certifies_no_other_key(position: int, bits: int) -> None:
    changed = bytearray(SAMPLE_DER)
    changed[position] ^= bits
    try:
        found = csr_public_key(der.pem("CERTIFICATE REQUEST", bytes(changed)))
    except ProxyGenError as error:
        assert error.code in {"csr_invalid", "key_weak", "key_type"}  # noqa: PT017 - see below
        return
    # the signature itself has more than one encoding; what it signs has not
    assert found == SubjectKey.of(key(KeyKind.P_256).public_key())
    assert SAMPLE_DER.index(SIGNED) + len(SIGNED) <= position


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_random_octets_are_refused(octets: bytes) -> None:
    invalid(octets)
    invalid(der.pem("CERTIFICATE REQUEST", octets))
    invalid(der.pem("CERTIFICATE REQUEST", SAMPLE_DER[: len(octets) % len(SAMPLE_DER)]))


def test_two_requests_are_none() -> None:
    with pytest.raises(CsrRefusedError, match="exactly one"):
        csr_public_key(SAMPLE + SAMPLE)
