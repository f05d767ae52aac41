"""The online certificate authority: end-entity certificates (EECs), serial numbers, CRLs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy_gen.errors import IssuanceError
from proxy_gen.keys import (
    KeyKind,
    PrivateKey,
    PublicKey,
    certificate_key,
    generate_key,
    public_der,
    require_strong,
    signature_hash,
)
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName

# notBefore lies this far back, for consumers whose clock is behind ours.
BACKDATE = timedelta(minutes=5)
# RFC 5280 section 4.1.2.5: the last that GeneralizedTime can say
_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MAX_SERIAL_BITS = 159  # what `cryptography` writes
_NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
_CLIENT_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True)
class CertificateAuthority:
    """A CA certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    def __post_init__(self) -> None:
        if public_der(self.key.public_key()) != public_der(certificate_key(self.certificate)):
            raise IssuanceError("ca_key_mismatch", "the CA's key is not the key of its certificate")
        try:
            constraints = self.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
            raise IssuanceError("not_a_ca", "the CA's certificate is not a CA certificate") from None
        if not constraints.ca:
            raise IssuanceError("not_a_ca", "the CA's certificate is not a CA certificate")

    @classmethod
    def create(
        cls, subject: DistinguishedName, kind: KeyKind, *, now: datetime, lifetime: timedelta
    ) -> CertificateAuthority:
        """Make a self-signed CA.

        Raises :class:`proxy_gen.errors.NameRefusedError` for a name not to be minted, and :class:`IssuanceError`
        (``lifetime``) for a lifetime of less than a second or past the year 9999.
        """
        require_mintable(subject)
        not_after = _end(now, lifetime)
        key = generate_key(kind)
        key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject.name)
            .issuer_name(subject.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(whole_seconds(now) - BACKDATE)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(key_id, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        )
        return cls(builder.sign(key, signature_hash(key)), key)

    @cached_property
    def subject(self) -> DistinguishedName:
        """The CA's own name."""
        return DistinguishedName(self.certificate.subject)

    @cached_property
    def public_key(self) -> PublicKey:
        """The key that its signatures verify with."""
        return self.key.public_key()

    @cached_property
    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return authority_key_identifier(self.certificate)

    def issue_eec(
        self, subject: DistinguishedName, public_key: PublicKey, *, now: datetime, lifetime: timedelta
    ) -> x509.Certificate:
        """Sign an end-entity certificate for ``subject``, not past the CA's own end.

        Raises :class:`proxy_gen.errors.NameRefusedError`, :class:`proxy_gen.errors.KeyRefusedError`, and
        :class:`IssuanceError` (``subject_is_ca``, ``key_is_ca``, and as :func:`validity_within`).
        """
        require_mintable(subject)
        require_strong(public_key)
        if len(subject.name.rdns) == len(self.subject.name.rdns) and subject.canonical == self.subject.canonical:
            raise IssuanceError("subject_is_ca", "the CA's own name cannot be an end entity's")
        if public_key == self.public_key:
            raise IssuanceError("key_is_ca", "the CA's own key cannot be an end entity's")
        not_before, not_after = validity_within(self.certificate, now=now, lifetime=lifetime)
        is_rsa = isinstance(public_key, rsa.RSAPublicKey)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject.name)
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(_NO_AUTHORITY, critical=True)
            .add_extension(key_usage(digital_signature=True, key_encipherment=is_rsa), critical=True)
            .add_extension(_CLIENT_AUTH, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(self._authority_key_identifier, critical=False)
        )
        return builder.sign(self.key, signature_hash(self.key))

    def crl(
        self, revoked: Iterable[tuple[int, datetime]], *, number: int, now: datetime, lifetime: timedelta
    ) -> x509.CertificateRevocationList:
        """Sign a CRL (RFC 5280 section 5) over (serial, time of revocation) pairs.

        ``number`` must grow from one CRL to the next; ``lifetime`` is how long consumers may rely on this one.
        Raises :class:`IssuanceError` (``lifetime``, ``crl_request``).
        """
        next_update = _end(now, lifetime)
        if number < 0:
            raise IssuanceError("crl_request", "the CRL's number is negative")
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(whole_seconds(now) - BACKDATE)
            .next_update(next_update)
            .add_extension(self._authority_key_identifier, critical=False)
            .add_extension(x509.CRLNumber(number), critical=False)
        )
        for serial, when in revoked:
            if not 0 < serial < 1 << _MAX_SERIAL_BITS:
                raise IssuanceError("crl_request", "a serial number is not positive, or has more than 20 octets")
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(whole_seconds(when)).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, signature_hash(self.key))

    def certificate_pem(self) -> bytes:
        """Return the CA certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _end(now: datetime, lifetime: timedelta) -> datetime:
    """Return the end of a lifetime. Raises IssuanceError (``lifetime``) for one that X.509 cannot say."""
    if lifetime < _SECOND or lifetime > _LAST - now:
        raise IssuanceError("lifetime", "the lifetime is less than a second, or ends after the year 9999")
    return whole_seconds(now) + lifetime


def whole_seconds(moment: datetime) -> datetime:
    """Drop what X.509 times cannot hold."""
    return moment.replace(microsecond=0)


def validity_within(issuer: x509.Certificate, *, now: datetime, lifetime: timedelta) -> tuple[datetime, datetime]:
    """Return (notBefore, notAfter) for a certificate under ``issuer``: inside the issuer's own.

    No consumer enforces the nesting, so the issuer must. Raises :class:`IssuanceError` with code ``lifetime``,
    ``issuer_expired`` or ``issuer_not_yet_valid``.
    """
    return validity_between(issuer.not_valid_before_utc, issuer.not_valid_after_utc, now=now, lifetime=lifetime)


def validity_between(
    begin: datetime, end: datetime, *, now: datetime, lifetime: timedelta
) -> tuple[datetime, datetime]:
    """Return what :func:`validity_within` does, for an issuer that is valid from ``begin`` to ``end``."""
    now = whole_seconds(now)
    if lifetime < _SECOND:
        raise IssuanceError("lifetime", "the lifetime is less than a second")
    if end <= now:
        raise IssuanceError("issuer_expired", "the issuing certificate has expired")
    if begin > now:
        raise IssuanceError("issuer_not_yet_valid", "the issuing certificate is not yet valid")
    return max(now - BACKDATE, begin), now + min(lifetime // _SECOND * _SECOND, end - now)


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the extension that names the issuer's key: every certificate of ours has it (`-x509_strict` asks)."""
    for extension in issuer.extensions:
        if type(extension.value) is x509.SubjectKeyIdentifier:
            return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(extension.value)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate_key(issuer))


@cache  # a few values that never change
def key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """Return a KeyUsage extension with only the named bits."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
