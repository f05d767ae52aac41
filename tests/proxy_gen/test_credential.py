"""Credential files: written in one order, read in any, and nothing cut short is taken for whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.credential import MAX_CHAIN, MAX_FILE_BYTES, Credential
from proxy_gen.errors import CredentialFileError, ProxyGenError
from proxy_gen.keys import KeyKind, private_pem, public_der
from tests.proxy_gen import der
from tests.proxy_gen.chains import Delegation, path, rekeyed
from tests.proxy_gen.forge import Extension, load
from tests.proxy_gen.keyring import key, rsa_key
from tests.tools import openssl

LINKS = path([Delegation(), Delegation(key_kind=KeyKind.RSA_2048)])
CERTIFICATES = tuple(map(load, LINKS.signed()))
SAMPLE = Credential(CERTIFICATES[:3], LINKS.links[0].key)
PEM = SAMPLE.to_pem()
BLOCKS = [certificate.public_bytes(Encoding.PEM) for certificate in CERTIFICATES]
KEY = private_pem(LINKS.links[0].key)


def refused(pem: bytes) -> str:
    with pytest.raises(CredentialFileError) as error:
        Credential.parse(pem)
    assert "\n" not in str(error.value)
    return error.value.code


def same(one: Credential, other: Credential) -> bool:
    keys = [public_der(each.key.public_key()) if each.key else None for each in (one, other)]
    return one.chain == other.chain and keys[0] == keys[1]


def test_the_order_is_leaf_key_chain() -> None:
    assert BLOCKS[0] + KEY + BLOCKS[1] + BLOCKS[2] == PEM
    assert openssl.certificates(PEM) == BLOCKS[:3]


@pytest.mark.parametrize("kind", [KeyKind.RSA_2048, KeyKind.P_256, KeyKind.ED25519])
@pytest.mark.parametrize("depth", range(4))
def test_a_file_is_read_as_it_was_written(kind: KeyKind, depth: int) -> None:
    links = path([Delegation(key_kind=kind)] * depth, eec_kind=kind)
    written = Credential(tuple(map(load, links.signed())), links.links[0].key)
    assert same(Credential.parse(written.to_pem()), written)
    assert written.leaf == written.chain[0]


@pytest.mark.parametrize("order", [(KEY, *BLOCKS[:3]), (*BLOCKS[:3], KEY), (*BLOCKS[:2], KEY, BLOCKS[2])])
def test_the_key_may_stand_anywhere(order: tuple[bytes, ...]) -> None:
    assert same(Credential.parse(b"".join(order)), SAMPLE)


def test_a_credential_may_be_without_a_key() -> None:
    bare = Credential.parse(b"".join(BLOCKS[:3]))
    assert bare.key is None
    assert bare.to_pem() == b"".join(BLOCKS[:3])


def test_text_and_other_ends_of_lines_do_not_matter() -> None:
    assert same(Credential.parse(PEM.replace(b"\n", b"\r\n")), SAMPLE)
    assert same(Credential.parse(b"Certificate:\n    Data - text\n" + PEM), SAMPLE)
    parameters = der.pem("EC PARAMETERS", der.oid("1.2.840.10045.3.1.7"))
    assert same(Credential.parse(parameters + PEM), SAMPLE)


def test_openssls_other_label_is_read() -> None:
    assert same(Credential.parse(PEM.replace(b" CERTIFICATE-----", b" X509 CERTIFICATE-----")), SAMPLE)


@pytest.mark.parametrize("label", ["TRUSTED CERTIFICATE", "ATTRIBUTE CERTIFICATE", "OLD CERTIFICATE"])
def test_a_certificate_of_another_form_is_never_left_out(label: str) -> None:
    other = BLOCKS[1].replace(b" CERTIFICATE-----", f" {label}-----".encode())
    assert refused(BLOCKS[0] + KEY + other + BLOCKS[2]) == "credential_malformed"


def test_text_about_encryption_does_not_matter() -> None:
    assert same(Credential.parse(b"never ENCRYPTED, Proc-Type: 4,ENCRYPTED\n" + PEM), SAMPLE)
    base64 = BLOCKS[1].replace(b"MII", b"ENCRYPTED", 1)
    assert refused(BLOCKS[0] + base64) == "credential_malformed"


@pytest.mark.parametrize("bits, taken", [(1024, True), (1025, False), (8000, False), (40_000, False)])
def test_a_serial_number_has_bounds(bits: int, *, taken: bool) -> None:
    draft = replace(LINKS.links[0].draft, serial=(1 << bits) - 1)
    content = load(draft.sign(LINKS.links[1].key)).public_bytes(Encoding.PEM)
    if taken:
        assert Credential.parse(content).leaf.serial_number.bit_length() == bits
    else:
        assert refused(content) == "credential_malformed"


def test_a_certificate_is_written_once() -> None:
    twice = Credential((*CERTIFICATES[:3], CERTIFICATES[2]), SAMPLE.key)
    assert twice.to_pem() == PEM


def test_an_empty_credential_is_refused() -> None:
    with pytest.raises(CredentialFileError) as error:
        Credential(())
    assert error.value.code == "credential_empty"
    assert refused(b"") == refused(b"text") == refused(KEY) == "credential_empty"


def test_another_key_is_refused() -> None:
    assert refused(BLOCKS[1] + KEY) == "key_mismatch"
    with pytest.raises(CredentialFileError) as error:
        Credential(CERTIFICATES[:3], key(KeyKind.P_256, 50))
    assert error.value.code == "key_mismatch"


def test_two_keys_are_refused() -> None:
    assert refused(PEM + KEY) == "credential_malformed"


def test_a_weak_key_is_refused() -> None:
    weak = rsa_key(1024)
    leaf = load(rekeyed(LINKS.links[0].draft, weak.public_key()).sign(LINKS.links[1].key))
    assert refused(leaf.public_bytes(Encoding.PEM) + private_pem(weak)) == "key_weak"
    assert refused(leaf.public_bytes(Encoding.PEM) + KEY) == "key_weak"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_by_name(form: PrivateFormat) -> None:
    encrypted = LINKS.links[0].key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
    assert refused(BLOCKS[0] + encrypted) == "key_encrypted"


def test_a_malformed_key_is_refused() -> None:
    assert refused(BLOCKS[0] + der.pem("RSA PRIVATE KEY", b"xx")) == "key_malformed"
    assert refused(BLOCKS[0] + der.pem("PRIVATE KEY", b"xx")) == "key_malformed"


@pytest.mark.parametrize(
    "bad",
    [
        der.pem("CERTIFICATE", b"xx"),
        der.pem("CERTIFICATE", b""),
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        BLOCKS[0].replace(b"-----END CERTIFICATE-----", b"-----END PRIVATE KEY-----"),
        BLOCKS[0].replace(b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----"),
        der.pem("CERTIFICATE", LINKS.links[0].draft.also(Extension("2.5.29.17", b"xx")).sign(LINKS.links[1].key)),
    ],
    ids=["octets", "empty", "no base64", "another label", "no line", "an extension"],
)
def test_a_malformed_certificate_is_refused(bad: bytes) -> None:
    assert refused(PEM + bad) == "credential_malformed"
    assert refused(bad + PEM) == "credential_malformed"


def test_the_file_has_bounds() -> None:
    padding = b"x" * (MAX_FILE_BYTES - len(PEM) - 1) + b"\n"
    assert same(Credential.parse(padding + PEM), SAMPLE)
    assert refused(b"x" + padding + PEM) == "credential_too_large"
    assert len(Credential.parse(BLOCKS[0] * MAX_CHAIN).chain) == MAX_CHAIN
    assert refused(BLOCKS[0] * (MAX_CHAIN + 1)) == "credential_too_large"


@given(st.integers(0, len(PEM.rstrip()) - 1))
@settings(max_examples=150, deadline=None)
def test_a_file_cut_short_is_refused_or_ends_between_two_blocks(length: int) -> None:
    cut = PEM[:length]
    try:
        found = Credential.parse(cut)
    except CredentialFileError as error:
        assert error.code in {"credential_malformed", "credential_empty"}  # noqa: PT017 - one of two outcomes
        return
    whole = found.to_pem().rstrip()
    assert cut.startswith(whole)
    assert b"-----BEGIN " not in cut[len(whole) :]


@given(st.integers(0, len(PEM) - 1), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_file_with_an_octet_changed_is_read_or_refused(position: int, octet: int) -> None:
    try:
        Credential.parse(PEM[:position] + bytes([octet]) + PEM[position + 1 :])
    except ProxyGenError as error:
        assert type(error) is CredentialFileError  # noqa: PT017 - to be read is well, too


PIECES = [
    b"-----BEGIN ",
    b"-----END ",
    b"CERTIFICATE",
    b"PRIVATE KEY",
    b"-----",
    b"\n",
    b"\r\n",
    b"MIIB",
    b"-",
    *BLOCKS,
    KEY,
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12).map(b"".join))
@settings(max_examples=300, deadline=None)
def test_pieces_of_files_are_read_or_refused(pem: bytes) -> None:
    try:
        found = Credential.parse(pem)
    except ProxyGenError as error:
        assert type(error) is CredentialFileError  # noqa: PT017 - to be read is well, too
        return
    assert same(Credential.parse(found.to_pem()), Credential(tuple(dict.fromkeys(found.chain)), found.key))


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nA",
        b"-----BEGIN A-----\n-----END B-----\n",
        b"-----BEGIN " + b"A" * 40,
        b"-----END CERTIFICATE-----\n",
        b"-",
        b"A",
    ],
)
def test_the_search_for_blocks_is_linear(piece: bytes) -> None:
    assert refused(piece * (MAX_FILE_BYTES // len(piece))) in {"credential_malformed", "credential_empty"}
