"""Attribute certificates that say anything, signed by anybody, and chains that carry them anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat import asn1

from proxy_gen.keys import PrivateKey
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.structures import (
    ATTRIBUTE_CERTIFICATES,
    FQANS,
    TARGETS,
    Holder,
    Information,
    IssuerSerial,
)
from tests.proxy_gen import der
from tests.proxy_gen.forge import Extension, Path, _algorithm, _signature

URI, DIRECTORY_NAME = 0x86, 0xA4


@dataclass(frozen=True)
class Draft:
    """What an attribute certificate is to say, each field in DER; `dataclasses.replace` changes it."""

    version: bytes
    holder: bytes
    issuer: bytes
    serial: bytes
    validity: bytes
    attributes: tuple[bytes, ...]
    extensions: tuple[Extension, ...]
    unique_id: bytes = b""
    hash: str = "sha256"

    @classmethod
    def of(cls, ac: AttributeCertificate) -> Draft:
        """Start from what an attribute certificate says."""
        said = asn1.decode_der(Information, ac.signed)
        return cls(
            version=der.integer(said.version),
            holder=asn1.encode_der(said.holder),
            # the structure's own encoding has the tag of a SEQUENCE, the field's is [0]
            issuer=b"\xa0" + asn1.encode_der(said.issuer)[1:],
            serial=der.integer(said.serial),
            validity=asn1.encode_der(said.validity),
            attributes=tuple(asn1.encode_der(attribute) for attribute in said.attributes),
            extensions=tuple(Extension(e.oid.dotted_string, e.value, e.critical) for e in said.extensions),
        )

    def find(self, oid: x509.ObjectIdentifier) -> Extension:
        return next(extension for extension in self.extensions if extension.oid == oid.dotted_string)

    def without(self, oid: x509.ObjectIdentifier) -> Draft:
        return replace(self, extensions=tuple(e for e in self.extensions if e.oid != oid.dotted_string))

    def having(self, oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> Draft:
        """Set an extension, at the end."""
        return self.without(oid).also(Extension(oid.dotted_string, value, critical))

    def also(self, extension: Extension) -> Draft:
        """Append an extension, even a second one of its type."""
        return replace(self, extensions=(*self.extensions, extension))

    def signed_part(self, algorithm: bytes) -> bytes:
        listed = (der.extension(e.oid, e.value, critical=e.critical) for e in self.extensions)
        return der.sequence(
            self.version,
            self.holder,
            self.issuer,
            algorithm,
            self.serial,
            self.validity,
            der.sequence(*self.attributes),
            self.unique_id,
            der.sequence(*listed),
        )

    def sign(self, key: PrivateKey, *, outer: bytes | None = None) -> bytes:
        """Sign; `outer` is the algorithm that is claimed outside the signed part, where that is to differ."""
        algorithm = _algorithm(key, self.hash)
        signed = self.signed_part(algorithm)
        signature = der.tlv(der.BIT_STRING, b"\0", _signature(key, signed, self.hash))
        return der.sequence(signed, algorithm if outer is None else outer, signature)


def held_by(name: x509.Name, serial: int) -> bytes:
    """Encode a holder by a name and a serial number."""
    names = [asn1.decode_der(asn1.TLV, der.tlv(DIRECTORY_NAME, name.public_bytes()))]
    return asn1.encode_der(Holder(certificate=IssuerSerial(issuer=names, serial=serial, issuer_uid=None)))


def valid(not_before: datetime, not_after: datetime) -> bytes:
    return der.sequence(
        *(der.tlv(der.GENERALIZED_TIME, f"{t:%Y%m%d%H%M%SZ}".encode()) for t in (not_before, not_after))
    )


def times(not_before: bytes, not_after: bytes) -> bytes:
    """Encode a validity of any octets."""
    return der.sequence(der.tlv(der.GENERALIZED_TIME, not_before), der.tlv(der.GENERALIZED_TIME, not_after))


def uri(text: bytes) -> bytes:
    return der.tlv(URI, text)


def ietf(authority: bytes, *fqans: bytes) -> bytes:
    """Encode an IetfAttrSyntax: general names, and octet strings."""
    return der.sequence(der.tlv(0xA0, authority), der.sequence(*(der.tlv(der.OCTET_STRING, fqan) for fqan in fqans)))


def attribute(*values: bytes, oid: str = FQANS.dotted_string) -> bytes:
    return der.sequence(der.oid(oid), der.tlv(der.SET, *values))


def targets(*names: bytes) -> bytes:
    """Encode the extension with targets, as VOMS does."""
    return der.sequence(der.sequence(*(der.sequence(der.tlv(0xA0, name)) for name in names)))


def targeted(draft: Draft, *hosts: bytes, critical: bool = True) -> Draft:
    return draft.having(TARGETS, targets(*map(uri, hosts)), critical=critical)


def generic(authority: bytes, *triples: tuple[bytes, bytes, bytes]) -> bytes:
    """Encode a group of generic attributes."""
    listed = (der.sequence(*(der.tlv(der.OCTET_STRING, text) for text in triple)) for triple in triples)
    return der.sequence(der.sequence(authority), der.sequence(*listed))


def extension_value(*acs: bytes) -> bytes:
    """Encode the list of attribute certificates that a proxy's extension holds."""
    return der.sequence(der.sequence(*acs))


def carrying(path: Path, *acs: bytes, depth: int = 0) -> Path:
    """Put attribute certificates into the certificate at this depth."""
    return carrying_value(path, extension_value(*acs), depth=depth)


def carrying_value(path: Path, value: bytes, *, depth: int = 0) -> Path:
    draft = path.links[depth].draft
    return path.bent(depth, draft.having(Extension(ATTRIBUTE_CERTIFICATES.dotted_string, value)))
