"""Revocation by complete CRLs that the CA itself signed (RFC 5280 sections 5 and 6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from proxy_gen.certificate_rules import is_identifier_of, is_strongly_signed
from proxy_gen.errors import CredentialFileError, KeyRefusedError, VerificationError
from proxy_gen.keys import certificate_key
from proxy_gen.names import DistinguishedName

# The largest CRLs of grid CAs have some 2 MB. To read this many takes half a second.
MAX_CRL_BYTES = 8 * 1024 * 1024
_BEGIN = b"-----BEGIN X509 CRL-----"
# They say of which certificates a CRL speaks, so that one that lacks a serial number proves nothing.
_PARTIAL = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.DELTA_CRL_INDICATOR})
# Of those that may stand in a CRL, OpenSSL bears only these to be critical, and none in an entry.
_UNDERSTOOD_CRITICAL = frozenset({ExtensionOID.AUTHORITY_KEY_IDENTIFIER})
_MALFORMED = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def parse_crl(pem: bytes) -> x509.CertificateRevocationList:
    """Parse a CRL file: one PEM block. All that is decoded on first use is decoded here.

    Raises :class:`CredentialFileError`: ``crl_malformed``, or ``crl_unsupported`` for indirect, partitioned and delta
    CRLs and for critical extensions that are not known.
    """
    if len(pem) > MAX_CRL_BYTES:
        raise CredentialFileError("crl_malformed", f"a CRL file has more than {MAX_CRL_BYTES} bytes")
    if pem.count(_BEGIN) != 1:
        raise CredentialFileError("crl_malformed", "a CRL file does not hold just one CRL in PEM")
    try:
        crl = x509.load_pem_x509_crl(pem)
        crl.issuer, crl.last_update_utc  # noqa: B018 - decoded on first use
        unsupported = _unsupported(crl)
        has_end = crl.next_update_utc is not None
    except _MALFORMED:
        raise CredentialFileError("crl_malformed", "a CRL is malformed") from None
    if unsupported is not None:
        raise CredentialFileError("crl_unsupported", f"a CRL has the extension {unsupported}, which is not supported")
    if not has_end:  # RFC 5280 section 5.1.2.5: it would be believed for ever
        raise CredentialFileError("crl_malformed", "a CRL does not say when the next one comes")
    return crl


def _unsupported(crl: x509.CertificateRevocationList) -> str | None:
    """Return an extension, of the CRL or one of its entries, that forbids to rely on it. Raises as `_MALFORMED`."""
    for extension in crl.extensions:
        if extension.oid in _PARTIAL or (extension.critical and extension.oid not in _UNDERSTOOD_CRITICAL):
            return str(extension.oid.dotted_string)
    for entry in crl:
        for extension in entry.extensions:
            if extension.critical:
                return str(extension.oid.dotted_string)
    return None


def require_not_revoked(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    crls: Sequence[x509.CertificateRevocationList],
    depth: int,
    now: datetime,
) -> None:
    """Refuse what the issuer revoked, or what its CRLs cannot clear.

    Of several CAs of one name, the CRLs that name the issuer's key, or none, count. Raises :class:`VerificationError`:
    ``revoked``, ``crl_signature``, ``crl_key_usage``, ``crl_expired``, ``crl_not_yet_valid``, ``crl_unsupported``.
    """
    if _is_revoked_by_reasons(certificate):  # OpenSSL finds no CRL then that speaks of all of them
        raise VerificationError("crl_unsupported", depth, "the certificate has CRLs of its own for some reasons")
    if not _may_sign(issuer):
        raise VerificationError("crl_key_usage", depth, "the issuer has a CRL, but its key usage lacks cRLSign")
    own = [crl for crl in crls if _may_be_of(crl, issuer)]
    # a forged one beside the true one refuses: OpenSSL and Globus may come upon it first
    if not own or not all(_is_signed_by(crl, issuer) for crl in own):
        raise VerificationError("crl_signature", depth, "a CRL of the issuer's name is not signed with its key")
    current = [crl for crl in own if _is_current(crl, now)]
    if not current:
        raise _untimely(max(own, key=lambda crl: crl.last_update_utc), depth, now)
    # Whatever the reason: removeFromCRL has no meaning in a complete CRL, and Globus refuses it too.
    if any(crl.get_revoked_certificate_by_serial_number(certificate.serial_number) for crl in current):
        raise VerificationError("revoked", depth, "the certificate is revoked")


def crls_of(
    issuer: x509.Certificate, crls: Iterable[x509.CertificateRevocationList]
) -> list[x509.CertificateRevocationList]:
    """Return the CRLs of this issuer's name, as OpenSSL compares names."""
    name = DistinguishedName(issuer.subject).canonical
    return [crl for crl in crls if DistinguishedName(crl.issuer).canonical == name]


def _is_revoked_by_reasons(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate says that a CRL is of some reasons only (RFC 5280 section 4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return False
    return any(point.reasons is not None for point in points)


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _may_be_of(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Tell whether the CRL does not say that it is by another key."""
    try:
        return is_identifier_of(crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value, issuer)
    except x509.ExtensionNotFound:
        return True


def _is_signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if not is_strongly_signed(crl):
        return False
    if crl.public_bytes(Encoding.DER)[-len(crl.signature) - 1] != 0:
        return False  # a bit string that claims unused bits
    try:
        return crl.is_signature_valid(certificate_key(issuer))
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm, KeyRefusedError):
        return False


def _is_current(crl: x509.CertificateRevocationList, now: datetime) -> bool:
    return crl.last_update_utc <= now and crl.next_update_utc is not None and now < crl.next_update_utc


def _untimely(crl: x509.CertificateRevocationList, depth: int, now: datetime) -> VerificationError:
    if crl.last_update_utc > now:
        since = f"{crl.last_update_utc:%Y-%m-%dT%H:%M:%SZ}"
        return VerificationError("crl_not_yet_valid", depth, f"the issuer's CRL is valid only from {since}")
    return VerificationError(
        "crl_expired", depth, f"the issuer's CRL expired at {crl.next_update_utc:%Y-%m-%dT%H:%M:%SZ}: fetch a new one"
    )
