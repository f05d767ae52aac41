"""Revocation: each fault of a CRL has its code, and OpenSSL is never the stricter one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.ca import CertificateAuthority, key_usage
from proxy_gen.crl import MAX_CRL_BYTES, parse_crl
from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.trust import TrustAnchors, TrustedAuthority, subject_hash, subject_hash_old, trust_directory
from proxy_gen.verify import verify
from tests.proxy_gen import der, libcrypto
from tests.proxy_gen.chains import DAY, HOUR, JANE, NOW, TOP, Delegation, authorities, authority, path
from tests.proxy_gen.forge import Extension, load
from tests.proxy_gen.forged_crl import DraftCrl, Entry

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

# the path: leaf, proxy, end entity, issuing CA, root
LEAF, PROXY, EEC, CA, ROOT = range(5)
SECOND = HOUR / 3600
ISSUING, TOPMOST = authorities(2)
LINKS = path([Delegation(), Delegation()], cas=[ISSUING, TOPMOST])
CHAIN = LINKS.signed()
SERIALS = [link.draft.serial for link in LINKS.links]
NAMESAKE = authority(KeyKind.ED25519, f"{TOP}/CN=CA 0")
REASON, ISSUED_BY = "2.5.29.21", "2.5.29.29"

Change: TypeAlias = Callable[[DraftCrl], DraftCrl]


def directory(*crls: bytes, ca: CertificateAuthority = ISSUING, of_root: bytes | None = None) -> dict[str, bytes]:
    """Return a trust directory with these CRL files of a CA, and the root's."""
    files = trust_directory([TrustedAuthority(each.certificate, (f"{TOP}/*",)) for each in (ISSUING, TOPMOST)])
    lists = [(ca, crl) for crl in crls] + ([(TOPMOST, of_root)] if of_root else [])
    for number, (each, crl) in enumerate(lists):
        files[f"{subject_hash(each.certificate.subject)}.r{number}"] = crl
    return files


def told(files: dict[str, bytes], *, required: bool = False, chain: Sequence[bytes] = CHAIN[:CA]) -> object:
    """Return the identity of a chain that holds, or the code and the depth of the refusal."""
    trust = TrustAnchors.from_files(files, require_crls=required)
    try:
        return verify([load(certificate) for certificate in chain], trust, NOW).identity
    except VerificationError as error:
        return error.code, error.depth


def good(ca: CertificateAuthority) -> bytes:
    return DraftCrl.of(ca).pem(ca.key)


def extension(oid: str, value: bytes, *, critical: bool = False) -> Change:
    return lambda draft: draft.having(Extension(oid, value, critical))


def entry(*extensions: Extension, serial: int = 99) -> Change:
    return lambda draft: replace(draft, entries=(*draft.entries, Entry(serial, extensions)))


IDP, DELTA, AKI = "2.5.29.28", "2.5.29.27", "2.5.29.35"
ANOTHER = x509.AuthorityKeyIdentifier(b"another", None, None)
FAULTS: dict[str, tuple[str, Change]] = {
    "revoked": ("revoked", lambda d: d.listing(1, SERIALS[EEC])),
    "revoked, on hold": ("revoked", entry(Extension(REASON, b"\x0a\x01\x06"), serial=SERIALS[EEC])),
    "revoked, to be removed": ("revoked", entry(Extension(REASON, b"\x0a\x01\x08"), serial=SERIALS[EEC])),
    "revoked by version 1": ("revoked", lambda d: replace(d, version=1).listing(SERIALS[EEC])),
    "expired": ("crl_expired", lambda d: replace(d, next_update=NOW)),
    "not yet valid": ("crl_not_yet_valid", lambda d: replace(d, this_update=NOW + SECOND)),
    "without end": ("crl_malformed", lambda d: replace(d, next_update=None)),
    "AKI of another": ("crl_signature", lambda d: d.having(Extension.of(ANOTHER))),
    "SHA-1": ("crl_signature", lambda d: replace(d, hash="sha1")),
    "issuing distribution point": (
        "crl_unsupported",
        extension(IDP, der.sequence(der.tlv(0x81, b"\xff")), critical=True),
    ),
    "indirect": ("crl_unsupported", extension(IDP, der.sequence(der.tlv(0x84, b"\xff")), critical=True)),
    "delta": ("crl_unsupported", extension(DELTA, der.integer(1), critical=True)),
    "unknown critical extension": ("crl_unsupported", extension("1.2.3.4", b"", critical=True)),
    "critical CRL number": ("crl_unsupported", extension("2.5.29.20", der.integer(1), critical=True)),
    "unknown critical extension of an entry": ("crl_unsupported", entry(Extension("1.2.3.4", b"", critical=True))),
    "critical reason": ("crl_unsupported", entry(Extension(REASON, b"\x0a\x01\x01", critical=True))),
    "entry of another issuer": (
        "crl_unsupported",
        entry(Extension(ISSUED_BY, der.sequence(der.tlv(0xA4, JANE.der)), critical=True)),
    ),
    "malformed extension": ("crl_malformed", extension("2.5.29.20", b"xx")),
    "malformed AKI": ("crl_malformed", extension(AKI, b"xx")),
    "malformed extension of an entry": ("crl_malformed", entry(Extension(REASON, b"xx"))),
    "unknown reason": ("crl_malformed", entry(Extension(REASON, b"\x0a\x01\x63"))),
    "an extension twice": (
        "crl_malformed",
        lambda d: d.also(Extension("1.2.3.4", b"")).also(Extension("1.2.3.4", b"")),
    ),
    "version 3": ("crl_malformed", lambda d: replace(d, version=3)),
    "malformed issuer": (
        "crl_malformed",
        lambda d: replace(d, issuer=der.name(der.Attribute("2.5.4.3", der.T61, b"\xe9"))),
    ),
}
# OpenSSL refuses these only where it looks at CRLs, of which there is then none
HARMLESS: dict[str, Change] = {
    "somebody else is revoked": lambda d: d.listing(1, SERIALS[LEAF] + 1),
    "version 1": lambda d: replace(d, version=1),
    "a proxy's serial": lambda d: d.listing(SERIALS[LEAF], SERIALS[PROXY]),
    "huge serials": lambda d: d.listing(1 << 400, -5, 0),
    "unknown extension": extension("1.2.3.4", b""),
    "freshest CRL": extension(
        "2.5.29.46", der.sequence(der.sequence(der.tlv(0xA0, der.tlv(0xA0, der.tlv(0x86, b"http://x")))))
    ),
    "critical AKI": lambda d: d.having(replace(d.extensions[0], critical=True)),
    "reason": entry(Extension(REASON, b"\x0a\x01\x01")),
    "issuer in other letters": lambda d: replace(d, issuer=d.issuer.replace(b"example", b"EXAMPLE")),
}


def openssl(crls: Sequence[bytes], *, strict: bool) -> bool:
    """What OpenSSL thinks of the good path with these CRLs, where each CA must have one."""
    try:
        loaded = [x509.load_pem_x509_crl(crl) for crl in crls]
    except (ValueError, x509.InvalidVersion):
        return False
    return bool(libcrypto.verify(CHAIN[:CA], CHAIN[CA:], NOW, strict=strict, crls=loaded, crl_check_all=True))


def test_crls_that_clear_everybody() -> None:
    lists = [good(ISSUING), good(TOPMOST)]
    for required in (False, True):
        assert told(directory(lists[0], of_root=lists[1]), required=required) == JANE
    assert openssl(lists, strict=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told(fault: str) -> None:
    code, change = FAULTS[fault]
    crl = change(DraftCrl.of(ISSUING)).pem(ISSUING.key)
    assert told(directory(crl)) == (code, EEC)


# What OpenSSL takes: it believes partial CRLs as far as they go, and looks at an extension only where it needs it.
LENIENT = {
    "revoked, to be removed",
    "without end",
    "SHA-1",
    "issuing distribution point",
    "delta",
    "entry of another issuer",
    "malformed extension",
    "malformed AKI",
    "malformed extension of an entry",
    "unknown reason",
    "an extension twice",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_openssl_refuses_it_too_unless_it_is_known_not_to(fault: str) -> None:
    crl = FAULTS[fault][1](DraftCrl.of(ISSUING)).pem(ISSUING.key)
    assert openssl([crl, good(TOPMOST)], strict=True) == (fault in LENIENT)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_no_harm(case: str) -> None:
    crl = HARMLESS[case](DraftCrl.of(ISSUING)).pem(ISSUING.key)
    assert told(directory(crl, of_root=good(TOPMOST)), required=True) == JANE
    assert openssl([crl, good(TOPMOST)], strict=True)


def test_a_revoked_ca_and_a_root_that_revokes_itself() -> None:
    for depth in (CA, ROOT):
        crl = DraftCrl.of(TOPMOST).listing(SERIALS[depth]).pem(TOPMOST.key)
        assert told(directory(of_root=crl)) == ("revoked", depth)
        assert not openssl([good(ISSUING), crl], strict=False)


def test_a_ca_without_a_crl_passes_unless_crls_are_required() -> None:
    assert told(directory()) == JANE
    assert told(directory(), required=True) == ("crl_missing", EEC)
    assert told(directory(good(ISSUING)), required=True) == ("crl_missing", CA)
    assert not openssl([good(ISSUING)], strict=False)
    trust = TrustAnchors.of([ISSUING.certificate, TOPMOST.certificate])
    with pytest.raises(VerificationError, match="no CRL"):
        verify([load(c) for c in CHAIN[:CA]], replace(trust, require_crls=True), NOW)


def test_a_signature_turned_over_and_one_that_claims_unused_bits() -> None:
    signed = DraftCrl.of(ISSUING).sign(ISSUING.key)
    turned = signed[:-1] + bytes([signed[-1] ^ 1])
    assert told(directory(der.pem("X509 CRL", turned))) == ("crl_signature", EEC)
    while signed[-1] % 2:  # until its last bit is one that may go unused
        signed = DraftCrl.of(ISSUING).sign(ISSUING.key)
    at = len(signed) - len(x509.load_der_x509_crl(signed).signature) - 1
    unused = signed[:at] + b"\1" + signed[at + 1 :]
    assert told(directory(der.pem("X509 CRL", unused))) == ("crl_signature", EEC)


def test_of_several_cas_of_one_name_the_one_whose_key_it_is_counts() -> None:
    theirs = DraftCrl.of(NAMESAKE).listing(SERIALS[EEC]).pem(NAMESAKE.key)
    assert NAMESAKE.certificate.subject == ISSUING.certificate.subject
    assert told(directory(theirs)) == ("crl_signature", EEC)
    forged = DraftCrl.of(ISSUING).pem(NAMESAKE.key)
    for files in (directory(good(ISSUING), forged), directory(forged, good(ISSUING))):
        assert told(files) == ("crl_signature", EEC)
    assert told(directory(theirs, good(ISSUING))) == JANE
    assert told(directory(good(ISSUING), theirs)) == JANE


def test_an_old_crl_beside_the_new_one_does_no_harm_but_what_either_revokes_is_revoked() -> None:
    draft = DraftCrl.of(ISSUING)
    old = replace(draft, this_update=NOW - DAY, next_update=NOW - HOUR)
    assert told(directory(old.pem(ISSUING.key), good(ISSUING))) == JANE
    assert told(directory(good(ISSUING), draft.listing(SERIALS[EEC]).pem(ISSUING.key))) == ("revoked", EEC)
    newest = replace(draft, this_update=NOW + SECOND)
    assert told(directory(old.pem(ISSUING.key), newest.pem(ISSUING.key))) == ("crl_not_yet_valid", EEC)


def test_a_crl_of_another_ca_under_the_same_hash_is_not_ours() -> None:
    foreign = replace(DraftCrl.of(ISSUING), issuer=JANE.der).listing(SERIALS[EEC]).pem(ISSUING.key)
    assert told(directory(foreign)) == JANE
    assert told(directory(foreign), required=True) == ("crl_missing", EEC)


def test_a_ca_that_may_not_sign_crls() -> None:
    certificates = LINKS.bent(
        CA, LINKS.links[CA].draft.having(Extension.of(key_usage(key_cert_sign=True), critical=True))
    ).signed()
    files = directory(good(ISSUING))
    for digest in (subject_hash(ISSUING.certificate.subject), subject_hash_old(ISSUING.certificate.subject)):
        files[f"{digest}.0"] = der.pem("CERTIFICATE", certificates[CA])
    assert told(files, chain=certificates[:CA]) == ("crl_key_usage", EEC)
    loaded = [x509.load_pem_x509_crl(good(ca)) for ca in (ISSUING, TOPMOST)]
    assert not libcrypto.verify(certificates[:CA], certificates[CA:], NOW, crls=loaded, crl_check_all=True)


@pytest.mark.parametrize("depth", [EEC, CA])
def test_a_certificate_with_crls_for_some_reasons(depth: int) -> None:
    place = [x509.UniformResourceIdentifier("http://ca.example/crl")]
    for reasons, taken in (None, True), (frozenset([x509.ReasonFlags.key_compromise]), False):
        points = x509.CRLDistributionPoints([x509.DistributionPoint(place, None, reasons, None)])
        draft = LINKS.links[depth].draft.having(Extension.of(points))
        chain = LINKS.bent(depth, draft).signed()
        anchors = [load(certificate) for certificate in chain[CA:]]
        lists = [good(ISSUING), good(TOPMOST)]
        files = trust_directory([TrustedAuthority(each, (f"{TOP}/*",)) for each in anchors])
        for anchor, crl in zip(anchors, lists, strict=True):
            files[f"{subject_hash(anchor.subject)}.r0"] = crl
        loaded = [x509.load_pem_x509_crl(crl) for crl in lists]
        assert bool(libcrypto.verify(chain[:CA], chain[CA:], NOW, crls=loaded, crl_check_all=True)) is taken
        assert told(files, required=True, chain=chain[:CA]) == (JANE if taken else ("crl_unsupported", depth))


def test_a_crl_under_the_old_hash_counts_too() -> None:
    crl = DraftCrl.of(ISSUING).listing(SERIALS[EEC]).pem(ISSUING.key)
    files = directory() | {f"{subject_hash_old(ISSUING.certificate.subject)}.r0": crl}
    assert told(files) == ("revoked", EEC)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", good(ISSUING) * 2, good(ISSUING)[:-40], der.pem("X509 CRL", b"xx"), b"x" * (MAX_CRL_BYTES + 1)],
    ids=["empty", "garbage", "two", "cut short", "no DER", "too large"],
)
def test_what_is_no_crl_refuses_the_ca(content: bytes) -> None:
    assert told(directory(content)) == ("crl_malformed", EEC)
    assert told(directory(content, good(ISSUING))) == ("crl_malformed", EEC)


def test_another_cas_broken_crl_is_nobodys_concern() -> None:
    assert told(directory() | {"01234567.r0": b"garbage"}) == JANE


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_we_accept_openssl_accepts(data: st.DataObject) -> None:
    """Bend the CRLs of both CAs in any way: OpenSSL, when it asks a CRL of each CA, is never the stricter one."""
    changes = {name: change for name, (_, change) in FAULTS.items()} | HARMLESS
    lists: list[tuple[CertificateAuthority, bytes]] = []
    for ca in (ISSUING, TOPMOST):
        for _ in range(data.draw(st.integers(0, 2), label="lists")):
            draft = DraftCrl.of(ca)
            for name in data.draw(st.lists(st.sampled_from(sorted(changes)), max_size=2), label="changes"):
                draft = changes[name](draft)
            signer = data.draw(st.sampled_from([ca, ca, ca, NAMESAKE]), label="signer")
            lists.append((ca, draft.pem(signer.key)))
    files = directory()
    for number, (ca, crl) in enumerate(lists):
        files[f"{subject_hash(ca.certificate.subject)}.r{number}"] = crl
    if told(files, required=True) == JANE:
        assert openssl([crl for _, crl in lists], strict=True)


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_octets_turned_over_never_make_an_error_of_another_kind(octets: bytes, where: int, cut: int) -> None:
    sample = bytearray(SAMPLE)
    at = where % len(sample)
    sample[at : at + (len(octets) if cut else 1)] = octets[: max(1, cut * 10)]
    for content in (der.pem("X509 CRL", bytes(sample)), bytes(sample), octets):
        try:
            parse_crl(content)
        except CredentialFileError as error:
            assert error.code in {"crl_malformed", "crl_unsupported"}  # noqa: PT017 - or it is parsed


SAMPLE = DraftCrl.of(ISSUING).listing(1, 2, 3).sign(ISSUING.key)
