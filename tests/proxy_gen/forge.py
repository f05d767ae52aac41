"""Certificates that say anything, signed by anybody: what the builder of `cryptography` and our own refuse to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy_gen.keys import PrivateKey
from tests.proxy_gen import der

# AlgorithmIdentifiers (RFC 4055, 5758, 8410), by kind of key and name of hash
_RSA = {
    "sha1": "1.2.840.113549.1.1.5",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ECDSA = {"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3"}
_ED25519 = "1.3.101.112"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - a weak signature is what is tested
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True)
class Extension:
    """An extension: its type, any octets as value, and the flag."""

    oid: str
    value: bytes
    critical: bool = False

    @classmethod
    def of(cls, value: x509.ExtensionType, *, critical: bool = False) -> Extension:
        return cls(value.oid.dotted_string, value.public_bytes(), critical)

    @property
    def encoded(self) -> bytes:
        return der.extension(self.oid, self.value, critical=self.critical)


@dataclass(frozen=True)
class Draft:
    """What a certificate is to say; `dataclasses.replace` and the methods below change it."""

    subject: bytes
    issuer: bytes
    public_key: bytes
    not_before: datetime
    not_after: datetime
    serial: int
    extensions: tuple[Extension, ...]
    version: int = 3
    hash: str = "sha256"

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Draft:
        """Start from what a certificate says."""
        return cls(
            subject=certificate.subject.public_bytes(),
            issuer=certificate.issuer.public_bytes(),
            public_key=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            serial=certificate.serial_number,
            extensions=tuple(
                Extension(e.oid.dotted_string, e.value.public_bytes(), e.critical) for e in certificate.extensions
            ),
        )

    def find(self, oid: x509.ObjectIdentifier) -> Extension:
        return next(extension for extension in self.extensions if extension.oid == oid.dotted_string)

    def without(self, oid: x509.ObjectIdentifier) -> Draft:
        """Drop an extension, if it is there."""
        return replace(self, extensions=tuple(e for e in self.extensions if e.oid != oid.dotted_string))

    def having(self, *extensions: Extension) -> Draft:
        """Set extensions, each in the place of one of its type or at the end."""
        new = {extension.oid: extension for extension in extensions}
        kept = tuple(new.pop(extension.oid, extension) for extension in self.extensions)
        return replace(self, extensions=(*kept, *new.values()))

    def also(self, extension: Extension) -> Draft:
        """Append an extension, even a second one of its type."""
        return replace(self, extensions=(*self.extensions, extension))

    def sign(self, key: PrivateKey, *, outer_hash: str | None = None) -> bytes:
        """Sign; `outer_hash` is what the certificate claims outside the signed part, where that is to differ."""
        return signed_by(key, self.hash, self._signed_part, outer_hash=outer_hash)

    def _signed_part(self, algorithm: bytes) -> bytes:
        # 0xA0 and 0xA3 are the context tags of RFC 5280 section 4.1; version 1 is the default and has no extensions
        version = der.tlv(0xA0, der.integer(self.version - 1)) if self.version > 1 else b""
        extensions = der.sequence(*(extension.encoded for extension in self.extensions))
        return der.sequence(
            version,
            der.integer(self.serial),
            algorithm,
            self.issuer,
            der.sequence(der.time(self.not_before), der.time(self.not_after)),
            self.subject,
            self.public_key,
            der.tlv(0xA3, extensions) if self.extensions and self.version > 1 else b"",
        )


def signed_by(
    key: PrivateKey, hash_name: str, part: Callable[[bytes], bytes], *, outer_hash: str | None = None
) -> bytes:
    """Sign what `part` makes with the algorithm's identifier in it; `outer_hash` is for a lie about it outside."""
    algorithm = _algorithm(key, hash_name)
    signed = part(algorithm)
    outer = _algorithm(key, outer_hash) if outer_hash else algorithm
    return der.sequence(signed, outer, der.tlv(der.BIT_STRING, b"\0", _signature(key, signed, hash_name)))


def _algorithm(key: PrivateKey, hash_name: str) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return der.sequence(der.oid(_RSA[hash_name]), der.tlv(der.NULL))
    return der.sequence(der.oid(_ED25519 if isinstance(key, ed25519.Ed25519PrivateKey) else _ECDSA[hash_name]))


def _signature(key: PrivateKey, signed: bytes, hash_name: str) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), _HASHES[hash_name])
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(signed, ec.ECDSA(_HASHES[hash_name]))
    return key.sign(signed)


def load(certificate: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate)


@dataclass(frozen=True)
class Link:
    """A certificate of a path, and the key of its subject."""

    draft: Draft
    key: PrivateKey


@dataclass(frozen=True)
class Path:
    """A path of certificates, leaf first, up to the self-signed CA, with all keys: to be bent and signed anew."""

    links: tuple[Link, ...]

    def __len__(self) -> int:
        return len(self.links)

    def bent(self, depth: int, draft: Draft) -> Path:
        """Replace what the certificate at this depth says."""
        return self.with_link(depth, replace(self.links[depth], draft=draft))

    def with_link(self, depth: int, link: Link) -> Path:
        return Path((*self.links[:depth], link, *self.links[depth + 1 :]))

    def signed(self) -> list[bytes]:
        """Sign each certificate with the key of the next, and the last with its own."""
        issuers = (*self.links[1:], self.links[-1])
        return [link.draft.sign(issuer.key) for link, issuer in zip(self.links, issuers, strict=True)]
