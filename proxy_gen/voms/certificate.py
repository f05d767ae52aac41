"""Attribute certificates: parsed values, bounded, and where they are in a proxy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat import asn1

from proxy_gen.credential import MAX_CHAIN
from proxy_gen.errors import AttributeCertificateError, FqanRefusedError
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.general_names import read_directory_name, read_uri
from proxy_gen.voms.structures import (
    ATTRIBUTE_CERTIFICATES,
    AUTHORITY_KEY_IDENTIFIER,
    FQANS,
    GENERIC_ATTRIBUTES,
    NO_REVOCATION_AVAILABLE,
    SIGNER_CERTIFICATES,
    TARGETS,
    VERSION_2,
    Attribute,
    CertificateList,
    GenericAttributeList,
    IetfAttribute,
    Information,
    KeyIdentifier,
    SignedCertificate,
    SignerChain,
    TargetList,
)

# With a thousand FQANs and two certificates of RSA-4096.
MAX_CERTIFICATE_BYTES = 128 * 1024
# One for each VO; nobody is in more.
MAX_CERTIFICATES = 16
MAX_FQANS = 1000
_AUTHORITY = re.compile(r"(?P<vo>[A-Za-z0-9_.-]{1,255})://(?P<host>[A-Za-z0-9.-]{1,253}):(?P<port>[0-9]{1,5})\Z")
_UNDERSTOOD = frozenset({SIGNER_CERTIFICATES, GENERIC_ATTRIBUTES, TARGETS, NO_REVOCATION_AVAILABLE})


@dataclass(frozen=True)
class GenericAttribute:
    """A name and a value that a VO gives its members; ``qualifier`` is the group or VO that it holds for."""

    name: str
    value: str
    qualifier: str


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
        except (ValueError, TypeError, LookupError, OverflowError, x509.InvalidVersion, FqanRefusedError):
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
    if len(listed) > MAX_CERTIFICATES:
        raise AttributeCertificateError("ac_too_large", f"more than {MAX_CERTIFICATES} attribute certificates")
    return tuple(AttributeCertificate.parse(asn1.encode_der(one)) for one in listed)


def encode_extension(certificates: Sequence[AttributeCertificate]) -> x509.UnrecognizedExtension:
    """Return the extension with which a proxy carries attribute certificates; it must not be critical."""
    listed = [asn1.decode_der(asn1.TLV, certificate.der) for certificate in certificates]
    return x509.UnrecognizedExtension(ATTRIBUTE_CERTIFICATES, asn1.encode_der(CertificateList(certificates=listed)))


def _parsed(der: bytes) -> AttributeCertificate:
    outer = asn1.decode_der(SignedCertificate, der)
    signed = asn1.encode_der(outer.information)
    inner = asn1.decode_der(Information, signed)
    if inner.version != VERSION_2 or inner.signature.oid != outer.algorithm.oid or outer.signature.padding_bits():
        raise ValueError("not an attribute certificate of version 2 with one algorithm")
    extensions = _Extensions(inner)
    authority, fqans = _fqans(inner.attributes)
    return AttributeCertificate(
        der=der,
        holder_name=read_directory_name(inner.holder.certificate.issuer),
        holder_serial=inner.holder.certificate.serial,
        issuer=read_directory_name(inner.issuer.names),
        serial=inner.serial,
        not_before=inner.validity.not_before.as_datetime(),
        not_after=inner.validity.not_after.as_datetime(),
        vo=authority["vo"],
        host=authority["host"],
        port=int(authority["port"]),
        fqans=fqans,
        attributes=extensions.generic_attributes(),
        targets=extensions.targets(),
        chain=extensions.chain(),
        authority_key_id=extensions.authority_key_id(),
        is_final=NO_REVOCATION_AVAILABLE in extensions.values,
        algorithm=outer.algorithm.oid,
        signature=outer.signature.as_bytes(),
        signed=signed,
    )


def _fqans(attributes: Sequence[Attribute]) -> tuple[re.Match[str], tuple[Fqan, ...]]:
    """Return the policy authority and the FQANs; other attributes are not VOMS's and say nothing here."""
    (values,) = (attribute.values.as_list() for attribute in attributes if attribute.type == FQANS)
    (value,) = values
    decoded = asn1.decode_der(IetfAttribute, asn1.encode_der(value))
    authority = _AUTHORITY.match(read_uri(decoded.authority))
    fqans = tuple(Fqan.parse(raw.decode("ascii")) for raw in decoded.values[: MAX_FQANS + 1])
    if authority is None or not 0 < len(fqans) <= MAX_FQANS:
        raise ValueError("no policy authority vo://host:port, or not a number of FQANs that anybody has")
    if any(fqan.vo != authority["vo"] for fqan in fqans):
        raise ValueError("an FQAN of another VO than the policy authority's")
    return authority, fqans


class _Extensions:
    """The extensions of an attribute certificate, each of which may be there once."""

    def __init__(self, information: Information) -> None:
        self.values = {extension.oid: extension.value for extension in information.extensions}
        if len(self.values) < len(information.extensions):
            raise ValueError("an extension is there twice")
        if any(extension.critical and extension.oid not in _UNDERSTOOD for extension in information.extensions):
            raise AttributeCertificateError(
                "ac_unsupported", "an attribute certificate has an unknown critical extension"
            )

    def chain(self) -> tuple[x509.Certificate, ...]:
        value = self.values.get(SIGNER_CERTIFICATES)
        return () if value is None else tuple(asn1.decode_der(SignerChain, value).certificates[:MAX_CHAIN])

    def generic_attributes(self) -> tuple[GenericAttribute, ...]:
        value = self.values.get(GENERIC_ATTRIBUTES)
        if value is None:
            return ()
        groups = asn1.decode_der(GenericAttributeList, value).groups
        return tuple(
            GenericAttribute(*(octets.decode() for octets in (one.name, one.value, one.qualifier)))
            for group in groups
            for one in group.attributes
        )

    def targets(self) -> tuple[str, ...] | None:
        value = self.values.get(TARGETS)
        if value is None:
            return None
        return tuple(read_uri([target.name]) for target in asn1.decode_der(TargetList, value).targets)

    def authority_key_id(self) -> bytes | None:
        value = self.values.get(AUTHORITY_KEY_IDENTIFIER)
        return None if value is None else asn1.decode_der(KeyIdentifier, value).key_id
