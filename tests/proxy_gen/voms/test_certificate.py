"""Parsing: only the DER that VOMS writes, within bounds; nothing but our own error comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.credential import MAX_CHAIN
from proxy_gen.errors import AttributeCertificateError, ProxyGenError, VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.voms.certificate import (
    MAX_CERTIFICATE_BYTES,
    MAX_FQANS,
    AttributeCertificate,
    attribute_certificates,
)
from proxy_gen.voms.extensions import MAX_ATTRIBUTE_CHARACTERS, MAX_ATTRIBUTES, MAX_TARGETS
from proxy_gen.voms.fqan import MAX_FQAN_LENGTH
from proxy_gen.voms.structures import ATTRIBUTE_CERTIFICATES, GENERIC_ATTRIBUTES, SIGNER_CERTIFICATES
from tests.proxy_gen import der
from tests.proxy_gen.forge import Draft as Certificate
from tests.proxy_gen.forge import Extension, load
from tests.proxy_gen.keyring import key
from tests.proxy_gen.voms import forge
from tests.proxy_gen.voms.forge import Draft
from tests.proxy_gen.voms.makers import CMS_URI, Change, draft, fqans, having, own_key
from tests.proxy_gen.voms.world import CMS, issued, jane, verified

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number", "ignore:Attribute's length")

GENUINE = issued(targets=["se.example"]).der
OWNER = CMS.certificate.public_bytes(Encoding.DER)


def parsed(change: Change) -> AttributeCertificate:
    return AttributeCertificate.parse(change(draft()).sign(own_key()))


def code(der_bytes: bytes) -> str:
    with pytest.raises(AttributeCertificateError) as error:
        AttributeCertificate.parse(der_bytes)
    assert str(error.value).isprintable()
    return error.value.code


def malformed(change: Change) -> None:
    assert code(change(draft()).sign(own_key())) == "ac_malformed"


def lasting(not_before: bytes, not_after: bytes) -> Change:
    return lambda d: replace(d, validity=forge.times(not_before, not_after))


def test_times_are_of_any_year() -> None:
    ac = parsed(lasting(b"00010101000000Z", b"99991231235959Z"))
    assert ac.not_before == datetime(1, 1, 1, tzinfo=UTC)
    assert ac.not_after == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        b"20310504030201.5Z",
        b"20310504030201.0Z",
        b"20310504030201.000000001Z",
        b"20310504030201",
        b"20310504030201+0100",
        b"203105040302Z",
        b"310504030201Z",
        b"20310504240000Z",
        b"20310504030260Z",
        b"20310230000000Z",
        b"00000101000000Z",
        b"",
        b"20310504030201Z\0",
    ],
)
def test_times_have_one_form(time: bytes) -> None:
    malformed(lasting(b"20310504030201Z", time))
    malformed(lasting(time, b"20310504030201Z"))


def test_times_are_of_one_type() -> None:
    utc = der.tlv(der.UTC_TIME, b"310504030201Z")
    malformed(lambda d: replace(d, validity=der.sequence(utc, utc)))


IN_HOLDER = jane().links[1].draft.subject
NAMES = der.sequence(der.tlv(0xA4, IN_HOLDER))
DIGEST = der.sequence(der.tlv(0x0A, b"\0"), der.sequence(der.oid("2.16.840.1.101.3.4.2.1")), der.tlv(3, b"\0x"))


@pytest.mark.parametrize(
    "holder",
    [
        der.sequence(),
        der.sequence(der.tlv(0xA1, NAMES[2:])),
        der.sequence(der.tlv(0xA2, DIGEST[2:])),
        der.sequence(der.tlv(0xA0, NAMES, der.integer(7)), der.tlv(0xA1, NAMES[2:])),
        der.sequence(der.tlv(0xA0, NAMES, der.integer(7)), der.tlv(0xA2, DIGEST[2:])),
        der.sequence(der.tlv(0xA0, der.sequence(), der.integer(7))),
        der.sequence(der.tlv(0xA0, NAMES + NAMES, der.integer(7))),
        der.sequence(der.tlv(0xA0, der.sequence(der.tlv(0x82, b"host")), der.integer(7))),
        der.sequence(der.tlv(0xA0, der.sequence(der.tlv(0xA4, IN_HOLDER, IN_HOLDER)), der.integer(7))),
        der.sequence(der.tlv(0xA0, der.sequence(der.tlv(0xA4)), der.integer(7))),
        der.sequence(der.tlv(0xA0, NAMES)),
        der.sequence(der.tlv(0xA0, NAMES, b"\x02\x02\x00\x07")),
        der.sequence(der.tlv(0xA0, NAMES, der.integer(1 << 80_000))),
    ],
    ids=[
        "none",
        "entity name",
        "digest",
        "certificate and entity name",
        "certificate and digest",
        "no name",
        "two fields of names",
        "host's name",
        "two names in one",
        "nothing in the name",
        "no serial number",
        "serial number not in its shortest form",
        "serial number without bounds",
    ],
)
def test_the_holder_is_named_in_one_way(holder: bytes) -> None:
    malformed(lambda d: replace(d, holder=holder))


@pytest.mark.parametrize(
    "issuer",
    [
        der.sequence(der.tlv(0xA4, IN_HOLDER)),  # v1Form
        der.tlv(0xA0),
        der.tlv(0xA0, der.sequence()),
        der.tlv(0xA0, NAMES, der.tlv(0xA0, NAMES, der.integer(7))),  # baseCertificateID
        der.tlv(0xA0, NAMES, der.tlv(0xA1, DIGEST[2:])),  # objectDigestInfo
    ],
    ids=["version 1", "nothing", "no name", "certificate", "digest"],
)
def test_the_issuer_is_named_in_one_way(issuer: bytes) -> None:
    malformed(lambda d: replace(d, issuer=issuer))


def test_trailing_octets_are_refused_everywhere() -> None:
    good = draft()
    assert code(GENUINE + b"\0") == "ac_malformed"
    for field in ("version", "holder", "issuer", "serial", "validity", "unique_id"):
        octets = getattr(good, field)
        malformed(lambda d, field=field, octets=octets: replace(d, **{field: octets + der.tlv(der.NULL)}))  # type: ignore[misc]
    for extension in issued(targets=["h"]), issued():
        for each in Draft.of(extension).extensions:
            malformed(having(x509.ObjectIdentifier(each.oid), each.value + b"\0", critical=each.critical))


def test_the_algorithm_is_what_is_signed() -> None:
    other = der.sequence(der.oid("1.2.840.113549.1.1.12"), der.tlv(der.NULL))
    assert code(draft().sign(own_key(), outer=other)) == "ac_malformed"


def test_a_bit_string_has_whole_octets() -> None:
    at = GENUINE.rindex(b"\x03\x82\x01\x01\x00") + 4
    assert code(GENUINE[:at] + b"\x07" + GENUINE[at + 1 :]) == "ac_malformed"


@pytest.mark.parametrize(
    "authority",
    [
        b"cms:/voms.cms.example:15000",
        b"cms://:15000",
        b"cms://voms.cms.example:",
        b"cms://voms.cms.example:0",
        b"cms://voms.cms.example:015",
        b"cms://voms.cms.example:65536",
        b"cms://voms.cms.example:15000/",
        b"cms://voms.cms.example:15000\n",
        b"cms://../voms:15000",
        b"cms://-:1",
        b"CMS://voms.cms.example:15000",
        b"://voms.cms.example:15000",
        "cms://vom\u00e9:15000".encode(),
    ],
)
def test_the_policy_authority_has_one_form(authority: bytes) -> None:
    malformed(fqans(b"/cms", uri=forge.uri(authority)))


def test_fqans_have_bounds() -> None:
    many = [f"/cms/{number}".encode() for number in range(MAX_FQANS + 1)]
    assert len(parsed(fqans(*many[:-1])).fqans) == MAX_FQANS
    malformed(fqans(*many))
    longest = b"/cms/" + b"x" * (MAX_FQAN_LENGTH - len("/cms//Role=NULL/Capability=NULL"))
    assert parsed(fqans(longest)).fqans[0].short == longest.decode()
    malformed(fqans(longest + b"x"))


def test_generic_attributes_have_bounds() -> None:
    def given_by(*groups: bytes) -> Change:
        return having(GENERIC_ATTRIBUTES, der.sequence(der.sequence(*groups)))

    one = (b"n", b"v", b"q")
    assert len(parsed(given_by(forge.generic(CMS_URI, *[one] * MAX_ATTRIBUTES))).attributes) == MAX_ATTRIBUTES
    assert parsed(given_by(forge.generic(CMS_URI))).attributes == ()
    malformed(given_by(forge.generic(CMS_URI, *[one] * (MAX_ATTRIBUTES + 1))))
    malformed(given_by(*[forge.generic(CMS_URI, one)] * 2))
    malformed(given_by(forge.generic(b"", one)))
    for text in (b"\n", b"\xff", "\u202e".encode(), b"x" * (MAX_ATTRIBUTE_CHARACTERS + 1)):
        malformed(given_by(forge.generic(CMS_URI, (b"n", text, b"q"))))


def test_targets_have_bounds() -> None:
    assert parsed(lambda d: forge.targeted(d, *[b"h"] * MAX_TARGETS)).targets == ("h",) * MAX_TARGETS
    malformed(lambda d: forge.targeted(d, *[b"h"] * (MAX_TARGETS + 1)))
    malformed(lambda d: forge.targeted(d, b"h\n"))
    malformed(lambda d: forge.targeted(d, "h\u00e9".encode()))


def test_the_signers_chain_has_bounds() -> None:
    def signers(*certificates: bytes) -> Change:
        return having(SIGNER_CERTIFICATES, forge.extension_value(*certificates))

    assert len(parsed(signers(*[OWNER] * MAX_CHAIN)).chain) == MAX_CHAIN
    malformed(signers(*[OWNER] * (MAX_CHAIN + 1)))
    malformed(signers())
    malformed(signers(b"xx"))
    malformed(signers(OWNER + b"\0"))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, subject=der.name(der.Attribute("2.5.4.3", der.T61, b"\xe9"))),
        lambda c: replace(c, issuer=der.name(der.Attribute("2.5.4.3", der.UTF8, b"\xe9"))),
        lambda c: c.also(Extension("2.5.29.17", b"xx")),
        lambda c: c.also(Extension("1.2.3.4", b"")).also(Extension("1.2.3.4", b"")),
        lambda c: replace(c, version=9),
    ],
    ids=["subject", "issuer", "extension", "extension twice", "version"],
)
def test_a_signers_certificate_can_be_read(change: Callable[[Certificate], Certificate]) -> None:
    signer = change(Certificate.of(CMS.certificate)).sign(key(KeyKind.P_256, 0))
    malformed(having(SIGNER_CERTIFICATES, forge.extension_value(signer)))


def test_the_size_has_a_bound() -> None:
    room = MAX_CERTIFICATE_BYTES - len(draft().also(Extension("1.2.3.4", b"x" * 100_000)).sign(own_key()))

    def of(extra: int) -> bytes:
        return draft().also(Extension("1.2.3.4", b"x" * (100_000 + room + extra))).sign(own_key())

    assert len(of(0)) == MAX_CERTIFICATE_BYTES
    AttributeCertificate.parse(of(0))
    assert code(of(1)) == "ac_too_large"


@pytest.mark.parametrize("opening", [b"\x30", b"\xa0", b"\x31"], ids=["sequence", "tag", "set"])
def test_depth_does_not_matter(opening: bytes) -> None:
    nested = der.tlv(der.NULL)
    while len(nested) < MAX_CERTIFICATE_BYTES - 5000:
        nested = der.tlv(opening[0], nested)
    assert code(nested) == "ac_malformed"
    assert code(der.sequence(nested, nested, nested)) in {"ac_malformed", "ac_too_large"}
    for oid in (GENERIC_ATTRIBUTES, SIGNER_CERTIFICATES):
        malformed(having(oid, nested))
    assert parsed(lambda d: d.also(Extension("1.2.3.4", nested))).fqans


def test_a_name_without_bounds_is_compared_and_told_in_short() -> None:
    name = der.name(*[der.Attribute("2.5.4.3", der.UTF8, b"x")] * 8000)
    names = der.sequence(der.tlv(0xA4, name))
    serial = der.integer(jane().links[1].draft.serial)
    for changed in (
        replace(draft(), holder=der.sequence(der.tlv(0xA0, names, serial))),
        replace(draft(), issuer=der.tlv(0xA0, names)).without(SIGNER_CERTIFICATES),
    ):
        with pytest.raises(VerificationError) as error:
            verified(forge.carrying(jane(), changed.sign(own_key())))
        assert len(str(error.value)) < 1000


@given(st.integers(0, len(GENUINE) - 1))
@settings(max_examples=100, deadline=None)
def test_what_is_cut_short_is_malformed(length: int) -> None:
    assert code(GENUINE[:length]) == "ac_malformed"


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_random_octets_are_malformed(octets: bytes) -> None:
    for candidate in (octets, der.sequence(octets), der.sequence(der.sequence(octets), octets)):
        assert code(candidate) == "ac_malformed"
    for position in (0, len(GENUINE) // 2):
        with_octets = GENUINE[:position] + octets + GENUINE[position + len(octets) :]
        if with_octets != GENUINE:
            _is_read_or_refused(with_octets)


def _is_read_or_refused(octets: bytes) -> AttributeCertificate | None:
    try:
        return AttributeCertificate.parse(octets)
    except ProxyGenError as error:
        assert type(error) is AttributeCertificateError  # noqa: PT017 - to be read is well, too
        return None


PLAIN = issued().der


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_no_octet_can_be_changed(position: int, difference: int) -> None:
    changed = bytearray(PLAIN)
    changed[position] ^= difference
    ac = _is_read_or_refused(bytes(changed))
    if ac is not None:
        with pytest.raises(VerificationError) as error:
            verified(forge.carrying(jane(), ac.der))
        assert error.value.code.startswith("ac_")


VALUE = forge.extension_value(PLAIN)


@given(st.integers(0, len(VALUE) - 1), st.integers(0, 255), st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_extension_is_read_or_refused(position: int, octet: int, cut: bool) -> None:  # noqa: FBT001
    changed = VALUE[:position] + (b"" if cut else bytes([octet]) + VALUE[position + 1 :])
    links = forge.carrying_value(jane(), changed)
    try:
        assert attribute_certificates(load(links.signed()[0]))
    except ProxyGenError as error:
        assert type(error) is AttributeCertificateError  # noqa: PT017 - to be read is well, too


def test_a_certificate_whose_extensions_cannot_be_read_is_refused() -> None:
    links = jane()
    twice = Extension(ATTRIBUTE_CERTIFICATES.dotted_string, VALUE)
    for bad in (links.links[0].draft.also(twice).also(twice), links.links[0].draft.also(Extension("2.5.29.17", b"x"))):
        with pytest.raises(AttributeCertificateError) as error:
            attribute_certificates(load(bad.sign(links.links[1].key)))
        assert error.value.code == "ac_malformed"
