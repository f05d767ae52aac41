"""The certificate authority: what it signs, and what it refuses to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.ca import BACKDATE, CertificateAuthority, authority_key_identifier, key_usage, validity_within
from proxy_gen.errors import IssuanceError, KeyRefusedError, NameRefusedError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from tests.proxy_gen import libcrypto
from tests.proxy_gen.chains import DAY, HOUR, JANE, NOW, TOP, authority, path
from tests.proxy_gen.forge import Draft, Extension, load
from tests.proxy_gen.keyring import key, rsa_key
from tests.proxy_gen.strategies import mintable_names

SECOND = timedelta(seconds=1)


def issue(subject: DistinguishedName = JANE, kind: KeyKind = KeyKind.P_256, **changed: object) -> x509.Certificate:
    arguments = {"now": NOW, "lifetime": DAY} | changed
    return authority().issue_eec(subject, key(kind).public_key(), **arguments)  # type: ignore[arg-type]


def extensions(certificate: x509.Certificate) -> list[tuple[x509.ExtensionType, bool]]:
    return [(extension.value, extension.critical) for extension in certificate.extensions]


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.RSA_4096])  # seconds to make
def test_a_ca_is_exactly_this(kind: KeyKind) -> None:
    ca = authority(kind)
    certificate = ca.certificate
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca.key.public_key())
    assert extensions(certificate) == [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (key_usage(key_cert_sign=True, crl_sign=True), True),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]
    assert certificate.subject == certificate.issuer == ca.subject.name
    assert certificate.not_valid_before_utc == NOW - 30 * DAY - BACKDATE
    assert certificate.not_valid_after_utc == NOW + 30 * DAY
    certificate.verify_directly_issued_by(certificate)


@pytest.mark.parametrize("kind", [KeyKind.P_256, KeyKind.ED25519, KeyKind.RSA_2048])
def test_an_end_entity_certificate_is_exactly_this(kind: KeyKind) -> None:
    certificate = issue(kind=kind)
    public = key(kind).public_key()
    assert extensions(certificate) == [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(digital_signature=True, key_encipherment=kind is KeyKind.RSA_2048), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (authority_key_identifier(authority().certificate), False),
    ]
    assert certificate.public_key() == public
    assert certificate.subject.public_bytes() == JANE.der
    assert certificate.issuer.public_bytes() == authority().subject.der
    assert certificate.not_valid_before_utc == NOW - BACKDATE
    assert certificate.not_valid_after_utc == NOW + DAY
    certificate.verify_directly_issued_by(authority().certificate)


def test_serials_are_random_and_fit_160_bits() -> None:
    serials = {issue().serial_number for _ in range(50)}
    assert len(serials) == 50
    assert all(0 < serial.bit_length() <= 159 for serial in serials)
    assert max(serial.bit_length() for serial in serials) > 140


@given(mintable_names())
@settings(max_examples=60, deadline=None)
def test_what_is_minted_reads_as_it_was_asked_for(name: DistinguishedName) -> None:
    certificate = load(Draft.of(issue(name)).sign(authority().key))
    assert DistinguishedName(certificate.subject) == name
    assert DistinguishedName(certificate.subject).slash == name.slash


def refused(code: str, **changed: object) -> None:
    with pytest.raises(IssuanceError) as error:
        issue(**changed)  # type: ignore[arg-type]
    assert error.value.code == code


def test_an_end_entity_ends_with_its_ca() -> None:
    end = authority().certificate.not_valid_after_utc
    assert issue(lifetime=31 * DAY).not_valid_after_utc == end
    assert issue(now=end - SECOND).not_valid_after_utc == end
    assert issue(lifetime=timedelta.max).not_valid_after_utc == end
    refused("issuer_expired", now=end)


def test_an_end_entity_begins_with_its_ca() -> None:
    begin = authority().certificate.not_valid_before_utc
    assert issue(now=begin).not_valid_before_utc == begin
    assert issue(now=begin + SECOND).not_valid_before_utc == begin
    refused("issuer_not_yet_valid", now=begin - SECOND)
    refused("issuer_not_yet_valid", now=begin - 2 * DAY)


def test_a_lifetime_is_at_least_a_second() -> None:
    assert issue(lifetime=SECOND).not_valid_after_utc == NOW + SECOND
    for lifetime in (timedelta(), -SECOND, timedelta(microseconds=999_999)):
        refused("lifetime", lifetime=lifetime)


@given(
    st.datetimes(datetime(2031, 4, 1), datetime(2031, 7, 1)),  # noqa: DTZ001 - Hypothesis asks for naive bounds
    st.timedeltas(timedelta(), timedelta(days=90)),
)
@settings(max_examples=200, deadline=None)
def test_validity_is_nested_and_whole(moment: datetime, lifetime: timedelta) -> None:
    issuer, now = authority().certificate, moment.replace(tzinfo=UTC)
    try:
        not_before, not_after = validity_within(issuer, now=now, lifetime=lifetime)
    except IssuanceError as error:
        assert error.code in {"lifetime", "issuer_expired", "issuer_not_yet_valid"}  # noqa: PT017 - one of two outcomes
        return
    assert issuer.not_valid_before_utc <= not_before <= now < not_after <= issuer.not_valid_after_utc
    assert not_before.microsecond == not_after.microsecond == 0
    assert now - not_before < BACKDATE + SECOND
    assert not_after - now <= lifetime


def test_a_weak_key_is_refused() -> None:
    with pytest.raises(KeyRefusedError) as error:
        authority().issue_eec(JANE, rsa_key(1024).public_key(), now=NOW, lifetime=DAY)
    assert error.value.code == "key_weak"


@pytest.mark.parametrize("name", [f"{TOP}/CN=CA", f"{TOP}/CN=ca", "/DC=CH/DC=Example/CN=Ca"])
def test_the_cas_own_name_is_refused(name: str) -> None:
    refused("subject_is_ca", subject=DistinguishedName.parse(name))


def test_the_cas_own_key_is_refused() -> None:
    with pytest.raises(IssuanceError) as error:
        authority().issue_eec(JANE, authority().key.public_key(), now=NOW, lifetime=DAY)
    assert error.value.code == "key_is_ca"


def test_a_name_that_consumers_differ_on_is_refused() -> None:
    name = DistinguishedName.parse("/O=x/CN=Zoë")
    with pytest.raises(NameRefusedError):
        issue(name)
    with pytest.raises(NameRefusedError):
        CertificateAuthority.create(name, KeyKind.P_256, now=NOW, lifetime=DAY)


def not_taken(draft: Draft) -> str:
    ca = authority()
    with pytest.raises(IssuanceError) as error:
        CertificateAuthority(load(draft.sign(ca.key)), ca.key)
    return error.value.code


def test_only_a_ca_is_a_ca() -> None:
    draft = Draft.of(authority().certificate)
    no_ca = Extension.of(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    assert not_taken(draft.without(x509.BasicConstraints.oid)) == "not_a_ca"
    assert not_taken(draft.having(no_ca)) == "not_a_ca"
    assert not_taken(draft.having(Extension("2.5.29.19", b"xx"))) == "not_a_ca"
    assert not_taken(draft.also(Extension("1.2.3.4", b"")).also(Extension("1.2.3.4", b""))) == "not_a_ca"


def test_a_ca_has_its_own_key() -> None:
    with pytest.raises(IssuanceError) as error:
        CertificateAuthority(authority().certificate, key(KeyKind.P_256))
    assert error.value.code == "ca_key_mismatch"


def test_a_ca_without_a_key_identifier_has_one_computed() -> None:
    ca = authority()
    bare = load(Draft.of(ca.certificate).without(x509.SubjectKeyIdentifier.oid).sign(ca.key))
    found = authority_key_identifier(bare)
    assert found == x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())


def test_the_pem_is_the_certificate() -> None:
    assert x509.load_pem_x509_certificate(authority().certificate_pem()) == authority().certificate


def test_a_crl_is_exactly_this() -> None:
    ca = authority()
    when = NOW - HOUR + timedelta(microseconds=5)
    crl = ca.crl([(5, when), (2**158, NOW)], number=7, now=NOW + timedelta(microseconds=5), lifetime=DAY)
    assert [(r.serial_number, r.revocation_date_utc) for r in crl] == [(5, NOW - HOUR), (2**158, NOW)]
    assert crl.issuer.public_bytes() == ca.subject.der
    assert crl.last_update_utc == NOW - BACKDATE
    assert crl.next_update_utc == NOW + DAY
    assert [(e.value, e.critical) for e in crl.extensions] == [
        (authority_key_identifier(ca.certificate), False),
        (x509.CRLNumber(7), False),
    ]
    assert crl.is_signature_valid(ca.key.public_key())


@pytest.mark.parametrize("kind", [KeyKind.P_256, KeyKind.ED25519, KeyKind.RSA_2048])
def test_openssl_refuses_who_is_revoked_and_nobody_else(kind: KeyKind) -> None:
    ca = authority(kind)
    links = path(cas=[ca])
    chain = links.signed()
    nobody, somebody, her = (
        ca.crl(((serial, NOW - HOUR) for serial in serials), number=1, now=NOW, lifetime=DAY)
        for serials in ([], [1, 2], [1, links.links[0].draft.serial])
    )
    for crl in (nobody, somebody):
        assert libcrypto.verify(chain[:1], chain[1:], NOW, strict=True, crls=[crl])
    verdict = libcrypto.verify(chain[:1], chain[1:], NOW, crls=[her])
    assert "certificate revoked" in verdict.text
    assert "CRL has expired" in libcrypto.verify(chain[:1], chain[1:], NOW + DAY / 2, crls=[_old(ca)]).text


def _old(ca: CertificateAuthority) -> x509.CertificateRevocationList:
    return ca.crl([], number=1, now=NOW, lifetime=HOUR)


def test_a_ca_of_the_past_signs_nothing() -> None:
    past = authority()
    expired = replace(Draft.of(past.certificate), not_after=NOW)
    ca = CertificateAuthority(load(expired.sign(past.key)), past.key)
    with pytest.raises(IssuanceError) as error:
        ca.issue_eec(JANE, key(KeyKind.P_256).public_key(), now=NOW, lifetime=DAY)
    assert error.value.code == "issuer_expired"


@pytest.mark.parametrize(
    "lifetime",
    [timedelta(), -DAY, timedelta(microseconds=999_999), timedelta(days=366 * 8000), timedelta.max, timedelta.min],
    ids=["none", "negative", "less than a second", "past the year 9999", "greatest", "least"],
)
def test_a_ca_and_its_crl_end_when_x509_can_say_it(lifetime: timedelta) -> None:
    with pytest.raises(IssuanceError) as error:
        CertificateAuthority.create(JANE, KeyKind.P_256, now=NOW, lifetime=lifetime)
    assert error.value.code == "lifetime"
    with pytest.raises(IssuanceError) as error:
        authority().crl([], number=1, now=NOW, lifetime=lifetime)
    assert error.value.code == "lifetime"


def test_a_ca_may_last_until_the_year_9999() -> None:
    end = datetime(9999, 12, 31, tzinfo=UTC)
    made = CertificateAuthority.create(JANE, KeyKind.P_256, now=NOW, lifetime=end - NOW)
    assert made.certificate.not_valid_after_utc == end
    assert made.crl([], number=1, now=NOW, lifetime=end - NOW).next_update_utc == end


@pytest.mark.parametrize(
    "number, serial", [(-1, 1), (1, 0), (1, -1), (1, 1 << 159), (1, 1 << 5000)],
    ids=["negative number", "zero", "negative", "160 bits", "huge"],
)  # fmt: skip
def test_a_crl_holds_numbers_that_x509_can_say(number: int, serial: int) -> None:
    with pytest.raises(IssuanceError) as error:
        authority().crl([(serial, NOW)], number=number, now=NOW, lifetime=DAY)
    assert error.value.code == "crl_request"
    greatest = (1 << 159) - 1
    crl = authority().crl([(greatest, NOW)], number=0, now=NOW, lifetime=DAY)
    assert crl.get_revoked_certificate_by_serial_number(greatest) is not None
