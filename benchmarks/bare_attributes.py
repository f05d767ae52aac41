"""The baseline of attributes: the same attribute certificate by `cryptography`'s ASN.1 and signature, unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

_BACKDATE = timedelta(minutes=5)
_LIFETIME = timedelta(hours=12)
_VOMS = "1.3.6.1.4.1.8005.100.100"


@asn1.sequence
class _Certificate:
    name: list[asn1.TLV]
    serial: int


@asn1.sequence
class _Holder:
    certificate: Annotated[_Certificate, asn1.Implicit(0)]


@asn1.sequence
class _Issuer:
    name: list[asn1.TLV]


@asn1.sequence
class _Algorithm:
    oid: x509.ObjectIdentifier
    parameters: asn1.Null


@asn1.sequence
class _Validity:
    not_before: asn1.GeneralizedTime
    not_after: asn1.GeneralizedTime


@asn1.sequence
class _Fqans:
    authority: Annotated[list[asn1.TLV], asn1.Implicit(0)]
    values: list[bytes]


@asn1.sequence
class _Attribute:
    type: x509.ObjectIdentifier
    values: asn1.SetOf[_Fqans]


@asn1.sequence
class _Extension:
    oid: x509.ObjectIdentifier
    value: bytes


@asn1.sequence
class _Information:
    version: int
    holder: _Holder
    issuer: Annotated[_Issuer, asn1.Implicit(0)]
    algorithm: _Algorithm
    serial: int
    validity: _Validity
    attributes: list[_Attribute]
    extensions: list[_Extension]


@asn1.sequence
class _Signed:
    information: asn1.TLV
    algorithm: _Algorithm
    signature: asn1.BitString


@asn1.sequence
class _KeyIdentifier:
    value: Annotated[bytes, asn1.Implicit(0)]


@asn1.sequence
class _Chain:
    certificates: list[x509.Certificate]


@asn1.sequence
class _Signeds:
    certificates: list[asn1.TLV]


class BareAttributes:
    """Signs attribute certificates; what is the same in all of them is encoded once."""

    def __init__(self, certificate: x509.Certificate, key: rsa.RSAPrivateKey, uri: str) -> None:
        self._key = key
        self._issuer = _Issuer(name=[_general_name(0xA4, certificate.subject.public_bytes())])
        self._uri = _general_name(0x86, uri.encode())
        self._algorithm = _Algorithm(oid=SignatureAlgorithmOID.RSA_WITH_SHA256, parameters=asn1.Null())
        key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
        values: dict[str, bytes] = {
            f"{_VOMS}.10": asn1.encode_der(_Chain(certificates=[certificate])),
            "2.5.29.35": asn1.encode_der(_KeyIdentifier(value=key_id)),
            "2.5.29.56": asn1.encode_der(asn1.Null()),
        }
        self._extensions = [_Extension(oid=x509.ObjectIdentifier(oid), value=der) for oid, der in values.items()]

    def extension(self, eec: x509.Certificate, fqans: Sequence[str]) -> x509.UnrecognizedExtension:
        """Return a proxy's extension that holds an attribute certificate with these FQANs in their long form."""
        now = datetime.now(UTC).replace(microsecond=0)
        named = _Certificate(name=[_general_name(0xA4, eec.subject.public_bytes())], serial=eec.serial_number)
        listed = _Fqans(authority=[self._uri], values=[fqan.encode() for fqan in fqans])
        information = _Information(
            version=1,
            holder=_Holder(certificate=named),
            issuer=self._issuer,
            algorithm=self._algorithm,
            serial=x509.random_serial_number(),
            validity=_Validity(
                not_before=asn1.GeneralizedTime(now - _BACKDATE), not_after=asn1.GeneralizedTime(now + _LIFETIME)
            ),
            attributes=[_Attribute(type=x509.ObjectIdentifier(f"{_VOMS}.4"), values=asn1.SetOf([listed]))],
            extensions=self._extensions,
        )
        return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{_VOMS}.5"), self._signed(information))

    def _signed(self, information: _Information) -> bytes:
        der = asn1.encode_der(information)
        signature = self._key.sign(der, padding.PKCS1v15(), hashes.SHA256())
        signed = _Signed(
            information=asn1.decode_der(asn1.TLV, der),
            algorithm=self._algorithm,
            signature=asn1.BitString(signature, 0),
        )
        listed = _Signeds(certificates=[asn1.decode_der(asn1.TLV, asn1.encode_der(signed))])
        return asn1.encode_der(listed)


def _general_name(tag: int, content: bytes) -> asn1.TLV:
    """RFC 5280 section 4.2.1.6; the names here have less than 128 octets (X.690 section 8.1.3, the short form)."""
    return asn1.decode_der(asn1.TLV, bytes([tag, len(content)]) + content)
