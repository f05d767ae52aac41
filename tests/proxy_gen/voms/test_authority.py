"""What an attribute authority signs, octet by octet, and what it refuses to sign."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.ca import BACKDATE, key_usage
from proxy_gen.credential import Credential
from proxy_gen.errors import AttributeCertificateError, CredentialFileError, IssuanceError
from proxy_gen.keys import KeyKind
from proxy_gen.proxy import issue_proxy
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import (
    MAX_FQANS,
    AttributeCertificate,
    GenericAttribute,
    attribute_certificates,
    encode_extension,
)
from proxy_gen.voms.extensions import MAX_ATTRIBUTE_CHARACTERS, MAX_ATTRIBUTES, MAX_TARGETS
from proxy_gen.voms.fqan import Fqan
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, HOUR, NOW, authorities, authority, path, rekeyed
from tests.proxy_gen.forge import Draft, Extension, load
from tests.proxy_gen.keyring import key, rsa_key
from tests.proxy_gen.strategies import FOREIGN_NAMES
from tests.proxy_gen.voms import forge
from tests.proxy_gen.voms.strategies import GENERIC, HOSTS, fqans
from tests.proxy_gen.voms.world import CMS, CMS_KEY, FQANS, end_entity, issued, jane, verified

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")

NICKNAME = GenericAttribute("nickname", "J\u00fcrgen", "cms")
SIGNER = Draft.of(CMS.certificate)


def refused(code: str = "ac_request", **asked: object) -> None:
    arguments = {"fqans": FQANS, "now": NOW, "lifetime": HOUR} | asked
    with pytest.raises((AttributeCertificateError, IssuanceError)) as error:
        CMS.issue(end_entity(jane()), **arguments)  # type: ignore[arg-type]
    assert error.value.code == code
    assert "\n" not in str(error.value)


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.extension(oid, value, critical=critical)


@pytest.mark.parametrize("extras", [False, True], ids=["plain", "with targets and attributes"])
def test_an_attribute_certificate_is_exactly_this(extras: bool) -> None:  # noqa: FBT001
    targets, attributes = (["se.example"], [NICKNAME]) if extras else ([], [])
    ac, holder = issued(targets=targets, attributes=attributes), end_entity(jane())
    authority_uri = forge.uri(b"cms://voms.cms.example:15000")
    optional = [
        extension("2.5.29.55", forge.targets(forge.uri(b"se.example")), critical=True),
        extension(
            "1.3.6.1.4.1.8005.100.100.11",
            der.sequence(der.sequence(forge.generic(authority_uri, (b"nickname", "J\u00fcrgen".encode(), b"cms")))),
        ),
    ]
    key_id = x509.SubjectKeyIdentifier.from_public_key(CMS.certificate.public_key()).digest
    signed = der.sequence(
        der.integer(1),
        der.sequence(
            der.tlv(
                0xA0,
                der.sequence(der.tlv(0xA4, holder.subject.public_bytes())),
                der.integer(holder.serial_number),
            )
        ),
        der.tlv(0xA0, der.sequence(der.tlv(0xA4, CMS.certificate.subject.public_bytes()))),
        rsa_sha256 := der.sequence(der.oid("1.2.840.113549.1.1.11"), der.tlv(der.NULL)),
        der.integer(ac.serial),
        forge.valid(NOW - BACKDATE, NOW + HOUR),
        der.sequence(
            forge.attribute(
                forge.ietf(
                    authority_uri,
                    b"/cms/Role=NULL/Capability=NULL",
                    b"/cms/Role=production/Capability=NULL",
                    b"/cms/heavy/Role=pilot/Capability=NULL",
                ),
                oid="1.3.6.1.4.1.8005.100.100.4",
            )
        ),
        der.sequence(
            *(optional if extras else []),
            extension(
                "1.3.6.1.4.1.8005.100.100.10",
                der.sequence(der.sequence(CMS.certificate.public_bytes(Encoding.DER))),
            ),
            extension("2.5.29.35", der.sequence(der.tlv(0x80, key_id))),
            extension("2.5.29.56", der.tlv(der.NULL)),
        ),
    )
    assert ac.signed == signed
    assert ac.der == der.sequence(signed, rsa_sha256, der.tlv(der.BIT_STRING, b"\0", ac.signature))
    public = CMS.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(ac.signature, signed, padding.PKCS1v15(), hashes.SHA256())


def test_what_is_issued_is_parsed() -> None:
    ac = issued(targets=["se.example", "ce.example"], attributes=[NICKNAME])
    assert AttributeCertificate.parse(ac.der) == ac
    assert (ac.vo, ac.host, ac.port) == ("cms", "voms.cms.example", 15000)
    assert ac.fqans == FQANS
    assert ac.attributes == (NICKNAME,)
    assert ac.targets == ("se.example", "ce.example")
    assert ac.chain == (CMS.certificate,)
    assert ac.is_final
    assert ac.holder_name.der == end_entity(jane()).subject.public_bytes()
    assert ac.holder_serial == end_entity(jane()).serial_number
    assert 0 < ac.serial.bit_length() <= 159


@given(
    st.lists(fqans(st.just("cms")), min_size=1, max_size=8),
    st.lists(GENERIC, max_size=4),
    st.lists(HOSTS, max_size=4),
    FOREIGN_NAMES.filter(lambda name: len(name) > 2),
    st.integers(1, 2**159),
)
@settings(max_examples=40, deadline=None)
def test_whatever_is_issued_is_parsed(
    asked: list[Fqan], attributes: list[GenericAttribute], targets: list[str], name: bytes, serial: int
) -> None:
    draft = replace(jane().links[1].draft, subject=name, serial=serial)
    holder = load(draft.sign(authority().key))
    ac = CMS.issue(holder, asked, now=NOW, lifetime=HOUR, attributes=attributes, targets=targets)
    assert AttributeCertificate.parse(ac.der) == ac
    assert ac.fqans == tuple(dict.fromkeys(asked))
    assert attribute_certificates(_proxy_with(ac)) == (ac,)


def _proxy_with(*certificates: AttributeCertificate) -> x509.Certificate:
    own, eec_key = key(KeyKind.P_256, 50), jane().links[1].key
    return issue_proxy(
        end_entity(jane()),
        eec_key,
        own.public_key(),
        now=NOW,
        lifetime=HOUR,
        attribute_certificates=certificates,
    )


def test_a_proxy_carries_several_and_they_are_not_critical() -> None:
    acs = (issued(), issued(fqans=[Fqan("/cms")]))
    proxy = _proxy_with(*acs)
    carried = proxy.extensions.get_extension_for_oid(encode_extension(acs).oid)
    assert not carried.critical
    assert carried.value.public_bytes() == forge.extension_value(*(ac.der for ac in acs))
    assert attribute_certificates(proxy) == acs
    assert attribute_certificates(end_entity(jane())) == ()


def test_a_proxy_ends_with_its_attribute_certificate() -> None:
    short = CMS.issue(end_entity(jane()), FQANS, now=NOW, lifetime=HOUR / 2)
    assert _proxy_with(issued(), short).not_valid_after_utc == NOW + HOUR / 2
    past = CMS.issue(end_entity(jane()), FQANS, now=NOW - HOUR, lifetime=HOUR)
    with pytest.raises(IssuanceError) as error:
        _proxy_with(past)
    assert error.value.code == "ac_expired"


def test_the_first_fqan_stays_first_and_none_is_there_twice() -> None:
    first, second = Fqan("/cms", "production"), Fqan("/cms")
    assert issued(fqans=[first, second, first, second]).fqans == (first, second)


def test_the_lifetime_lies_within_the_authoritys_own() -> None:
    begin, end = CMS.certificate.not_valid_before_utc, CMS.certificate.not_valid_after_utc

    def times(**asked: object) -> tuple[object, object]:
        arguments = {"now": NOW, "lifetime": HOUR} | asked
        ac = CMS.issue(end_entity(jane()), FQANS, **arguments)  # type: ignore[arg-type]
        return ac.not_before, ac.not_after

    assert times() == (NOW - BACKDATE, NOW + HOUR)
    assert times(lifetime=30 * DAY) == (NOW - BACKDATE, end)
    assert times(now=begin) == (begin, begin + HOUR)
    assert times(now=NOW.replace(microsecond=999_999)) == (NOW - BACKDATE, NOW + HOUR)
    assert times(now=end - timedelta(seconds=1)) == (end - timedelta(seconds=1) - BACKDATE, end)
    refused("issuer_expired", now=end)
    refused("issuer_not_yet_valid", now=begin - timedelta(seconds=1))
    refused("lifetime", lifetime=timedelta())
    refused("lifetime", lifetime=timedelta(milliseconds=999))


def test_what_cannot_be_said_is_refused() -> None:
    refused(fqans=[])
    refused(fqans=[Fqan("/atlas")])
    refused(fqans=[Fqan("/cms"), Fqan("/cmsx")])
    refused(fqans=[Fqan(f"/cms/g{number}") for number in range(MAX_FQANS + 1)])
    refused(fqans=[Fqan(f"/cms/{number:03}{'x' * 220}") for number in range(MAX_FQANS)])  # too many octets


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\0", "\x7f", "\u2028", "\u202e", "x" * (MAX_ATTRIBUTE_CHARACTERS + 1), "\ud800"],
    ids=["line feed", "zero", "delete", "line separator", "right-to-left", "long", "half a pair"],
)
@pytest.mark.parametrize("field", ["name", "value", "qualifier"])
def test_a_generic_attribute_fits_on_a_line(text: str, field: str) -> None:
    refused(attributes=[replace(NICKNAME, **{field: text})])


def test_generic_attributes_and_targets_have_a_number() -> None:
    refused(attributes=[NICKNAME] * (MAX_ATTRIBUTES + 1))
    refused(targets=["se.example"] * (MAX_TARGETS + 1))
    assert len(issued(targets=["se.example"] * MAX_TARGETS).targets or ()) == MAX_TARGETS


@pytest.mark.parametrize("target", ["", "-", "a b", "a,b", "a\n", "https://se.example", "se.example:1094", "s\u00e9"])
def test_a_target_is_a_hosts_name(target: str) -> None:
    refused(targets=["se.example", target])


def test_a_holder_whose_name_cannot_be_read_is_refused() -> None:
    name = der.name(der.Attribute(NameOID.COMMON_NAME.dotted_string, der.T61, b"\xe9"))
    holder = load(replace(jane().links[1].draft, subject=name).sign(authority().key))
    with pytest.raises(IssuanceError) as error:
        CMS.issue(holder, FQANS, now=NOW, lifetime=HOUR)
    assert error.value.code == "holder_malformed"


def test_a_holder_whose_serial_number_has_no_bounds_is_refused() -> None:
    holder = load(replace(jane().links[1].draft, serial=1 << 2000).sign(authority().key))
    with pytest.raises(IssuanceError) as error:
        CMS.issue(holder, FQANS, now=NOW, lifetime=HOUR)
    assert error.value.code == "holder_malformed"


def unfit(draft: Draft = SIGNER, changed: Mapping[str, object] = MappingProxyType({})) -> str:
    """Make an authority with another certificate for its key; return why not."""
    certificate = load(draft.sign(authority().key))
    arguments = {"credential": Credential((certificate,), CMS.credential.key), "vo": "cms", "host": "h", "port": 1}
    with pytest.raises(AttributeCertificateError) as error:
        AttributeAuthority(**(arguments | dict(changed)))  # type: ignore[arg-type]
    assert error.value.code == "aa_unfit"
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"vo": ""},
        {"vo": "c ms"},
        {"vo": "cms\n"},
        {"vo": ".."},
        {"vo": "c/ms"},
        {"vo": "x" * 256},
        {"host": ""},
        {"host": ".."},
        {"host": "a/b"},
        {"host": "-h"},
        {"host": "h\n"},
        {"host": "x" * 254},
        {"port": 0},
        {"port": -1},
        {"port": 65536},
    ],
    ids=repr,
)
def test_an_authority_has_a_vo_a_host_and_a_port(changed: dict[str, object]) -> None:
    assert "vo://host:port" in unfit(changed=changed)


@pytest.mark.parametrize("kind", [KeyKind.P_256, KeyKind.ED25519])
def test_an_authoritys_key_is_an_rsa_key(kind: KeyKind) -> None:
    own = key(kind, CMS_KEY)
    certificate = load(rekeyed(SIGNER, own.public_key()).sign(authority().key))
    assert "RSA" in unfit(changed={"credential": Credential((certificate,), own)})
    assert "private key" in unfit(changed={"credential": Credential((certificate,))})


def test_a_weak_key_is_refused() -> None:
    weak = rsa_key(1024)
    certificate = load(rekeyed(SIGNER, weak.public_key()).sign(authority().key))
    with pytest.raises(CredentialFileError) as error:
        Credential((certificate,), weak)
    assert error.value.code == "key_weak"


def test_a_certificate_that_no_consumer_takes_a_signature_from_is_unfit() -> None:
    assert "CA" in unfit(SIGNER.having(Extension.of(x509.BasicConstraints(ca=True, path_length=None), critical=True)))
    usage = Extension.of(key_usage(key_encipherment=True), critical=True)
    assert "digitalSignature" in unfit(SIGNER.having(usage))
    assert "its own issuer" in unfit(replace(SIGNER, issuer=SIGNER.subject))
    assert "weak" in unfit(replace(SIGNER, hash="sha1"))
    proxy_info = jane().links[0].draft.find(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"))
    assert "proxy" in unfit(SIGNER.also(proxy_info))
    assert "proxy" not in unfit(SIGNER.also(replace(proxy_info, value=b"xx")))


def test_the_key_identifier_is_one_that_both_libraries_of_voms_take() -> None:
    def authority_with(digest: bytes) -> AttributeAuthority:
        draft = SIGNER.having(Extension.of(x509.SubjectKeyIdentifier(digest)))
        return replace(CMS, credential=Credential((load(draft.sign(authority().key)),), CMS.credential.key))

    sha256 = hashlib.sha256(b"key").digest()
    assert issued(by=authority_with(sha256)).authority_key_id == sha256
    own = x509.SubjectKeyIdentifier.from_public_key(CMS.certificate.public_key()).digest
    assert issued(by=authority_with(own)).authority_key_id == own
    with pytest.raises(AttributeCertificateError) as error:  # RFC 7093: as long as SHA-1, and not SHA-1
        authority_with(sha256[:20])
    assert error.value.code == "aa_unfit"
    without = load(SIGNER.without(x509.SubjectKeyIdentifier.oid).sign(authority().key))
    bare = replace(CMS, credential=Credential((without,), CMS.credential.key))
    assert issued(by=bare).authority_key_id == own


def test_the_chain_is_sent_along_without_the_root() -> None:
    cas = authorities(3)
    links = path(cas=cas, eec_kind=KeyKind.RSA_2048)
    chain = tuple(map(load, links.signed()))
    aa = AttributeAuthority(Credential(chain, links.links[0].key), "cms", "voms.cms.example", 15000)
    ac = issued(by=aa)
    assert ac.chain == aa.chain == chain[:3]
    assert AttributeCertificate.parse(ac.der) == ac


def test_several_authorities_speak_each_for_its_vo() -> None:
    other = replace(CMS, vo="atlas")
    ac = issued(by=other)
    assert (ac.vo, ac.fqans) == ("atlas", (Fqan("/atlas"),))
    assert AttributeCertificate.parse(ac.der) == ac


def test_each_has_a_serial_number_of_its_own() -> None:
    assert len({issued().serial for _ in range(8)}) == 8


def test_what_is_issued_holds() -> None:
    ac = issued()
    assert verified(forge.carrying(jane(), ac.der)) == (ac,)
