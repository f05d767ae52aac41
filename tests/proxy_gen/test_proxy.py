"""Proxies: exactly the recipe, and the refusals of what a verifier would refuse later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings

from proxy_gen.ca import BACKDATE, authority_key_identifier, key_usage
from proxy_gen.errors import IssuanceError, KeyRefusedError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import encode, proxy_cert_info
from proxy_gen.proxy import MAX_PATH_LENGTH, PROXY_CERT_INFO, ProxyKind, issue_proxy
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, HOUR, NOW, Delegation, authority, path
from tests.proxy_gen.forge import Draft, Extension, Link, load
from tests.proxy_gen.keyring import key, rsa_key
from tests.proxy_gen.strategies import FOREIGN_NAMES

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")

EEC = path().links[0]
OWN = key(KeyKind.P_256, 50)


def issue(parent: Link = EEC, kind: ProxyKind = ProxyKind.FULL, **changed: object) -> x509.Certificate:
    """Issue a proxy below a certificate that our CA signs for this."""
    arguments = {"now": NOW, "lifetime": HOUR} | changed
    certificate = load(parent.draft.sign(authority().key))
    return issue_proxy(certificate, parent.key, OWN.public_key(), kind=kind, **arguments)  # type: ignore[arg-type]


def refused(parent: Link = EEC, kind: ProxyKind = ProxyKind.FULL, **changed: object) -> str:
    with pytest.raises(IssuanceError) as error:
        issue(parent, kind, **changed)
    return error.value.code


def proxy(delegation: Delegation) -> Link:
    return path([delegation]).links[0]


@pytest.mark.parametrize("kind", ProxyKind)
@pytest.mark.parametrize("key_kind", [KeyKind.RSA_2048, KeyKind.P_256, KeyKind.ED25519])
@pytest.mark.parametrize("path_length", [None, 0, MAX_PATH_LENGTH])
def test_a_proxy_is_exactly_this(kind: ProxyKind, key_kind: KeyKind, path_length: int | None) -> None:
    parent = load(EEC.draft.sign(authority().key))
    public = key(key_kind, 50).public_key()
    certificate = issue_proxy(parent, EEC.key, public, now=NOW, lifetime=HOUR, kind=kind, path_length=path_length)
    assert [(extension.value, extension.critical) for extension in certificate.extensions] == [
        (encode(kind, path_length), True),
        (key_usage(digital_signature=True, key_encipherment=key_kind is KeyKind.RSA_2048), True),
        (authority_key_identifier(parent), False),
    ]
    assert certificate.public_key() == public
    assert certificate.issuer.public_bytes() == parent.subject.public_bytes()
    *above, last = certificate.subject.rdns
    assert x509.Name(above).public_bytes() == parent.subject.public_bytes()
    assert [(a.oid, a.value) for a in last] == [(NameOID.COMMON_NAME, str(certificate.serial_number))]
    assert 0 < certificate.serial_number.bit_length() <= 159
    assert certificate.not_valid_before_utc == NOW - BACKDATE
    assert certificate.not_valid_after_utc == NOW + HOUR
    certificate.verify_directly_issued_by(parent)


@given(FOREIGN_NAMES)
@settings(max_examples=100, deadline=None)
def test_a_foreign_name_is_copied_byte_for_byte(name: bytes) -> None:
    certificate = issue(replace(EEC, draft=replace(EEC.draft, subject=name)))
    octets = certificate.tbs_certificate_bytes
    rdn = der.tlv(der.SET, der.Attribute("2.5.4.3", der.UTF8, str(certificate.serial_number).encode()).encoded)
    rdns = name[2 if name[1] < 0x80 else 2 + (name[1] & 0x7F) :]
    assert octets.count(der.sequence(rdns, rdn)) == 1
    assert name in octets.replace(der.sequence(rdns, rdn), b"")


def test_a_proxy_lives_within_its_issuer() -> None:
    end, begin = EEC.draft.not_after, EEC.draft.not_before
    assert issue(lifetime=2 * DAY).not_valid_after_utc == end
    assert issue(now=begin).not_valid_before_utc == begin
    assert refused(now=end) == "issuer_expired"
    assert refused(now=begin - HOUR) == "issuer_not_yet_valid"
    assert refused(lifetime=timedelta()) == "lifetime"
    short = proxy(Delegation())
    assert issue(short, lifetime=DAY).not_valid_after_utc == short.draft.not_after == NOW + HOUR


def test_a_weak_key_is_refused() -> None:
    parent = load(EEC.draft.sign(authority().key))
    with pytest.raises(KeyRefusedError) as error:
        issue_proxy(parent, EEC.key, rsa_key(1024).public_key(), now=NOW, lifetime=HOUR)
    assert error.value.code == "key_weak"


def test_the_issuers_key_is_refused() -> None:
    parent = load(EEC.draft.sign(authority().key))
    with pytest.raises(IssuanceError) as error:
        issue_proxy(parent, EEC.key, EEC.key.public_key(), now=NOW, lifetime=HOUR)
    assert error.value.code == "key_is_issuer"


def test_another_key_than_the_issuers_does_not_sign() -> None:
    assert refused(replace(EEC, key=key(KeyKind.P_256, 51))) == "issuer_key_mismatch"


def test_a_ca_issues_no_proxy() -> None:
    assert refused(path().links[1]) == "issuer_is_ca"


def test_an_issuer_without_digital_signature_is_refused() -> None:
    usage = Extension.of(key_usage(key_encipherment=True), critical=True)
    assert refused(replace(EEC, draft=EEC.draft.having(usage))) == "issuer_key_usage"
    issue(replace(EEC, draft=EEC.draft.without(x509.KeyUsage.oid)))


@pytest.mark.parametrize(
    "parent, child, allowed",
    [
        (above, below, above is not ProxyKind.LIMITED or below is ProxyKind.LIMITED)
        for above in ProxyKind
        for below in ProxyKind
    ],
)
def test_limited_stays_limited(parent: ProxyKind, child: ProxyKind, allowed: bool) -> None:  # noqa: FBT001
    above = proxy(Delegation(parent))
    if allowed:
        info = proxy_cert_info(issue(above, child))
        assert info is not None
        assert info.kind is child
    else:
        assert refused(above, child) == "limited"


@pytest.mark.parametrize("path_length", [-1, MAX_PATH_LENGTH + 1])
def test_a_path_length_has_bounds(path_length: int) -> None:
    assert refused(path_length=path_length) == "path_length"


@pytest.mark.parametrize(
    "parent, asked, given",
    [(None, None, None), (None, 5, 5), (3, None, 2), (3, 2, 2), (3, 0, 0), (1, None, 0), (1, 0, 0)],
)
def test_a_path_length_is_less_than_the_issuers(parent: int | None, asked: int | None, given: int | None) -> None:
    info = proxy_cert_info(issue(proxy(Delegation(path_length=parent)), path_length=asked))
    assert info is not None
    assert info.path_length == given


@pytest.mark.parametrize("parent, asked", [(0, None), (0, 0), (1, 1), (3, 3), (3, 127)])
def test_a_path_length_that_the_issuer_does_not_allow(parent: int, asked: int | None) -> None:
    assert refused(proxy(Delegation(path_length=parent)), path_length=asked) == "path_length"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.having(Extension(PROXY_CERT_INFO.dotted_string, b"xx", critical=True)),
        lambda d: d.having(Extension("2.5.29.15", b"xx")),
        lambda d: d.also(Extension("1.2.3.4", b"")).also(Extension("1.2.3.4", b"")),
        lambda d: replace(d, subject=der.name(der.Attribute("2.5.4.3", der.T61, b"\xe9"))),
    ],
    ids=["proxy info", "key usage", "an extension twice", "subject"],
)
def test_a_malformed_issuer_is_refused(change: object) -> None:
    bad: Draft = change(EEC.draft)  # type: ignore[operator]
    assert refused(replace(EEC, draft=bad)) == "issuer_malformed"


def test_a_proxys_name_is_its_issuers_and_its_serial() -> None:
    certificate = issue(proxy(Delegation()))
    slash = DistinguishedName(certificate.subject).slash
    assert slash == f"{DistinguishedName(certificate.issuer).slash}/CN={certificate.serial_number}"
