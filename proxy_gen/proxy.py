"""RFC 3820 proxy certificates, in the one shape that every measured consumer takes.

The recipe: ProxyCertInfo critical; KeyUsage critical with digitalSignature (and keyEncipherment for RSA); an
authority key identifier in every proxy; no subject alternative name, no CA; the subject is the issuer's, byte for
byte, and one CN more: the serial number in decimal; VOMS attribute certificates in an extension that is not critical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxy_gen import der
from proxy_gen.ca import authority_key_identifier, key_usage, validity_between
from proxy_gen.errors import IssuanceError
from proxy_gen.keys import PrivateKey, PublicKey, SubjectKey, certificate_key, public_der
from proxy_gen.pci import PROXY_CERT_INFO, ProxyCertInfo, ProxyKind, encode, proxy_cert_info
from proxy_gen.signing import CertificateSigner
from proxy_gen.voms.certificate import AttributeCertificate, encode_extension

__all__ = ["PROXY_CERT_INFO", "ProxyIssuer", "ProxyKind", "SignedProxy", "issue_proxy"]

# Nobody delegates deeper, and some consumers read it into a byte.
MAX_PATH_LENGTH = 127
# the fields of RFC 5280 section 4.1 that have tags of their own: [0] with the INTEGER 2, which is v3; [3]
_VERSION_3 = b"\xa0\x03\x02\x01\x02"
_EXTENSIONS = 0xA3
_COMMON_NAME = der.oid(NameOID.COMMON_NAME)


def issue_proxy(
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    public_key: PublicKey,
    *,
    now: datetime,
    lifetime: timedelta,
    kind: ProxyKind = ProxyKind.FULL,
    path_length: int | None = None,
    attribute_certificates: Sequence[AttributeCertificate] = (),
) -> x509.Certificate:
    """Sign a proxy for ``public_key`` under ``issuer``: one, where :class:`ProxyIssuer` is for many. Raises as it does.

    Raises :class:`proxy_gen.errors.KeyRefusedError` for a weak key.
    """
    subject = SubjectKey.of(public_key)
    proxy = ProxyIssuer(issuer, issuer_key).issue(
        subject,
        now=now,
        lifetime=lifetime,
        kind=kind,
        path_length=path_length,
        attribute_certificates=attribute_certificates,
    )
    return x509.load_der_x509_certificate(proxy.der)


@dataclass(frozen=True)
class SignedProxy:
    """A proxy that was signed: its DER, and what it says."""

    der: bytes = field(repr=False)
    serial: int
    not_before: datetime
    not_after: datetime

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return der.pem("CERTIFICATE", self.der)


class ProxyIssuer:
    """What proxies are signed under: an end-entity certificate or another proxy, and its key.

    What depends on these alone is checked and encoded once. Raises :class:`IssuanceError` for what RFC 3820 section 4
    would refuse later, and :class:`proxy_gen.errors.KeyRefusedError` for a weak key.
    """

    def __init__(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        self._policy = _decoded(certificate)
        self._key = public_der(key.public_key())
        if self._key != public_der(certificate_key(certificate)):
            raise IssuanceError("issuer_key_mismatch", "the issuing key is not the key of the issuing certificate")
        _require_may_sign(certificate)
        self._signer = CertificateSigner(key)
        self._begin, self._end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        self._name = certificate.subject.public_bytes()
        self._rdns = der.content_of(self._name)
        self._authority_key = der.extension(authority_key_identifier(certificate), critical=False)

    def issue(
        self,
        subject: SubjectKey,
        *,
        now: datetime,
        lifetime: timedelta,
        kind: ProxyKind = ProxyKind.FULL,
        path_length: int | None = None,
        attribute_certificates: Sequence[AttributeCertificate] = (),
    ) -> SignedProxy:
        """Sign a proxy.

        ``path_length`` is how many further proxies may stand below it (None: as many as the issuer allows). The
        validity lies inside the issuer's, and ends no later than any of the ``attribute_certificates`` that it carries.
        Raises :class:`IssuanceError`.
        """
        if subject.der == self._key:
            raise IssuanceError("key_is_issuer", "a proxy needs a key of its own, not its issuer's")
        allowed = self._path_length(kind, path_length)
        not_before, not_after = self._validity(now, lifetime, attribute_certificates)
        serial = x509.random_serial_number()
        signed_part = der.sequence(
            _VERSION_3,
            der.integer(serial),
            self._signer.algorithm,
            self._name,
            der.sequence(der.time(not_before), der.time(not_after)),
            der.sequence(self._rdns, _common_name(str(serial))),
            subject.der,
            self._extensions(_restrictions(kind, allowed, subject.is_rsa), attribute_certificates),
        )
        return SignedProxy(self._signer.certificate(signed_part), serial, not_before, not_after)

    def _path_length(self, kind: ProxyKind, asked: int | None) -> int | None:
        """Return the path length that the proxy is to say."""
        _require_policy(self._policy, kind, asked)
        if asked is None and self._policy is not None and self._policy.path_length is not None:
            return self._policy.path_length - 1  # said again, for the next issuer sees only this certificate
        return asked

    def _validity(
        self, now: datetime, lifetime: timedelta, attributes: Sequence[AttributeCertificate]
    ) -> tuple[datetime, datetime]:
        not_before, not_after = validity_between(self._begin, self._end, now=now, lifetime=lifetime)
        return not_before, min([not_after, *(_end_of(each, now) for each in attributes)])

    def _extensions(self, restrictions: bytes, attributes: Sequence[AttributeCertificate]) -> bytes:
        carried = der.extension(encode_extension(attributes), critical=False) if attributes else b""
        return der.tlv(_EXTENSIONS, der.sequence(restrictions, self._authority_key, carried))


def _common_name(text: str) -> bytes:
    """Encode the RDN that a proxy's name has more than its issuer's (RFC 3820 section 3.4)."""
    return der.tlv(der.SET, der.sequence(_COMMON_NAME, der.tlv(der.UTF8_STRING, text.encode())))


@cache  # a few values that never change
def _restrictions(kind: ProxyKind, path_length: int | None, is_rsa: bool) -> bytes:  # noqa: FBT001
    """Encode the extensions that say what a proxy may do: ProxyCertInfo, and the key usage of its key's type."""
    usage = key_usage(digital_signature=True, key_encipherment=is_rsa)
    return der.extension(encode(kind, path_length), critical=True) + der.extension(usage, critical=True)


def _end_of(attributes: AttributeCertificate, now: datetime) -> datetime:
    if attributes.not_after <= now:
        raise IssuanceError("ac_expired", "an attribute certificate has expired")
    return attributes.not_after


def _decoded(issuer: x509.Certificate) -> ProxyCertInfo | None:
    try:
        issuer.subject  # noqa: B018 - decoded on first use, as the extensions are
        return proxy_cert_info(issuer)
    except (ValueError, TypeError):
        raise IssuanceError("issuer_malformed", "the issuing certificate's name or extensions are malformed") from None


def _require_may_sign(issuer: x509.Certificate) -> None:
    for extension in issuer.extensions:
        value = extension.value
        # the very types, for isinstance asks each of cryptography's abstract classes in Python
        if type(value) is x509.BasicConstraints and value.ca:
            raise IssuanceError("issuer_is_ca", "a CA cannot issue proxies; an end-entity certificate can")
        if type(value) is x509.KeyUsage and not value.digital_signature:
            raise IssuanceError("issuer_key_usage", "the issuing certificate lacks the key usage digitalSignature")


def _require_policy(parent: ProxyCertInfo | None, kind: ProxyKind, path_length: int | None) -> None:
    if path_length is not None and not 0 <= path_length <= MAX_PATH_LENGTH:
        raise IssuanceError("path_length", f"the path length must be between 0 and {MAX_PATH_LENGTH}")
    if parent is None:
        return
    if parent.path_length == 0:
        raise IssuanceError("path_length", "the issuing proxy's path length allows no proxy below it")
    if parent.path_length is not None and path_length is not None and path_length >= parent.path_length:
        # RFC 3820 section 4.1.3 would let the parent's prevail; OpenSSL refuses the chain
        raise IssuanceError("path_length", "the path length must be less than the issuing proxy's")
    if parent.kind is ProxyKind.LIMITED and kind is not ProxyKind.LIMITED:
        raise IssuanceError("limited", "below a limited proxy only limited proxies may stand")
