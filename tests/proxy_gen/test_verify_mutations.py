"""Chains that must not hold: each fault has its own code, at the depth where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.ca import key_usage
from proxy_gen.credential import MAX_CHAIN
from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import GT3_PROXY_CERT_INFO, PROXY_CERT_INFO, ProxyKind
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from tests.proxy_gen import der, libcrypto
from tests.proxy_gen.chains import HOUR, JANE, NOW, TOP, Delegation, authorities, authority, path, rekeyed, trusting
from tests.proxy_gen.forge import Draft, Extension, Path, load
from tests.proxy_gen.keyring import dsa_key, ec_key, key, rsa_key

pytestmark = pytest.mark.filterwarnings(
    "ignore:Attribute's length", "ignore:Parsed a serial number which wasn't positive"
)

# the path that is bent: leaf, proxy, end entity, issuing CA, root
LEAF, PROXY, EEC, CA, ROOT = range(5)
SECOND = HOUR / 3600
NETSCAPE = "2.16.840.1.113730.1.1"

Change: TypeAlias = Callable[[Draft], Draft]


def valid() -> Path:
    return path([Delegation(path_length=4), Delegation(path_length=3)], cas=authorities(2))


def refused(chain: list[bytes], anchors: list[bytes]) -> tuple[str, int]:
    with pytest.raises(VerificationError) as error:
        verify([load(certificate) for certificate in chain], trusting(*anchors), NOW)
    assert "\n" not in str(error.value)
    return error.value.code, error.value.depth


def holds_for_openssl(chain: list[bytes], anchors: list[bytes], *, strict: bool) -> bool:
    verdicts = [libcrypto.verify(chain, anchors, NOW, strict=strict, as_client=client) for client in (False, True)]
    return all(verdicts)


def fixed(value: x509.ExtensionType, *, critical: bool = False) -> Change:
    return lambda draft: draft.having(Extension.of(value, critical=critical))


def raw(oid: str, value: bytes, *, critical: bool = False) -> Change:
    return lambda draft: draft.having(Extension(oid, value, critical))


def dropped(oid: x509.ObjectIdentifier) -> Change:
    return lambda draft: draft.without(oid)


def info(value: bytes, *, critical: bool = True) -> Change:
    return raw(PROXY_CERT_INFO.dotted_string, value, critical=critical)


def policy(language: str, path_length: bytes = b"", contents: bytes = b"") -> bytes:
    return der.sequence(path_length, der.sequence(der.oid(language), contents))


def also(oid: str, value: bytes = b"") -> Change:
    return lambda draft: draft.also(Extension(oid, value)).also(Extension(oid, value))


def renamed(change: Callable[[bytes], bytes]) -> Change:
    return lambda draft: replace(draft, subject=change(draft.subject))


def common_name(value: bytes, tag: int = der.UTF8) -> der.Attribute:
    return der.Attribute(NameOID.COMMON_NAME.dotted_string, tag, value)


def called(*below: der.Attribute | list[der.Attribute]) -> Change:
    """Name it as Jane, with these RDNs below her."""
    rdns = [der.Attribute(oid.dotted_string, _tag(oid), value.encode()) for oid, value in JANE.pairs]
    return lambda draft: replace(draft, subject=der.name(*rdns, *below))


def _tag(oid: x509.ObjectIdentifier) -> int:
    return der.IA5 if oid == NameOID.DOMAIN_COMPONENT else der.UTF8


def critical(oid: x509.ObjectIdentifier, *, flag: bool = True) -> Change:
    return lambda draft: draft.having(replace(draft.find(oid), critical=flag))


def psskeyed(draft: Draft) -> Draft:
    """Bind the key, an RSA key of the ring, to RSASSA-PSS."""
    public = key(KeyKind.RSA_2048).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.10"))
    return replace(draft, public_key=der.sequence(algorithm, der.tlv(der.BIT_STRING, b"\0", public)))


def dsa_keyed(draft: Draft) -> Draft:
    public = dsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return replace(draft, public_key=public)


def authority_named(name: str, serial: int | None = None) -> Change:
    """Let the authority key identifier name the issuer's issuer and serial number beside the right key."""

    def change(draft: Draft) -> Draft:
        ca = valid().links[CA].draft
        known = load(ca.sign(authority().key)).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        names = [x509.DirectoryName(DistinguishedName.parse(name).name)]
        value = x509.AuthorityKeyIdentifier(known.value.digest, names, ca.serial if serial is None else serial)
        return draft.having(Extension.of(value))

    return change


NO_RIGHTS = key_usage(key_encipherment=True)
FOR_SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
ANOTHER_KEY = x509.SubjectKeyIdentifier(b"another")
NAMES = x509.SubjectAlternativeName([x509.DNSName("localhost")])
A_CA = x509.BasicConstraints(ca=True, path_length=None)
ANOTHERS = x509.AuthorityKeyIdentifier(b"another", None, None)
MALFORMED_AKI = raw("2.5.29.35", b"xx")
FULL = ProxyKind.FULL.value

FAULTS: dict[str, tuple[str, int, Change]] = {
    # times
    "leaf expired": ("expired", LEAF, lambda d: replace(d, not_after=NOW)),
    "end entity expired": ("expired", EEC, lambda d: replace(d, not_after=NOW)),
    "CA expired": ("expired", CA, lambda d: replace(d, not_after=NOW - HOUR)),
    "root expired": ("expired", ROOT, lambda d: replace(d, not_after=NOW - HOUR)),
    "leaf not yet valid": ("not_yet_valid", LEAF, lambda d: replace(d, not_before=NOW + SECOND)),
    "proxy not yet valid": ("not_yet_valid", PROXY, lambda d: replace(d, not_before=NOW + SECOND)),
    "leaf of the year 0": ("time_malformed", LEAF, lambda d: replace(d, not_before=d.not_before.replace(year=1))),
    # who signed
    "foreign issuer": ("issuer_mismatch", LEAF, lambda d: replace(d, issuer=JANE.child("1").der)),
    "issuer is the end entity": ("issuer_mismatch", LEAF, lambda d: replace(d, issuer=JANE.der)),
    "end entity is its own issuer": ("untrusted", EEC, lambda d: replace(d, issuer=d.subject)),
    # what a proxy is
    "CA:TRUE in leaf": ("is_a_ca", LEAF, fixed(A_CA, critical=True)),
    "CA:TRUE in proxy": ("is_a_ca", PROXY, fixed(A_CA)),
    "keyCertSign in leaf": ("key_usage", LEAF, fixed(key_usage(digital_signature=True, key_cert_sign=True))),
    "keyCertSign in end entity": ("key_usage", EEC, fixed(key_usage(digital_signature=True, key_cert_sign=True))),
    "CA:TRUE in end entity": ("is_a_ca", EEC, fixed(A_CA, critical=True)),
    "SAN in leaf": ("alternative_name", LEAF, fixed(NAMES)),
    "IAN in leaf": ("alternative_name", LEAF, fixed(x509.IssuerAlternativeName([x509.DNSName("localhost")]))),
    "empty SAN in end entity": ("alternative_name", EEC, raw("2.5.29.17", der.sequence())),
    "two CNs": ("proxy_subject", PROXY, called(common_name(b"1"), common_name(b"2"))),
    "no CN more": ("proxy_subject", PROXY, called()),
    "foreign subject": ("proxy_subject", PROXY, lambda d: replace(d, subject=DistinguishedName.parse("/CN=1").der)),
    "OU for CN": ("proxy_subject", PROXY, called(der.Attribute("2.5.4.11", der.UTF8, b"1"))),
    "empty CN": ("proxy_subject", PROXY, called(common_name(b""))),
    "multi-valued last RDN": (
        "proxy_subject",
        PROXY,
        called([common_name(b"1"), der.Attribute("2.5.4.11", der.UTF8, b"2")]),
    ),
    "issuer's case changed": ("proxy_subject", PROXY, renamed(lambda name: name.replace(b"Jane", b"JANE"))),
    "PCI not critical": ("proxy_info_not_critical", LEAF, critical(PROXY_CERT_INFO, flag=False)),
    "PCI missing": ("untrusted", LEAF, dropped(PROXY_CERT_INFO)),
    "PCI of GT3 beside": ("extension_unsupported", LEAF, raw(GT3_PROXY_CERT_INFO.dotted_string, policy(FULL))),
    "PCI malformed": ("extension_malformed", LEAF, info(b"xx")),
    "PCI of GT3's order": (
        "extension_malformed",
        LEAF,
        info(der.sequence(der.sequence(der.oid(FULL)), der.integer(1))),
    ),
    "PCI with trailing octets": ("extension_malformed", LEAF, info(policy(FULL) + b"\0")),
    "unknown policy": ("proxy_policy", LEAF, info(policy("1.2.3.4"))),
    "policy id-ppl-anyLanguage": ("proxy_policy", LEAF, info(policy("1.3.6.1.5.5.7.21.0"))),
    "policy with contents": ("proxy_policy", LEAF, info(policy(FULL, contents=der.tlv(der.OCTET_STRING, b"x")))),
    "negative path length": ("proxy_path_length", LEAF, info(policy(FULL, der.integer(-1)))),
    "path length exceeded": ("proxy_path_length", LEAF, lambda d: d),  # below a bent parent: see _bent
    "path length that wraps": ("proxy_path_length", PROXY, info(policy(FULL, der.integer(2**31 - 1)))),
    "path length as long as the parent's": ("proxy_path_length", LEAF, info(policy(FULL, der.integer(4)))),
    "limited, then full": ("limited", LEAF, lambda d: d),
    "key reused": ("key_reused", LEAF, lambda d: rekeyed(d, valid().links[PROXY].key.public_key())),
    "key of the end entity reused": ("key_reused", PROXY, lambda d: rekeyed(d, valid().links[EEC].key.public_key())),
    "proxy without digitalSignature": ("key_usage", LEAF, fixed(NO_RIGHTS, critical=True)),
    # identifiers
    "AKI missing in leaf": ("authority_key_id_missing", LEAF, dropped(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)),
    "AKI missing in end entity": ("authority_key_id_missing", EEC, dropped(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)),
    "AKI without key": (
        "authority_key_id_missing",
        EEC,
        fixed(x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(JANE.name)], 1)),
    ),
    "AKI without key in root": (
        "authority_key_id_mismatch",
        ROOT,
        fixed(x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(JANE.name)], 1)),
    ),
    "AKI foreign": ("authority_key_id_mismatch", EEC, fixed(ANOTHERS)),
    "AKI of a foreign issuer": ("authority_key_id_mismatch", EEC, authority_named(f"{TOP}/CN=Another")),
    "AKI of a foreign serial": ("authority_key_id_mismatch", EEC, authority_named(f"{TOP}/CN=Root", 1)),
    "AKI foreign in root": ("authority_key_id_mismatch", ROOT, fixed(ANOTHERS)),
    "AKI critical": ("extension_critical", LEAF, critical(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)),
    "AKI malformed": ("extension_malformed", LEAF, MALFORMED_AKI),
    "SKI critical": ("extension_critical", CA, critical(ExtensionOID.SUBJECT_KEY_IDENTIFIER)),
    "SKI missing in CA": ("subject_key_id_missing", CA, dropped(ExtensionOID.SUBJECT_KEY_IDENTIFIER)),
    "SKI foreign in CA": ("authority_key_id_mismatch", EEC, lambda d: d),
    # what an end entity is
    "end entity without digitalSignature": ("key_usage", EEC, fixed(NO_RIGHTS, critical=True)),
    "end entity marked as CA by Netscape": (
        "is_a_ca",
        EEC,
        lambda d: raw(NETSCAPE, b"\x03\x02\x00\x07")(d.without(x509.KeyUsage.oid).without(x509.BasicConstraints.oid)),
    ),
    "end entity called proxy": ("name_reserved", EEC, called(common_name(b"proxy"))),
    "end entity called limited proxy": ("name_reserved", EEC, called(common_name(b"limited proxy", der.PRINTABLE))),
    "Netscape's type malformed": ("extension_malformed", EEC, raw(NETSCAPE, b"xx")),
    "Netscape's type malformed in CA": ("extension_malformed", CA, raw(NETSCAPE, b"xx")),
    # what a CA is
    "CA without basicConstraints": ("not_a_ca", CA, dropped(ExtensionOID.BASIC_CONSTRAINTS)),
    "CA:FALSE": ("not_a_ca", CA, fixed(x509.BasicConstraints(ca=False, path_length=None), critical=True)),
    "basicConstraints not critical": (
        "basic_constraints_not_critical",
        CA,
        critical(ExtensionOID.BASIC_CONSTRAINTS, flag=False),
    ),
    "CA without keyCertSign": ("ca_key_usage", CA, fixed(key_usage(crl_sign=True), critical=True)),
    "CA without key usage": ("ca_key_usage", CA, dropped(ExtensionOID.KEY_USAGE)),
    "CA path length": ("ca_path_length", ROOT, fixed(x509.BasicConstraints(ca=True, path_length=0), critical=True)),
    "CA that is a proxy": ("is_a_proxy", CA, info(policy(FULL))),
    # what everything is
    "unknown critical extension in leaf": ("extension_critical", LEAF, raw("1.2.3.4", b"", critical=True)),
    "unknown critical extension in CA": ("extension_critical", CA, raw("1.2.3.4", b"", critical=True)),
    "name constraints": (
        "extension_unsupported",
        CA,
        fixed(x509.NameConstraints([x509.DirectoryName(DistinguishedName.parse("/O=x").name)], None), critical=True),
    ),
    "address blocks": ("extension_unsupported", EEC, raw("1.3.6.1.5.5.7.1.7", b"")),
    "an extension twice in leaf": ("extension_malformed", LEAF, also("1.2.3.4")),
    "an extension twice in end entity": ("extension_malformed", EEC, also("1.2.3.4")),
    "an extension twice in CA": ("extension_malformed", CA, also("1.2.3.4")),
    "malformed CRL distribution point": ("extension_malformed", EEC, raw("2.5.29.31", b"xx")),
    "general name of an unknown type": (
        "extension_malformed",
        EEC,
        raw("2.5.29.17", der.sequence(der.tlv(0xA3, b""))),
    ),
    "critical SAN": ("extension_critical", EEC, fixed(NAMES, critical=True)),
    "critical certificate policies": (
        "extension_critical",
        EEC,
        raw("2.5.29.32", der.sequence(der.sequence(der.oid("1.2.3.4"))), critical=True),
    ),
    # what a key may be used for
    "end entity for servers": ("extended_key_usage", EEC, fixed(FOR_SERVERS)),
    "leaf for servers": ("extended_key_usage", LEAF, fixed(FOR_SERVERS, critical=True)),
    "proxy for anything": ("extended_key_usage", PROXY, fixed(x509.ExtendedKeyUsage([ANY_USAGE]))),
    "CA for servers": ("extended_key_usage", CA, fixed(FOR_SERVERS)),
    "Netscape's type of a server": ("extended_key_usage", EEC, raw(NETSCAPE, b"\x03\x02\x00\x40")),
    "empty extended key usage": ("extension_malformed", EEC, raw("2.5.29.37", der.sequence(b"\5\0"))),
    "version 1": ("version", EEC, lambda d: replace(d, version=1)),
    "version 1 in root": ("version", ROOT, lambda d: replace(d, version=1)),
    "serial zero": ("serial", LEAF, lambda d: replace(d, serial=0)),
    "serial of 21 octets": ("serial", EEC, lambda d: replace(d, serial=1 << 159)),
    "serial without end": ("serial", LEAF, lambda d: replace(d, serial=1 << 8000)),
    "serial negative": ("serial", EEC, lambda d: replace(d, serial=-1)),
    "no subject": ("name_empty", EEC, lambda d: replace(d, subject=der.name())),
    "subject in VisibleString": (
        "name_malformed",
        EEC,
        lambda d: replace(d, subject=der.name(common_name(b"a", der.VISIBLE))),
    ),
    "subject in Latin-1": (
        "name_malformed",
        EEC,
        lambda d: replace(d, subject=der.name(common_name(b"\xe9", der.T61))),
    ),
    "subject in UTF-16": (
        "name_malformed",
        EEC,
        lambda d: replace(d, subject=der.name(common_name("\U0001f600".encode("utf-16-be"), der.BMP))),
    ),
    "RSA-1024": ("key_weak", LEAF, lambda d: rekeyed(d, rsa_key(1024).public_key())),
    "RSA-1024 in end entity": ("key_weak", EEC, lambda d: rekeyed(d, rsa_key(1024).public_key())),
    "DSA": ("key_type", LEAF, dsa_keyed),
    "secp256k1": ("key_type", LEAF, lambda d: rekeyed(d, ec_key(ec.SECP256K1).public_key())),
    "RSA bound to PSS": ("key_type", LEAF, psskeyed),
    "SHA-1 signature on leaf": ("signature_weak", LEAF, lambda d: replace(d, hash="sha1")),
    "SHA-1 signature on end entity": ("signature_weak", EEC, lambda d: replace(d, hash="sha1")),
}
# What is bent in another place than where the fault is told.
ELSEWHERE: dict[str, tuple[int, Change]] = {
    "path length exceeded": (PROXY, info(policy(FULL, der.integer(0)))),
    "limited, then full": (PROXY, info(policy(ProxyKind.LIMITED.value))),
    "SKI foreign in CA": (CA, fixed(ANOTHER_KEY)),
}
# Faults of which OpenSSL, without -x509_strict and with it, thinks nothing: grid software does, or RFC 3820.
LENIENT = {
    "CA:TRUE in end entity",  # without keyCertSign
    "issuer's case changed",
    "PCI not critical",
    "PCI of GT3 beside",
    "PCI with trailing octets",
    "unknown policy",
    "policy id-ppl-anyLanguage",
    "policy with contents",
    "negative path length",
    "limited, then full",
    "key reused",
    "CA path length",  # OpenSSL lets the path lengths of proxies count for it
    "an extension twice in leaf",
    "an extension twice in end entity",
    "an extension twice in CA",
    "general name of an unknown type",
    "version 1",
    "serial zero",
    "serial negative",
    "leaf of the year 0",
    "serial of 21 octets",
    "serial without end",
    "critical SAN",  # these two: Globus does not
    "critical certificate policies",
    "RSA-1024",
    "DSA",
    "secp256k1",
    "RSA bound to PSS",  # the leaf
    "SHA-1 signature on leaf",
    "SHA-1 signature on end entity",
}


def bent(fault: str) -> list[bytes]:
    _, told_at, change = FAULTS[fault]
    where, change = ELSEWHERE.get(fault, (told_at, change))
    links = valid()
    return links.bent(where, change(links.links[where].draft)).signed()


def test_the_path_that_is_bent_holds() -> None:
    certificates = valid().signed()
    assert verify([load(c) for c in certificates[:CA]], trusting(*certificates[CA:]), NOW).identity == JANE
    assert holds_for_openssl(certificates[:CA], certificates[CA:], strict=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_where_it_is(fault: str) -> None:
    certificates = bent(fault)
    code, depth, _ = FAULTS[fault]
    assert refused(certificates[:CA], certificates[CA:]) == (code, depth)


@pytest.mark.parametrize("fault", FAULTS)
def test_openssl_refuses_it_too_unless_it_is_known_not_to(fault: str) -> None:
    certificates = bent(fault)
    assert holds_for_openssl(certificates[:CA], certificates[CA:], strict=True) == (fault in LENIENT)


def test_a_signature_turned_over_is_told_at_each_depth() -> None:
    certificates = valid().signed()
    for depth in (LEAF, PROXY, EEC, CA, ROOT):
        certificate = certificates[depth]
        turned = [*certificates[:depth], certificate[:-1] + bytes([certificate[-1] ^ 1]), *certificates[depth + 1 :]]
        told = refused(turned[:CA], turned[CA:])
        # OpenSSL does not check what a root says of itself
        assert holds_for_openssl(turned[:CA], turned[CA:], strict=True) == (depth == ROOT)
        assert told == ("signature", depth)


def test_two_signature_algorithms_in_one_certificate() -> None:
    links = valid()
    certificates = links.signed()
    certificates[LEAF] = links.links[LEAF].draft.sign(links.links[PROXY].key, outer_hash="sha384")
    assert refused(certificates[:CA], certificates[CA:]) == ("signature", LEAF)


def test_a_signature_that_claims_unused_bits() -> None:
    while True:  # until its last bit is one that may go unused
        certificates = valid().signed()
        signature = load(certificates[LEAF]).signature
        if signature[-1] % 2 == 0:
            break
    leaf = certificates[LEAF]
    certificates[LEAF] = leaf[: -len(signature) - 1] + b"\1" + signature
    assert refused(certificates[:CA], certificates[CA:]) == ("signature", LEAF)
    assert not holds_for_openssl(certificates[:CA], certificates[CA:], strict=False)


def test_an_end_entity_key_bound_to_pss_signs_nothing_else() -> None:
    links = path([Delegation()], eec_kind=KeyKind.RSA_2048)
    certificates = links.bent(1, psskeyed(links.links[1].draft)).signed()
    assert refused(certificates[:2], certificates[2:]) == ("key_type", 1)
    assert not holds_for_openssl(certificates[:2], certificates[2:], strict=False)


STRUCTURE: dict[str, tuple[list[int], list[int], str, int]] = {
    # the chain, the anchors, what is told and where
    "nothing": ([], [CA, ROOT], "chain_empty", 0),
    "end entity missing": ([LEAF, PROXY], [CA, ROOT], "chain_incomplete", PROXY),
    "proxy missing": ([LEAF, EEC], [CA, ROOT], "issuer_mismatch", LEAF),
    "proxies swapped": ([PROXY, LEAF, EEC], [CA, ROOT], "issuer_mismatch", 1),
    "end entity first": ([EEC, LEAF, PROXY], [CA, ROOT], "chain_surplus", 1),
    "leaf twice": ([LEAF, LEAF, PROXY, EEC], [CA, ROOT], "chain_duplicate", 1),
    "end entity twice": ([LEAF, PROXY, EEC, EEC], [CA, ROOT], "chain_duplicate", 3),
    "CA twice": ([LEAF, PROXY, EEC, CA, CA], [CA, ROOT], "chain_duplicate", 4),
    "no anchor": ([LEAF, PROXY, EEC, CA, ROOT], [], "untrusted", EEC),
    "issuing CA in the file only": ([LEAF, PROXY, EEC, CA], [ROOT], "untrusted", EEC),
    "issuing CA without its root": ([LEAF, PROXY, EEC, ROOT], [CA], "untrusted", CA),
    "CA for a leaf": ([CA], [CA, ROOT], "is_a_ca", 0),
    "root for a leaf": ([ROOT], [CA, ROOT], "is_a_ca", 0),
}


@pytest.mark.parametrize("fault", STRUCTURE)
def test_a_chain_of_the_wrong_certificates(fault: str) -> None:
    chain, anchors, code, depth = STRUCTURE[fault]
    certificates = valid().signed()
    told = refused([certificates[place] for place in chain], [certificates[place] for place in anchors])
    assert told == (code, depth)


def test_a_stranger_in_the_chain() -> None:
    certificates = valid().signed()
    stranger = path().signed()[0]
    assert refused([*certificates[:CA], stranger], certificates[CA:]) == ("chain_surplus", CA)


def test_an_untrusted_namesake_of_the_ca() -> None:
    certificates = path([Delegation()]).signed()
    namesake = path(cas=[authority(KeyKind.ED25519)]).signed()[-1]
    assert refused(certificates[:2], [namesake]) == ("signature", 1)
    assert not holds_for_openssl(certificates[:2], [namesake], strict=False)


def test_a_self_signed_end_entity_is_not_trusted_for_being_an_anchor() -> None:
    links = path([Delegation()])
    eec = links.links[1]
    itself = replace(eec.draft, issuer=eec.draft.subject).having(
        Extension.of(x509.AuthorityKeyIdentifier.from_issuer_public_key(eec.key.public_key()))
    )
    certificates = [itself.sign(eec.key)]
    assert refused(certificates, certificates) == ("not_a_ca", 1)


def test_no_chain_is_endless() -> None:
    certificates = path([Delegation()] * MAX_CHAIN).signed()
    assert refused(certificates[:-1], certificates[-1:]) == ("chain_too_long", MAX_CHAIN)
    exactly = path([Delegation()] * (MAX_CHAIN - 1)).signed()
    assert verify([load(certificate) for certificate in exactly[:-1]], trusting(exactly[-1]), NOW).identity == JANE


def test_cas_that_sign_each_other_are_not_followed_for_ever() -> None:
    links = path(cas=authorities(2))
    ca, root = links.links[1:]
    circle = [
        links.signed()[0],
        ca.draft.sign(root.key),
        replace(root.draft, issuer=ca.draft.subject).sign(ca.key),
    ]
    assert refused(circle[:1], circle[1:])[0] in {"chain_too_long", "chain_duplicate", "untrusted"}


def test_an_anchor_of_the_year_0_is_none() -> None:
    ca = valid().links[CA].draft
    certificates = valid().bent(CA, replace(ca, not_before=ca.not_before.replace(year=1))).signed()
    with pytest.raises(CredentialFileError, match="name or time"):
        trusting(*certificates[CA:])


def test_what_is_in_an_anchor_that_cannot_be_read_is_told() -> None:
    links = valid()
    ca = links.links[CA].draft
    certificates = links.bent(CA, also("1.2.3.4")(ca)).signed()
    assert refused(certificates[:CA], certificates[CA:]) == ("extension_malformed", CA)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_we_accept_openssl_accepts(data: st.DataObject) -> None:
    """Bend any certificates in any way, put them together anyhow: OpenSSL is never the stricter one."""
    depth = data.draw(st.integers(0, 3), label="proxies")
    kinds = st.sampled_from([KeyKind.P_256, KeyKind.ED25519])
    links = path([Delegation()] * depth, cas=authorities(data.draw(st.integers(1, 3))), eec_kind=data.draw(kinds))
    for _ in range(data.draw(st.integers(0, 2), label="changes")):
        where = data.draw(st.integers(0, len(links) - 1), label="where")
        fault = data.draw(st.sampled_from([*FAULTS, *ELSEWHERE]), label="fault")
        change = ELSEWHERE[fault][1] if fault in ELSEWHERE else FAULTS[fault][2]
        try:
            links = links.bent(where, change(links.links[where].draft))
        except StopIteration:
            continue  # the extension to be changed is not there
    certificates = links.signed()
    place = st.integers(0, len(certificates) - 1)
    usual, cas = list(range(depth + 1)), list(range(depth + 1, len(certificates)))
    chain = data.draw(st.just(usual) | st.lists(place, min_size=1, max_size=6) | st.permutations(usual), label="chain")
    anchors = data.draw(st.just(cas) | st.lists(st.sampled_from(cas), max_size=4), label="anchors")
    _require_openssl_agrees([certificates[i] for i in chain], [certificates[i] for i in anchors])


def _require_openssl_agrees(chain: list[bytes], anchors: list[bytes]) -> None:
    try:
        chain_loaded, anchors_loaded = [load(c) for c in chain], [load(c) for c in anchors]
    except ValueError:
        return  # a change may make what cannot even be loaded
    try:
        verify(chain_loaded, TrustAnchors.of(anchors_loaded), NOW)
    except (VerificationError, CredentialFileError):
        return
    assert holds_for_openssl(chain, anchors, strict=False)
    assert holds_for_openssl(chain, anchors, strict=True)


# the same for all examples: Hypothesis wants the number of octets to stay
SAMPLE = path([Delegation()]).signed()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_octets_turned_over_never_make_an_error_of_another_kind(data: st.DataObject) -> None:
    certificates = SAMPLE
    where = data.draw(st.integers(0, 1))
    changed = bytearray(certificates[where])
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    chain = [bytes(changed) if depth == where else certificates[depth] for depth in range(2)]
    try:
        loaded = [load(certificate) for certificate in chain]
    except (ValueError, x509.InvalidVersion):
        return
    try:
        verify(loaded, trusting(certificates[2]), NOW)
    except VerificationError:
        return
    assert holds_for_openssl(chain, certificates[2:], strict=True)
