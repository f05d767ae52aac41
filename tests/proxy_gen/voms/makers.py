"""Makers of attribute certificates, good and bad, in chains that carry them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority
from proxy_gen.keys import KeyKind, PrivateKey
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.structures import AUTHORITY_KEY_IDENTIFIER, SIGNER_CERTIFICATES
from proxy_gen.voms.vomsdir import lsc_file, vomsdir
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, NOW, Delegation, authority, path
from tests.proxy_gen.forge import Draft as Certificate
from tests.proxy_gen.forge import Extension, Path, load
from tests.proxy_gen.keyring import key
from tests.proxy_gen.voms import forge
from tests.proxy_gen.voms.forge import Draft
from tests.proxy_gen.voms.world import ATLAS, CMS, CMS_KEY, FOREIGN_KEY, end_entity, issued, jane, vo_authority

LSC = "cms/voms.cms.example.lsc"
FILES = vomsdir([CMS, ATLAS])
CMS_URI = forge.uri(b"cms://voms.cms.example:15000")
Change: TypeAlias = Callable[[Draft], Draft]
Signer: TypeAlias = tuple[tuple[x509.Certificate, ...], PrivateKey]


@cache
def draft() -> Draft:
    """What the authority of `cms` says of Jane."""
    return Draft.of(issued())


def own_key(authority: AttributeAuthority = CMS) -> PrivateKey:
    assert authority.credential.key is not None
    return authority.credential.key


def bent(change: Change, **outer: bytes) -> Callable[[], Path]:
    """Let Jane's proxy carry what the authority said of her, changed and signed anew by it."""
    return lambda: forge.carrying(jane(), change(draft()).sign(own_key(), **outer))


def carried(make: Callable[[], bytes | AttributeCertificate], by: Callable[[], Path] = jane) -> Callable[[], Path]:
    """Let somebody's proxy carry an attribute certificate."""

    def carrier() -> Path:
        made = make()
        return forge.carrying(by(), made if isinstance(made, bytes) else made.der)

    return carrier


def having(oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> Change:
    return lambda d: d.having(oid, value, critical=critical)


def said(*attributes: bytes) -> Change:
    return lambda d: replace(d, attributes=attributes)


def fqans(*texts: bytes, uri: bytes = CMS_URI) -> Change:
    return said(forge.attribute(forge.ietf(uri, *texts)))


def lasting(not_before: datetime, not_after: datetime) -> Change:
    return lambda d: replace(d, validity=forge.valid(not_before, not_after))


def numbered(serial: int) -> Change:
    return lambda d: replace(d, serial=der.integer(serial))


def critical(oid: x509.ObjectIdentifier) -> Change:
    """Make an extension that is there critical."""
    return lambda d: d.having(oid, d.find(oid).value, critical=True)


def without(oid: x509.ObjectIdentifier) -> Change:
    return lambda d: d.without(oid)


def hashed(name: str) -> Change:
    return lambda d: replace(d, hash=name)


def holder(name: x509.Name | None = None, serial: int | None = None) -> Change:
    owner = end_entity(jane())
    number = owner.serial_number if serial is None else serial
    return lambda d: replace(d, holder=forge.held_by(name or owner.subject, number))


def respelt() -> x509.Name:
    """Jane's name in capitals, with more blanks, as one string type throughout."""
    attributes = [(a.oid.dotted_string, str(a.value)) for a in end_entity(jane()).subject]
    rdns = [der.Attribute(oid, der.UTF8, f" {text.upper().replace(' ', '  ')} ".encode()) for oid, text in attributes]
    own = replace(jane().links[1].draft, subject=der.name(*rdns))
    return load(own.sign(authority().key)).subject


def signed_by(links: Sequence[x509.Certificate], own: PrivateKey) -> bytes:
    """Let another signer, leaf first, say what the authority of `cms` said."""
    digest = x509.SubjectKeyIdentifier.from_public_key(own.public_key()).digest
    name = der.tlv(forge.DIRECTORY_NAME, links[0].subject.public_bytes())
    listed = forge.extension_value(*(certificate.public_bytes(Encoding.DER) for certificate in links))
    said_by = replace(draft(), issuer=der.tlv(0xA0, der.sequence(name))).having(SIGNER_CERTIFICATES, listed)
    return said_by.having(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.tlv(0x80, digest))).sign(own)


def trusting(*signer: x509.Certificate) -> dict[str, bytes]:
    """Return the VOMS directory in which the `.lsc` file of `cms` names this signer."""
    return FILES | {LSC: lsc_file(signer)}


@cache
def foreign() -> AttributeAuthority:
    """An authority of the very same name, under a CA of the very same name that nobody trusts."""
    ca = CertificateAuthority.create(authority().subject, KeyKind.P_256, now=NOW - 30 * DAY, lifetime=60 * DAY)
    return vo_authority("cms", FOREIGN_KEY, ca)


@cache
def by_proxy() -> Signer:
    links = path([Delegation(key_kind=KeyKind.RSA_2048)], identity=DistinguishedName(CMS.certificate.subject))
    return tuple(map(load, links.signed()[:2])), links.links[0].key


def by_ca() -> Signer:
    return (authority().certificate,), authority().key


@cache
def by_elliptic_curve() -> Signer:
    own = key(KeyKind.P_256, CMS_KEY)
    subject = DistinguishedName(CMS.certificate.subject)
    return (authority().issue_eec(subject, own.public_key(), now=NOW, lifetime=DAY),), own


@cache
def by_changed(change: Callable[[Certificate], Certificate]) -> Signer:
    """The authority's certificate, changed and signed anew by its CA."""
    changed = change(Certificate.of(CMS.certificate)).sign(authority().key)
    return (load(changed),), own_key()


def expired(certificate: Certificate) -> Certificate:
    return replace(certificate, not_after=NOW)


def weakly_identified(certificate: Certificate) -> Certificate:
    return certificate.having(Extension.of(x509.SubjectKeyIdentifier(b"another identifier!!")))


def tampered() -> bytes:
    """Change the last bit of the signature."""
    genuine = issued().der
    return genuine[:-1] + bytes([genuine[-1] ^ 1])


@cache
def deep() -> Path:
    """Return a path with two proxies."""
    return path([Delegation(), Delegation()])


def at(depths: dict[int, int], links: Callable[[], Path] = deep) -> Callable[[], Path]:
    """Let the certificates at these depths carry what the authority said of the path's end entity, so many times."""

    def make() -> Path:
        bent, said_of_it = links(), issued(links()).der
        for depth, times in depths.items():
            bent = forge.carrying(bent, *[said_of_it] * times, depth=depth)
        return bent

    return make


def with_value(value: bytes) -> Callable[[], Path]:
    """Let Jane's proxy have these octets for the extension."""
    return lambda: forge.carrying_value(jane(), value)


def uniquely_issued() -> Path:
    """Give the end entity's issuer a unique identifier, of which the attribute certificate says nothing."""
    links = jane()
    own = links.links[1].draft
    # the field follows the key (RFC 5280 section 4.1)
    own = replace(own, public_key=own.public_key + der.tlv(0x81, b"\0x"))
    return forge.carrying(links.bent(1, own), issued().der)
