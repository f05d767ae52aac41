"""What each certificate of a path must be, by its place: CA, end entity or proxy.

Each rule raises :class:`proxy_gen.errors.VerificationError` with its own code. The rules of OpenSSL's ``-x509_strict``
(check_extensions in crypto/x509/x509_vfy.c) are among them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from proxy_gen.errors import KeyRefusedError, VerificationError
from proxy_gen.keys import certificate_key, public_der
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import GT3_PROXY_CERT_INFO, PROXY_CERT_INFO, ProxyCertInfo

_STRONG_HASHES = (hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
_HASHLESS_SIGNATURES = frozenset({SignatureAlgorithmOID.ED25519})
# What we evaluate. Anything else that is critical is refused: Globus does so with alternative names and policies, too.
_UNDERSTOOD_CRITICAL = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE, PROXY_CERT_INFO}
)
# OpenSSL evaluates these whether critical or not; we do not, so a chain that has them is not ours to accept.
_NOT_EVALUATED = frozenset(
    {
        ExtensionOID.NAME_CONSTRAINTS,
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.7"),  # RFC 3779 address blocks
        x509.ObjectIdentifier("1.3.6.1.5.5.7.1.8"),  # RFC 3779 autonomous systems
        GT3_PROXY_CERT_INFO,
    }
)
_NETSCAPE_CERT_TYPE = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
# the bits of Netscape's type that stand for a CA and for a client, in a BIT STRING of one octet
_NETSCAPE_CA_BITS = 0x07
_NETSCAPE_CLIENT_BIT = 0x80
_NETSCAPE_LENGTH = 4
# RFC 5280 section 4.1.2.2
_MAX_SERIAL = (1 << 159) - 1
# With names of other string types, OpenSSL does not even parse the certificate.
_NAME_STRINGS = frozenset(
    {
        _ASN1Type.BitString,
        _ASN1Type.UTF8String,
        _ASN1Type.NumericString,
        _ASN1Type.PrintableString,
        _ASN1Type.T61String,
        _ASN1Type.IA5String,
        _ASN1Type.UniversalString,
        _ASN1Type.BMPString,
    }
)
# What proxies were called before they had an extension; RFC 3820 proxies may be called so.
_GT2_PROXY_NAMES = frozenset({"proxy", "limited proxy"})
# Far beyond any delegation. OpenSSL adds path lengths up in an int, which wraps.
_MAX_PROXY_PATH_LENGTH = 0xFFFF
_Value = TypeVar("_Value", bound=x509.ExtensionType)


def require_readable(certificate: x509.Certificate, depth: int) -> None:
    """What is decoded on first use only, names, times and extensions, is decoded here, so that nothing fails later."""
    try:
        readable = all(map(_is_readable, [*certificate.subject, *certificate.issuer]))
    except (ValueError, TypeError):
        readable = False
    if not readable:
        raise VerificationError("name_malformed", depth, "the certificate's subject or issuer is malformed")
    try:
        certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018 - the year 0 is none here
    except ValueError:
        raise VerificationError("time_malformed", depth, "the certificate's times are malformed") from None
    _extensions(certificate, depth)


def _is_readable(attribute: x509.NameAttribute[str | bytes]) -> bool:
    if attribute._type is _ASN1Type.BMPString and isinstance(attribute.value, str):
        return all(ord(character) <= 0xFFFF for character in attribute.value)  # noqa: PLR2004 - the BMP ends there
    return attribute._type in _NAME_STRINGS


def require_sound(certificate: x509.Certificate, depth: int) -> None:
    """What holds for every certificate: version 3, readable extensions, a strong key and signature, names."""
    require_readable(certificate, depth)
    if certificate.version is not x509.Version.v3:
        raise VerificationError("version", depth, "the certificate is not of version 3")
    for extension in _extensions(certificate, depth):
        if extension.oid in _NOT_EVALUATED:
            raise VerificationError(
                "extension_unsupported", depth, f"the extension {extension.oid.dotted_string} is not supported"
            )
        if extension.critical and extension.oid not in _UNDERSTOOD_CRITICAL:
            raise VerificationError(
                "extension_critical", depth, f"unknown critical extension {extension.oid.dotted_string}"
            )
    names = _find(certificate, x509.SubjectAlternativeName)
    if names is not None and not list(names.value):
        raise VerificationError("alternative_name", depth, "the subject alternative name is empty")
    if not 0 < certificate.serial_number <= _MAX_SERIAL:
        raise VerificationError("serial", depth, "the serial number is not positive, or has more than 20 octets")
    if not certificate.issuer.rdns or not certificate.subject.rdns:
        raise VerificationError("name_empty", depth, "subject or issuer is empty")
    _require_strong_key(certificate, depth)
    _require_strong_signature(certificate, depth)


def require_time(certificate: x509.Certificate, depth: int, now: datetime) -> None:
    """RFC 5280 section 6.1.3 (a)(2), with the last second excluded."""
    if certificate.not_valid_before_utc > now:
        raise VerificationError(
            "not_yet_valid", depth, f"valid only from {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        )
    if certificate.not_valid_after_utc <= now:
        raise VerificationError("expired", depth, f"expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")


def require_key_identifier(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> None:
    """The authority key identifier is there, and is the issuer's (``-x509_strict``; RFC 5280 section 4.2.1.1)."""
    found = _find(certificate, x509.AuthorityKeyIdentifier)
    named = found.value.key_identifier if found is not None else None
    if named is None and certificate.issuer != certificate.subject:  # a self-signed certificate needs none
        raise VerificationError("authority_key_id_missing", depth, "the authority key identifier is missing")
    if found is not None and not is_identifier_of(found.value, issuer):
        raise VerificationError("authority_key_id_mismatch", depth, "the authority key identifier is another's")


def is_identifier_of(identifier: x509.AuthorityKeyIdentifier, issuer: x509.Certificate) -> bool:
    """Tell whether nothing in an authority key identifier speaks against this issuer."""
    subject_key = _find(issuer, x509.SubjectKeyIdentifier)
    named = identifier.key_identifier
    differs = subject_key is not None and named is not None and subject_key.value.digest != named
    serial = identifier.authority_cert_serial_number
    differs |= serial is not None and serial != issuer.serial_number
    # OpenSSL compares the first directory name only
    names = (n.value for n in identifier.authority_cert_issuer or () if isinstance(n, x509.DirectoryName))
    return not differs and next(names, issuer.issuer) == issuer.issuer


def require_authority(certificate: x509.Certificate, depth: int, *, authorities_below: int) -> None:
    """A CA: basicConstraints, keyCertSign, and a path length that bears the CAs below it (proxies do not count)."""
    constraints = _find(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise VerificationError("not_a_ca", depth, "the issuer is not a CA")
    if any(extension.oid == PROXY_CERT_INFO for extension in certificate.extensions):
        raise VerificationError("is_a_proxy", depth, "a proxy certificate stands where a CA must")
    if not constraints.critical:
        raise VerificationError("basic_constraints_not_critical", depth, "a CA's basicConstraints must be critical")
    usage = _find(certificate, x509.KeyUsage)
    if usage is None or not usage.value.key_cert_sign:
        raise VerificationError("ca_key_usage", depth, "the CA's key usage lacks keyCertSign")
    if _find(certificate, x509.SubjectKeyIdentifier) is None:
        raise VerificationError("subject_key_id_missing", depth, "the CA lacks a subject key identifier")
    allowed = constraints.value.path_length
    if allowed is not None and authorities_below > allowed:
        raise VerificationError("ca_path_length", depth, f"the CA's path length allows {allowed} CAs below it")


def require_end_entity(certificate: x509.Certificate, depth: int) -> None:
    """An end entity is no CA, and may sign proxies by digitalSignature (RFC 3820 section 3.1)."""
    _require_no_authority(certificate, depth)
    usage = _find(certificate, x509.KeyUsage)
    if usage is not None and not usage.value.digital_signature:
        raise VerificationError("key_usage", depth, "the end-entity certificate lacks digitalSignature")
    last = list(certificate.subject.rdns[-1])[-1]
    if last.oid == NameOID.COMMON_NAME and last.value in _GT2_PROXY_NAMES:
        raise VerificationError(
            "name_reserved", depth, f"Globus takes the end entity's last CN, {last.value}, for a proxy's"
        )
    if certificate.subject == certificate.issuer:
        raise VerificationError("self_signed", depth, "the end-entity certificate is its own issuer")


def require_proxy(certificate: x509.Certificate, issuer: x509.Certificate, info: ProxyCertInfo, depth: int) -> None:
    """RFC 3820 section 3: the extension critical, a known policy, the subject rule, and no name or right beside it."""
    extension = certificate.extensions.get_extension_for_oid(PROXY_CERT_INFO)
    if not extension.critical:
        raise VerificationError("proxy_info_not_critical", depth, "ProxyCertInfo is not critical")
    if info.kind is None or info.proxy_policy.policy is not None:
        raise VerificationError("proxy_policy", depth, "the proxy's policy is neither full, limited nor independent")
    if info.path_length is not None and not 0 <= info.path_length <= _MAX_PROXY_PATH_LENGTH:
        raise VerificationError("proxy_path_length", depth, "the proxy's path length is negative or without bounds")
    _require_no_authority(certificate, depth)
    for forbidden in (x509.SubjectAlternativeName, x509.IssuerAlternativeName):
        if _find(certificate, forbidden) is not None:
            raise VerificationError("alternative_name", depth, "a proxy must not have an alternative name")
    usage = _find(certificate, x509.KeyUsage)
    if usage is not None and not usage.value.digital_signature:
        raise VerificationError("key_usage", depth, "the proxy lacks digitalSignature")
    _require_child_name(certificate, issuer, depth)
    if public_der(certificate_key(certificate)) == public_der(certificate_key(issuer)):
        raise VerificationError("key_reused", depth, "the proxy has its issuer's key")


def require_client_use(certificate: x509.Certificate, depth: int) -> None:
    """What says what the key may do must let it be a TLS client's: OpenSSL asks each certificate of a client's path.

    So the effective extended key usage of RFC 3820 section 3.7, the intersection, has it. ``anyExtendedKeyUsage`` does
    not count there.
    """
    usage = _find(certificate, x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage.value:
        raise VerificationError("extended_key_usage", depth, "the extended key usage lacks clientAuth")
    types = [_netscape_type(e) for e in certificate.extensions if e.oid == _NETSCAPE_CERT_TYPE]
    if not all(bits & (_NETSCAPE_CLIENT_BIT | _NETSCAPE_CA_BITS) for bits in types):
        raise VerificationError("extended_key_usage", depth, "Netscape's certificate type is not a client's")


def _require_child_name(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> None:
    rdns = certificate.subject.rdns
    last = list(rdns[-1])
    common_name = last[0].value if len(last) == 1 and last[0].oid == NameOID.COMMON_NAME else None
    if (
        not isinstance(common_name, str)
        or not common_name
        or x509.Name(rdns[:-1]).public_bytes() != issuer.subject.public_bytes()
    ):
        raise VerificationError(
            "proxy_subject",
            depth,
            f"the proxy's subject is not its issuer's and one CN more: {DistinguishedName(certificate.subject).slash}",
        )


def _require_no_authority(certificate: x509.Certificate, depth: int) -> None:
    constraints = _find(certificate, x509.BasicConstraints)
    if constraints is not None and (constraints.value.ca or constraints.value.path_length is not None):
        raise VerificationError("is_a_ca", depth, "a CA certificate stands where an end entity or proxy must")
    usage = _find(certificate, x509.KeyUsage)
    if usage is not None and usage.value.key_cert_sign:
        raise VerificationError("key_usage", depth, "keyCertSign is for CAs only")
    if any(_netscape_type(extension) & _NETSCAPE_CA_BITS for extension in certificate.extensions):
        # OpenSSL asks it where basicConstraints is missing
        raise VerificationError("is_a_ca", depth, "Netscape's certificate type is a CA's")


def _netscape_type(extension: x509.Extension[x509.ExtensionType]) -> int:
    """Return the bits of Netscape's certificate type, 0 of another extension. Raises ValueError."""
    if extension.oid != _NETSCAPE_CERT_TYPE:
        return 0
    der = extension.value.public_bytes()
    if len(der) != _NETSCAPE_LENGTH or der[:2] != b"\x03\x02":
        raise ValueError("not a bit string of one octet")
    return der[-1]


def _require_strong_key(certificate: x509.Certificate, depth: int) -> None:
    try:
        certificate_key(certificate)
    except KeyRefusedError as error:
        raise VerificationError(error.code, depth, str(error)) from None


def _require_strong_signature(certificate: x509.Certificate, depth: int) -> None:
    if not is_strongly_signed(certificate):
        raise VerificationError("signature_weak", depth, "the certificate is signed with a weak or unknown hash")


def is_strongly_signed(signed: x509.Certificate | x509.CertificateRevocationList) -> bool:
    """Tell whether the signature is over a hash that nobody can forge."""
    if signed.signature_algorithm_oid in _HASHLESS_SIGNATURES:
        return True
    try:
        return isinstance(signed.signature_hash_algorithm, _STRONG_HASHES)
    except UnsupportedAlgorithm:
        return False


def _extensions(certificate: x509.Certificate, depth: int) -> x509.Extensions:
    try:
        for extension in certificate.extensions:
            _netscape_type(extension)
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise VerificationError("extension_malformed", depth, "the certificate's extensions are malformed") from None


def _find(certificate: x509.Certificate, kind: type[_Value]) -> x509.Extension[_Value] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
