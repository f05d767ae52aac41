"""Attribute certificates: parsed values, bounded, and where they are in a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat import asn1

from proxy_gen.der import sequence
from proxy_gen.errors import AttributeCertificateError, FqanRefusedError, VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.extensions import Extensions, GenericAttribute
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.general_names import read_directory_name, read_uri
from proxy_gen.voms.policy_authority import PolicyAuthority
from proxy_gen.voms.structures import (
    ATTRIBUTE_CERTIFICATES,
    FQANS,
    VERSION_2,
    Attribute,
    CertificateList,
    IetfAttribute,
    Information,
    SignedCertificate,
)

__all__ = [
    "MAX_CERTIFICATES",
    "MAX_CERTIFICATE_BYTES",
    "MAX_FQANS",
    "AttributeCertificate",
    "GenericAttribute",
    "attribute_certificates",
    "encode_extension",
]

# With a thousand FQANs and two certificates of RSA-4096.
MAX_CERTIFICATE_BYTES = 128 * 1024
# One for each VO; nobody is in more.
MAX_CERTIFICATES = 16
MAX_FQANS = 1000
# Far above what RFC 5280 section 4.1.2.2 allows; Python refuses to print a number of 10,000 octets.
MAX_SERIAL_BITS = 1024


@dataclass(frozen=True)
class AttributeCertificate:
    """A parsed attribute certificate; nothing of it is verified.

    ``holder_name`` and ``holder_serial`` name the end-entity certificate that the attributes belong to: VOMS writes
    its subject there, RFC 5755 section 4.2.2 its issuer. ``host`` and ``port`` are the authority's; ``chain`` begins
    with the signer's certificate and may be empty. ``is_final`` tells that no revocation is published for it.
    """

    der: bytes = field(repr=False)
    holder_name: DistinguishedName
    holder_serial: int
    issuer: DistinguishedName
    serial: int
    not_before: datetime
    not_after: datetime
    vo: str
    host: str
    port: int
    fqans: tuple[Fqan, ...]
    attributes: tuple[GenericAttribute, ...]
    targets: tuple[str, ...] | None
    chain: tuple[x509.Certificate, ...] = field(repr=False)
    authority_key_id: bytes | None = field(repr=False)
    is_final: bool
    algorithm: x509.ObjectIdentifier
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)

    @classmethod
    def parse(cls, der: bytes) -> AttributeCertificate:
        """Parse an attribute certificate.

        Raises :class:`AttributeCertificateError`: ``ac_too_large``, ``ac_malformed``, ``ac_unsupported``.
        """
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise AttributeCertificateError(
                "ac_too_large", f"an attribute certificate has more than {MAX_CERTIFICATE_BYTES} bytes"
            )
        try:
            return _parsed(der)
        except (ValueError, TypeError, x509.InvalidVersion, FqanRefusedError, VerificationError):
            raise AttributeCertificateError("ac_malformed", "an attribute certificate is malformed") from None


def attribute_certificates(certificate: x509.Certificate) -> tuple[AttributeCertificate, ...]:
    """Return the attribute certificates in a certificate's extension. Raises AttributeCertificateError."""
    try:
        found = next((e.value for e in certificate.extensions if e.oid == ATTRIBUTE_CERTIFICATES), None)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise AttributeCertificateError("ac_malformed", "the certificate's extensions are malformed") from None
    if not isinstance(found, x509.UnrecognizedExtension):
        return ()
    try:
        listed = asn1.decode_der(CertificateList, found.value).certificates
    except (ValueError, TypeError):
        raise AttributeCertificateError("ac_malformed", "the list of attribute certificates is malformed") from None
    if not listed:
        raise AttributeCertificateError("ac_malformed", "the list of attribute certificates is empty")
    if len(listed) > MAX_CERTIFICATES:
        raise AttributeCertificateError("ac_too_large", f"more than {MAX_CERTIFICATES} attribute certificates")
    return tuple(AttributeCertificate.parse(asn1.encode_der(one)) for one in listed)


def encode_extension(certificates: Sequence[AttributeCertificate]) -> x509.UnrecognizedExtension:
    """Return the extension with which a proxy carries attribute certificates; it must not be critical."""
    listed = sequence(*(certificate.der for certificate in certificates))
    return x509.UnrecognizedExtension(ATTRIBUTE_CERTIFICATES, sequence(listed))  # CertificateList


def _parsed(der: bytes) -> AttributeCertificate:
    outer = asn1.decode_der(SignedCertificate, der)
    signed = asn1.encode_der(outer.information)
    inner = asn1.decode_der(Information, signed)
    _require_sound(inner, outer)
    holder, extensions = inner.holder.certificate, Extensions(inner.extensions)
    authority, fqans = _fqans(inner.attributes)
    return AttributeCertificate(
        der=der,
        holder_name=read_directory_name(holder.issuer),
        holder_serial=holder.serial,
        issuer=read_directory_name(inner.issuer.names),
        serial=inner.serial,
        not_before=inner.validity.not_before.as_datetime(),
        not_after=inner.validity.not_after.as_datetime(),
        vo=authority.vo,
        host=authority.host,
        port=authority.port,
        fqans=fqans,
        attributes=extensions.generic_attributes(authority),
        targets=extensions.targets(),
        chain=extensions.chain(),
        authority_key_id=extensions.authority_key_id(),
        is_final=extensions.is_final(),
        algorithm=outer.algorithm.oid,
        signature=outer.signature.as_bytes(),
        signed=signed,
    )


def _require_sound(inner: Information, outer: SignedCertificate) -> None:
    """What the types do not say. Raises ValueError, and AttributeCertificateError for what VOMS does not have."""
    if inner.version != VERSION_2 or outer.signature.padding_bits():
        raise ValueError("not an attribute certificate of version 2, or its signature no octets")
    if asn1.encode_der(inner.signature) != asn1.encode_der(outer.algorithm):
        raise ValueError("not the algorithm that is signed")
    if max(abs(inner.serial), abs(inner.holder.certificate.serial)).bit_length() > MAX_SERIAL_BITS:
        raise ValueError("a serial number without bounds")
    if any(time.as_datetime().microsecond for time in (inner.validity.not_before, inner.validity.not_after)):
        raise ValueError("RFC 5755 section 4.2.6 has no fractions of seconds")
    if inner.issuer_uid is not None or inner.holder.certificate.issuer_uid is not None:
        raise AttributeCertificateError("ac_unsupported", "an attribute certificate has a unique identifier")


def _fqans(attributes: Sequence[Attribute]) -> tuple[PolicyAuthority, tuple[Fqan, ...]]:
    """Return the policy authority and the FQANs. Another attribute beside them is refused, as VOMS cannot read it."""
    (attribute,) = attributes
    (value,) = attribute.values.as_list()
    decoded = asn1.decode_der(IetfAttribute, asn1.encode_der(value))
    authority = PolicyAuthority.parse(read_uri(decoded.authority))
    if attribute.type != FQANS or not 0 < len(decoded.values) <= MAX_FQANS:
        raise ValueError("no FQANs, or more than anybody has")
    fqans = tuple(Fqan.parse(raw.decode("ascii")) for raw in decoded.values)
    if any(fqan.vo != authority.vo for fqan in fqans):
        raise ValueError("an FQAN of another VO than the policy authority's")
    return authority, fqans
