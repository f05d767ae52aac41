"""Makes the files of the corpus anew: `python -m tests.proxy_gen.corpus_maker`. The README there says what each is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path as File

from cryptography.x509.oid import NameOID

from proxy_gen.keys import KeyKind
from proxy_gen.pci import GT3_PROXY_CERT_INFO, PROXY_CERT_INFO, ProxyKind
from tests.proxy_gen import der
from tests.proxy_gen.chains import JANE, TOP, Delegation, authority, path
from tests.proxy_gen.forge import Draft, Extension
from tests.proxy_gen.forged_crl import DraftCrl, Entry
from tests.proxy_gen.keyring import key
from tests.proxy_gen.policies import policy

CORPUS = File(__file__).parent / "corpus"
# leaf, end entity, CA
LINKS = path([Delegation()])
CHAIN = LINKS.signed()
LEAF, EEC = LINKS.links[0].draft, LINKS.links[1].draft
FULL = der.sequence(der.oid(ProxyKind.FULL.value))


def pem(*certificates: bytes) -> bytes:
    return b"".join(der.pem("CERTIFICATE", certificate) for certificate in certificates)


def with_leaf(change: Callable[[Draft], Draft]) -> bytes:
    return pem(*LINKS.bent(0, change(LEAF)).signed()[:2])


def with_end_entity(change: Callable[[Draft], Draft]) -> bytes:
    return pem(*LINKS.bent(1, change(EEC)).signed()[:2])


def info(value: bytes, oid: str = PROXY_CERT_INFO.dotted_string) -> Callable[[Draft], Draft]:
    def change(draft: Draft) -> Draft:
        return draft.without(PROXY_CERT_INFO).also(Extension(oid, value, critical=True))

    return change


def rsa_of(bits: int) -> Callable[[Draft], Draft]:
    """Give it an RSA key of so many bits; nobody knows the private one, if there is any."""
    modulus = random.Random(bits).getrandbits(bits) | (1 << (bits - 1)) | 1  # noqa: S311 - it need not be secret
    number = der.sequence(der.integer(modulus), der.integer(65537))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL))
    return lambda draft: replace(draft, public_key=der.sequence(algorithm, der.tlv(der.BIT_STRING, b"\0", number)))


def nested(depth: int) -> bytes:
    """Return sequences in sequences."""
    octets = b""
    for _ in range(depth):
        octets = der.sequence(octets)
    return octets


def indefinite(certificate: bytes) -> bytes:
    """Encode the outermost sequence with an indefinite length (BER): two octets at its end mark it."""
    header = 2 + (certificate[1] & 0x7F)
    return b"\x30\x80" + certificate[header:] + b"\0\0"


def called(*values: str) -> Callable[[Draft], Draft]:
    """Name it as Jane with one RDN more, of these CNs."""
    more = [der.Attribute(NameOID.COMMON_NAME.dotted_string, der.UTF8, value.encode()) for value in values]
    rdn = der.tlv(der.SET, *sorted(attribute.encoded for attribute in more))
    inside = JANE.der[2:]  # its header is of two octets
    return lambda draft: replace(draft, subject=der.sequence(inside, rdn))


def chains() -> Iterator[tuple[str, bytes]]:
    """Credential files."""
    leaf, end_entity, ca = CHAIN
    yield "good", pem(leaf, end_entity)
    yield (
        "good-with-text-between",
        b"subject: jane\n" + pem(leaf) + b"\n# \xff\xfe garbage\n" + pem(end_entity) + b"end\n",
    )
    yield "garbage-in-base64", pem(leaf).replace(b"\n", b"\n!?\n", 3) + pem(end_entity)
    yield "garbage-as-begin", pem(leaf) + b"-----BEGIN \xff\n" + pem(end_entity)
    yield "cut-short", pem(leaf, end_entity)[:-60]
    yield "reordered", pem(end_entity, leaf)
    yield "twice", pem(leaf, leaf, end_entity)
    yield "ca-for-leaf", pem(ca)
    yield "forged-signature", pem(LEAF.sign(key(KeyKind.P_256, 7)), end_entity)
    yield "forged-end-entity", pem(leaf, EEC.sign(key(KeyKind.P_256, 7)))
    yield "rsa-512", with_leaf(rsa_of(512))
    yield "rsa-1024", with_leaf(rsa_of(1024))
    yield "rsa-1024-end-entity", with_end_entity(rsa_of(1024))
    yield "rsa-16384", with_leaf(rsa_of(16384))
    yield "path-length-negative", with_leaf(info(der.sequence(der.integer(-1), FULL)))
    yield "path-length-2-63", with_leaf(info(der.sequence(der.integer(2**63), FULL)))
    yield "path-length-2-8000", with_leaf(info(der.sequence(der.integer(2**8000), FULL)))
    yield "two-common-names", with_leaf(called("1", "2"))
    yield "gt3-field-order", with_leaf(info(der.sequence(FULL, der.tlv(0xA1, der.integer(1)))))
    yield "gt3-identifier", with_leaf(info(der.sequence(FULL), GT3_PROXY_CERT_INFO.dotted_string))
    yield (
        "proxy-policy-nested",
        with_leaf(info(der.sequence(der.sequence(der.oid(ProxyKind.FULL.value), nested(1500))))),
    )
    yield "name-nested", with_end_entity(lambda draft: draft.also(Extension("2.5.29.17", nested(1500))))
    yield "unknown-extension-nested", with_end_entity(lambda draft: draft.also(Extension("1.2.3.4", nested(1500))))
    yield "serial-of-21-octets", with_leaf(lambda draft: replace(draft, serial=1 << 160))
    yield "serial-of-1000-octets", with_leaf(lambda draft: replace(draft, serial=1 << 7998))
    yield "serial-negative", with_leaf(lambda draft: replace(draft, serial=-1))
    yield "year-0", with_leaf(lambda draft: replace(draft, not_before=draft.not_before.replace(year=1)))


def certificates() -> Iterator[tuple[str, bytes]]:
    """What may be instead of the leaf's DER."""
    leaf = CHAIN[0]
    yield "truncated", leaf[: len(leaf) // 2]
    yield "trailing-octets", leaf + b"\0\0"
    yield "indefinite-length", indefinite(leaf)
    yield "length-of-4-gigabytes", b"\x30\x84\xff\xff\xff\xff" + leaf[4:]
    yield "length-of-length-126", b"\x30\xfe" + b"\xff" * 126 + leaf[4:]
    yield "nested", nested(3_000)
    yield "nested-indefinite", b"\x30\x80" * 3_000
    yield "random", random.Random(1).randbytes(700)  # noqa: S311 - the same each time
    yield "empty", b""


def crls() -> Iterator[tuple[str, bytes]]:
    """CRL files of the CA."""
    ca = authority()
    draft = DraftCrl.of(ca)
    good = draft.pem(ca.key)
    yield "good", good
    yield "revoked", draft.listing(EEC.serial).pem(ca.key)
    yield "cut-short", good[:-50]
    yield "two", good * 2
    yield "random", der.pem("X509 CRL", random.Random(2).randbytes(500))  # noqa: S311
    yield "nested", der.pem("X509 CRL", nested(3_000))
    yield "forged", draft.pem(key(KeyKind.P_256, 7))
    yield (
        "indirect",
        draft.having(Extension("2.5.29.28", der.sequence(der.tlv(0x84, b"\xff")), critical=True)).pem(ca.key),
    )
    yield "delta", draft.having(Extension("2.5.29.27", der.integer(1), critical=True)).pem(ca.key)
    unknown = Extension("1.2.3.4", b"", critical=True)
    yield "entry-unknown-critical", replace(draft, entries=(Entry(1, (unknown,)),)).pem(ca.key)
    yield "serial-of-1000-octets", draft.listing(1 << 7998, -1).pem(ca.key)
    yield "year-0", replace(draft, this_update=draft.this_update.replace(year=1)).pem(ca.key)


def signing_policies() -> Iterator[tuple[str, bytes]]:
    text = policy(f"{TOP}/*", ca=f"{TOP}/CN=CA")
    yield "good", text.encode()
    yield "outside", policy("/O=elsewhere/*", ca=f"{TOP}/CN=CA").encode()
    yield "patterns-on-two-lines", policy("/O=x", "/O=y", ca=f"{TOP}/CN=CA").replace('" "', '"\n"').encode()
    yield "quote-without-end", text.replace("/CN=CA'", "/CN=CA").encode()
    yield "zero-octets", text.encode().replace(b"\n", b"\0\n")
    yield "random", random.Random(3).randbytes(500)  # noqa: S311


def namespaces() -> Iterator[tuple[str, bytes]]:
    line = f'TO Issuer "{TOP}/CN=CA" PERMIT Subject "%s"\n'
    yield "good", (line % f"{TOP}/.*").encode()
    yield "outside", (line % "/O=elsewhere/.*").encode()
    yield "backtracking", (line % ("(.*)*" * 20 + "x")).encode()
    yield "many-stars", (line % (".*" * 200 + "x")).encode()
    yield "continued-for-ever", b"TO Issuer \\\n" * 50
    yield "random", random.Random(4).randbytes(500)  # noqa: S311


def write() -> None:
    (CORPUS / "anchor.pem").write_bytes(pem(CHAIN[2]))
    (CORPUS / "end-entity.pem").write_bytes(pem(CHAIN[1]))
    for suffix, made in (
        ("pem", chains()),
        ("der", certificates()),
        ("crl", crls()),
        ("signing_policy", signing_policies()),
        ("namespaces", namespaces()),
    ):
        for name, content in made:
            (CORPUS / f"{name}.{suffix}").write_bytes(content)


if __name__ == "__main__":
    write()
