"""The ASN.1 of attribute certificates: RFC 5755 section 4.1, and what VOMS puts into them.

Where VOMS's own encoding differs from the RFC's (targets), it is VOMS's that consumers read.
"""

from __future__ import annotations

from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1

ATTRIBUTE_CERTIFICATES = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
FQANS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.4")
SIGNER_CERTIFICATES = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.10")
GENERIC_ATTRIBUTES = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.11")
TARGETS = x509.ObjectIdentifier("2.5.29.55")
NO_REVOCATION_AVAILABLE = x509.ObjectIdentifier("2.5.29.56")
AUTHORITY_KEY_IDENTIFIER = x509.ObjectIdentifier("2.5.29.35")

# RFC 5755 section 4.2.1: v2 is written as 1
VERSION_2 = 1


@asn1.sequence
class IssuerSerial:
    """Names a certificate. VOMS puts the certificate's subject where the RFC has its issuer."""

    issuer: list[asn1.TLV]
    serial: int
    issuer_uid: asn1.BitString | None


@asn1.sequence
class Holder:
    """Whom the attributes are given to; of the RFC's three ways to say it VOMS uses this one."""

    certificate: Annotated[IssuerSerial, asn1.Implicit(0)]


@asn1.sequence
class V2Form:
    """The issuer's name."""

    names: list[asn1.TLV]


@asn1.sequence
class Algorithm:
    """A signature algorithm; RSA's have a NULL for parameters, those of ECDSA none."""

    oid: x509.ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class Validity:
    """From when to when."""

    not_before: asn1.GeneralizedTime
    not_after: asn1.GeneralizedTime


@asn1.sequence
class IetfAttribute:
    """The FQANs (IetfAttrSyntax): the policy authority `vo://host:port`, and octet strings."""

    authority: Annotated[list[asn1.TLV], asn1.Implicit(0)]
    values: list[bytes]


@asn1.sequence
class Attribute:
    """An attribute of the certificate."""

    type: x509.ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class Extension:
    """An extension (RFC 5280 section 4.1)."""

    oid: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(value=False)]
    value: bytes


@asn1.sequence
class Information:
    """What is signed (AttributeCertificateInfo)."""

    version: int
    holder: Holder
    issuer: Annotated[V2Form, asn1.Implicit(0)]
    signature: Algorithm
    serial: int
    validity: Validity
    attributes: list[Attribute]
    issuer_uid: asn1.BitString | None
    extensions: list[Extension]


@asn1.sequence
class SignedCertificate:
    """The attribute certificate; the signed part is kept as it came."""

    information: asn1.TLV
    algorithm: Algorithm
    signature: asn1.BitString


@asn1.sequence
class CertificateList:
    """The value of a proxy's extension: its attribute certificates."""

    certificates: list[asn1.TLV]


@asn1.sequence
class SignerChain:
    """The signer's certificate and those above it, in an attribute certificate's extension."""

    certificates: list[x509.Certificate]


@asn1.sequence
class GenericAttributeValue:
    """A generic attribute."""

    name: bytes
    value: bytes
    qualifier: bytes


@asn1.sequence
class GenericAttributeGroup:
    """The generic attributes that one authority gives."""

    authority: list[asn1.TLV]
    attributes: list[GenericAttributeValue]


@asn1.sequence
class GenericAttributeList:
    """The value of the extension with generic attributes."""

    groups: list[GenericAttributeGroup]


@asn1.sequence
class Target:
    """A host that may make use of the attributes, as VOMS writes it; the RFC's has no SEQUENCE around it."""

    name: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class TargetList:
    """The value of the extension with targets."""

    targets: list[Target]


@asn1.sequence
class KeyIdentifier:
    """The value of an authority key identifier, of which VOMS writes the first field only."""

    key_id: Annotated[bytes | None, asn1.Implicit(0)]
    issuer: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    serial: Annotated[int | None, asn1.Implicit(2)]


@asn1.sequence
class NameAttribute:
    """An attribute of a distinguished name."""

    type: x509.ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class DirectoryName:
    """A GeneralName's content that is a distinguished name, with the SEQUENCE of the sets that a Name is around it."""

    rdns: list[asn1.SetOf[NameAttribute]]


@asn1.sequence
class SignedPart:
    """What is signed of a certificate (RFC 5280 section 4.1), for the field that `cryptography` does not show."""

    version: Annotated[int, asn1.Explicit(0), asn1.Default(value=0)]
    serial: int
    algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    key: asn1.TLV
    issuer_uid: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_uid: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Explicit(3)]
