"""Attribute certificates and the chains that carry them, good and bad: what we say of each, and what VOMS's C library.

What we take, it takes; the reverse does not hold, and what it takes that it should not is written down here as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from proxy_gen.keys import KeyKind
from proxy_gen.voms.certificate import MAX_CERTIFICATES, GenericAttribute
from proxy_gen.voms.structures import (
    AUTHORITY_KEY_IDENTIFIER,
    GENERIC_ATTRIBUTES,
    NO_REVOCATION_AVAILABLE,
    SIGNER_CERTIFICATES,
    TARGETS,
)
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, HOUR, NOW, authority
from tests.proxy_gen.forge import Extension, Path
from tests.proxy_gen.keyring import key
from tests.proxy_gen.voms import forge
from tests.proxy_gen.voms.makers import (
    CMS_URI,
    FILES,
    at,
    bent,
    by_ca,
    by_changed,
    by_elliptic_curve,
    by_proxy,
    carried,
    critical,
    draft,
    expired,
    foreign,
    fqans,
    hashed,
    having,
    holder,
    lasting,
    numbered,
    respelt,
    said,
    signed_by,
    tampered,
    trusting,
    uniquely_issued,
    weakly_identified,
    with_value,
    without,
)
from tests.proxy_gen.voms.world import ATLAS, ATLAS_KEY, CMS, end_entity, issued, jane, joe

SECOND = HOUR / 3600
NULL = der.tlv(der.NULL)
FQAN = b"/cms/Role=NULL/Capability=NULL"
ATTRIBUTE = forge.attribute(forge.ietf(CMS_URI, FQAN))
UNKNOWN = Extension("1.2.3.4", NULL)
OWNER = end_entity(jane())


@dataclass(frozen=True)
class Case:
    """A chain to be made, our code (None: it holds), and whether VOMS's C library takes it (None: it crashes on it)."""

    name: str
    make: Callable[[], Path]
    code: str | None
    by_voms: bool | None
    depth: int = 0
    files: Callable[[], dict[str, bytes]] = FILES.copy


GOOD = (
    ("as issued", carried(issued)),
    ("forged unchanged", bent(lambda d: d)),
    ("of two VOs", lambda: forge.carrying(jane(), issued().der, issued(by=ATLAS).der)),
    ("twice", at({0: 2})),
    ("in a parent proxy", at({1: 1})),
    ("in two proxies", at({0: 1, 1: 1})),
    ("in the end entity", at({2: 1})),
    ("holder by issuer", bent(holder(authority().certificate.subject))),
    ("holder respelt", bent(holder(respelt()))),
    ("SHA-384", bent(hashed("sha384"))),
    ("SHA-512", bent(hashed("sha512"))),
    ("unknown extension", bent(lambda d: d.also(UNKNOWN))),
    ("generic attributes", carried(lambda: issued(attributes=[GenericAttribute("n", "v", "q")]))),
    ("generic attributes empty", bent(having(GENERIC_ATTRIBUTES, der.sequence(der.sequence())))),
    ("serial number of 20 octets", bent(numbered((1 << 160) - 1))),
    ("FQAN in its short form", bent(fqans(b"/cms/Role=production"))),
)

BAD = (
    # the holder
    ("stolen", carried(issued, joe), "ac_holder", False),
    ("another serial number", bent(holder(serial=7)), "ac_holder", False),
    ("serial number negated", bent(holder(serial=-OWNER.serial_number)), "ac_holder", False),
    ("another name", bent(holder(end_entity(joe()).subject)), "ac_holder", False),
    ("issuer with unique identifier", uniquely_issued, "ac_holder", False),
    # the times
    ("not yet valid", bent(lasting(NOW + HOUR, NOW + DAY)), "ac_not_yet_valid", False),
    ("not yet, by a second", bent(lasting(NOW + SECOND, NOW + DAY)), "ac_not_yet_valid", True),
    ("expired", bent(lasting(NOW - DAY, NOW - HOUR)), "ac_expired", False),
    ("expired this second", bent(lasting(NOW - DAY, NOW)), "ac_expired", True),
    # the serial number
    ("serial number 0", bent(numbered(0)), "ac_serial", True),
    ("serial number negative", bent(numbered(-5)), "ac_serial", True),
    ("serial number of 21 octets", bent(numbered(1 << 160)), "ac_serial", False),
    ("serial number without bounds", bent(numbered(1 << 80_000)), "ac_malformed", False),
    # extensions
    ("revocable", bent(without(NO_REVOCATION_AVAILABLE)), "ac_revocation", False),
    ("noRevAvail no NULL", bent(having(NO_REVOCATION_AVAILABLE, der.sequence())), "ac_malformed", True),
    ("noRevAvail critical", bent(critical(NO_REVOCATION_AVAILABLE)), "ac_unsupported", False),
    ("certificates critical", bent(critical(SIGNER_CERTIFICATES)), "ac_unsupported", False),
    ("key identifier critical", bent(critical(AUTHORITY_KEY_IDENTIFIER)), "ac_unsupported", False),
    ("unknown, critical", bent(lambda d: d.also(replace(UNKNOWN, critical=True))), "ac_unsupported", False),
    ("unknown, twice", bent(lambda d: d.also(UNKNOWN).also(UNKNOWN)), "ac_malformed", True),
    ("target elsewhere", bent(lambda d: forge.targeted(d, b"elsewhere.example")), "ac_target", False),
    ("no target at all", bent(forge.targeted), "ac_target", False),
    ("target not critical", bent(lambda d: forge.targeted(d, b"se.example", critical=False)), "ac_target", True),
    (
        "target as in the RFC",
        bent(having(TARGETS, der.sequence(der.sequence(der.tlv(0xA0, forge.uri(b"h")))), critical=True)),
        "ac_malformed",
        False,
    ),
    ("without key identifier", bent(without(AUTHORITY_KEY_IDENTIFIER)), "ac_key_id", False),
    (
        "another's key identifier",
        bent(having(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.tlv(0x80, b"x" * 20)))),
        "ac_key_id",
        False,
    ),
    (
        "short key identifier",
        bent(having(AUTHORITY_KEY_IDENTIFIER, der.sequence(der.tlv(0x80, b"x")))),
        "ac_key_id",
        True,
    ),
    ("key identifier not to be read", bent(having(AUTHORITY_KEY_IDENTIFIER, b"xx")), "ac_malformed", False),
    # the fields
    ("version 1", bent(lambda d: replace(d, version=der.integer(0))), "ac_malformed", True),
    (
        "unique identifier",
        bent(lambda d: replace(d, unique_id=der.tlv(der.BIT_STRING, b"\0x"))),
        "ac_unsupported",
        True,
    ),
    (
        "another algorithm outside",
        bent(lambda d: d, outer=der.sequence(der.oid("1.2.840.113549.1.1.11"))),
        "ac_malformed",
        True,
    ),
    # the attributes
    ("no attribute", bent(said()), "ac_malformed", False),
    ("attribute twice", bent(said(ATTRIBUTE, ATTRIBUTE)), "ac_malformed", True),
    ("another attribute", bent(said(ATTRIBUTE, forge.attribute(NULL, oid="2.5.4.72"))), "ac_malformed", False),
    (
        "two values",
        bent(said(forge.attribute(*sorted([forge.ietf(CMS_URI, FQAN), forge.ietf(CMS_URI, FQAN, FQAN)])))),
        "ac_malformed",
        False,
    ),
    ("no FQAN", bent(fqans()), "ac_malformed", True),
    ("FQAN of another VO", bent(fqans(FQAN, b"/atlas/Role=NULL/Capability=NULL")), "ac_malformed", False),
    ("FQAN of a longer VO", bent(fqans(b"/cmsx/Role=NULL/Capability=NULL")), "ac_malformed", False),
    ("FQAN with a line feed", bent(fqans(b"/cms/x\n/Role=a")), "ac_malformed", True),
    ("FQAN with a zero", bent(fqans(b"/cms/x\0/Role=production")), "ac_malformed", True),
    ("FQAN not ASCII", bent(fqans("/cms/\u00e9".encode())), "ac_malformed", True),
    ("FQAN with a capability", bent(fqans(b"/cms/Role=NULL/Capability=x")), "ac_malformed", True),
    (
        "FQAN as text",
        bent(said(forge.attribute(der.sequence(der.tlv(0xA0, CMS_URI), der.sequence(der.tlv(der.UTF8, FQAN)))))),
        "ac_malformed",
        False,
    ),
    ("authority without port", bent(fqans(FQAN, uri=forge.uri(b"cms://voms.cms.example"))), "ac_malformed", False),
    (
        "authority with port 99999",
        bent(fqans(FQAN, uri=forge.uri(b"cms://voms.cms.example:99999"))),
        "ac_malformed",
        True,
    ),
    ("two authorities", bent(fqans(FQAN, uri=CMS_URI * 2)), "ac_malformed", False),
    ("authority no URI", bent(fqans(FQAN, uri=der.tlv(0x82, b"cms://voms.cms.example:15000"))), "ac_malformed", False),
    (
        "generic attributes of another",
        bent(
            having(
                GENERIC_ATTRIBUTES,
                der.sequence(der.sequence(forge.generic(forge.uri(b"atlas://h:1"), (b"n", b"v", b"q")))),
            )
        ),
        "ac_malformed",
        True,
    ),
    # the VO and the signer
    ("unknown VO", carried(lambda: issued(by=replace(CMS, vo="lhcb"))), "ac_vo_unknown", False),
    ("signer of another VO", carried(lambda: issued(by=replace(ATLAS, vo="cms"))), "ac_untrusted", False),
    (
        "signer of another VO at the host",
        carried(lambda: issued(by=replace(ATLAS, vo="cms", host=CMS.host))),
        "ac_untrusted",
        False,
    ),
    ("another host's name", carried(lambda: issued(by=replace(CMS, host="voms2.cms.example"))), "ac_untrusted", False),
    ("without certificates", bent(without(SIGNER_CERTIFICATES)), "ac_untrusted", False),
    ("no certificate", bent(having(SIGNER_CERTIFICATES, forge.extension_value())), "ac_malformed", None),
    (
        "another issuer",
        bent(lambda d: replace(d, issuer=forge.Draft.of(issued(by=ATLAS)).issuer)),
        "ac_issuer_mismatch",
        False,
    ),
    ("signer of an untrusted CA", carried(lambda: issued(by=foreign())), "ac_signer", False),
    # the signature
    ("SHA-1", bent(hashed("sha1")), "ac_signature_weak", True),
    ("content altered", carried(lambda: issued().der.replace(b"production", b"productiom")), "ac_signature", False),
    ("signature altered", carried(tampered), "ac_signature", False),
    ("signed with another key", carried(lambda: draft().sign(key(KeyKind.RSA_2048, ATLAS_KEY))), "ac_signature", False),
    # the list
    ("empty list", with_value(forge.extension_value()), "ac_malformed", False),
    ("no list", with_value(b"xx"), "ac_malformed", False),
    ("something behind the list", with_value(forge.extension_value(issued().der) + b"\0"), "ac_malformed", True),
    ("good, then stolen", lambda: forge.carrying(jane(), issued().der, issued(joe()).der), "ac_holder", False),
    ("too many", at({0: MAX_CERTIFICATES + 1}), "ac_too_large", True),
)

_SIGNERS = (
    ("elliptic curve", by_elliptic_curve(), None, True),
    ("a proxy", by_proxy(), "ac_signer", False),
    ("a CA", by_ca(), "ac_signer", True),
    ("expired", by_changed(expired), "ac_signer", False),
    ("identified by another digest", by_changed(weakly_identified), "ac_key_id", True),
)

CASES = (
    *(Case(name, make, None, by_voms=True) for name, make in GOOD),
    *(Case(name, make, code, by_voms) for name, make, code, by_voms in BAD),
    *(
        Case(
            f"signer {name}",
            carried(partial(signed_by, *signer)),
            code,
            by_voms,
            files=partial(trusting, *signer[0]),
        )
        for name, signer, code, by_voms in _SIGNERS
    ),
)
