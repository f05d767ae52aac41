"""ProxyCertInfo, octet by octet."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.pci import PROXY_CERT_INFO, ProxyKind, decode, encode, proxy_cert_info
from tests.proxy_gen import der
from tests.proxy_gen.chains import Delegation, path
from tests.proxy_gen.forge import Extension, load
from tests.proxy_gen.test_verify_mutations import policy


@pytest.mark.parametrize("kind", ProxyKind)
@pytest.mark.parametrize("path_length", [None, 0, 1, 127, 128, 65535])
def test_the_encoding(kind: ProxyKind, path_length: int | None) -> None:
    length = b"" if path_length is None else der.integer(path_length)
    assert encode(kind, path_length).value == policy(kind.value, length)
    assert encode(kind, path_length).oid == PROXY_CERT_INFO


@given(st.sampled_from(ProxyKind), st.none() | st.integers(-(2**70), 2**70))
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_is_decoded(kind: ProxyKind, path_length: int | None) -> None:
    found = decode(encode(kind, path_length).value)
    assert (found.kind, found.path_length, found.proxy_policy.policy) == (kind, path_length, None)


def test_a_foreign_policy_is_decoded() -> None:
    found = decode(policy("1.2.3.4", contents=der.tlv(der.OCTET_STRING, b"text")))
    assert found.kind is None
    assert found.proxy_policy.policy == b"text"


FULL = ProxyKind.FULL.value


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        der.sequence(),
        policy(FULL) + b"\0",
        policy(FULL)[:-1],
        der.sequence(der.integer(1)),
        der.sequence(der.sequence(der.oid(FULL)), der.integer(1)),  # GT3's order
        der.sequence(der.tlv(0xA1, der.integer(1)), der.sequence(der.oid(FULL))),  # GT3's tag
        policy(FULL, b"\x02\x02\x00\x01"),  # not the shortest form
        b"\x30\x80" + policy(FULL)[2:] + b"\0\0",  # BER's indefinite length
        policy(FULL, contents=der.tlv(der.UTF8, b"text")),
        policy(FULL, contents=der.tlv(der.OCTET_STRING) * 2),
        der.tlv(der.SET, policy(FULL)[2:]),
    ],
)
def test_what_is_not_its_der_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the decoder's
        decode(octets)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_octets_are_refused_as_values(octets: bytes) -> None:
    for candidate in (octets, der.sequence(octets), der.sequence(der.sequence(octets))):
        try:
            found = decode(candidate)
        except ValueError:
            continue
        assert found.proxy_policy is not None


@given(st.integers(0, 31), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_only_der_is_decoded(position: int, octet: int) -> None:
    changed = bytearray(encode(ProxyKind.LIMITED, 1000).value)
    changed[position % len(changed)] = octet
    try:
        found = decode(bytes(changed))
    except ValueError:
        return
    if found.kind is not None and found.proxy_policy.policy is None:
        assert encode(found.kind, found.path_length).value == bytes(changed)


def test_a_certificate_tells_whether_it_is_a_proxy() -> None:
    leaf, eec, _ = map(load, path([Delegation(ProxyKind.LIMITED, 3)]).signed())
    found = proxy_cert_info(leaf)
    assert found is not None
    assert (found.kind, found.path_length) == (ProxyKind.LIMITED, 3)
    assert proxy_cert_info(eec) is None


@pytest.mark.parametrize(
    "extensions",
    [
        [Extension(PROXY_CERT_INFO.dotted_string, b"xx")],
        [Extension("1.2.3.4", b""), Extension("1.2.3.4", b"")],
        [Extension("2.5.29.17", der.sequence(der.tlv(0xA3)))],
        [Extension("2.5.29.17", b"xx")],
    ],
    ids=["malformed", "another twice", "unknown general name", "another malformed"],
)
def test_malformed_extensions_are_one_error(extensions: list[Extension]) -> None:
    links = path()
    draft = links.links[0].draft
    for extension in extensions:
        draft = draft.also(extension)
    certificate: x509.Certificate = load(links.bent(0, draft).signed()[0])
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind the parser's was
        proxy_cert_info(certificate)
