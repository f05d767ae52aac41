"""RFC 3820 proxy certificates, in the one shape that every measured consumer takes.

The recipe: ProxyCertInfo critical; KeyUsage critical with digitalSignature (and keyEncipherment for RSA); an
authority key identifier in every proxy; no subject alternative name, no CA; the subject is the issuer's, byte for
byte, and one CN more: the serial number in decimal; VOMS attribute certificates in an extension that is not critical.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy_gen.ca import authority_key_identifier, key_usage, validity_within
from proxy_gen.errors import IssuanceError
from proxy_gen.keys import PrivateKey, PublicKey, certificate_key, require_strong, signature_hash
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import PROXY_CERT_INFO, ProxyCertInfo, ProxyKind, encode, proxy_cert_info
from proxy_gen.voms.certificate import AttributeCertificate, encode_extension

__all__ = ["PROXY_CERT_INFO", "ProxyKind", "issue_proxy"]

# Nobody delegates deeper, and some consumers read it into a byte.
MAX_PATH_LENGTH = 127


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
    """Sign a proxy for ``public_key`` under ``issuer``, an end-entity certificate or another proxy.

    ``path_length`` is how many further proxies may stand below it (None: as many as the issuer allows). The validity
    lies inside the issuer's, and ends no later than any of the ``attribute_certificates`` that it carries. Raises
    :class:`IssuanceError` for what RFC 3820 section 4 would refuse later, and
    :class:`proxy_gen.errors.KeyRefusedError` for a weak key.
    """
    require_strong(public_key)
    parent = _decoded(issuer)
    _require_may_sign(issuer, issuer_key, public_key)
    _require_policy(parent, kind, path_length)
    if path_length is None and parent is not None and parent.path_length is not None:
        path_length = parent.path_length - 1  # said again, for the next issuer sees only this certificate
    not_before, not_after = validity_within(issuer, now=now, lifetime=lifetime)
    not_after = min([not_after, *(_end_of(each, now) for each in attribute_certificates)])
    serial = x509.random_serial_number()
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(DistinguishedName(issuer.subject).child(str(serial)).name)
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(encode(kind, path_length), critical=True)
        .add_extension(key_usage(digital_signature=True, key_encipherment=is_rsa), critical=True)
        .add_extension(authority_key_identifier(issuer), critical=False)
    )
    if attribute_certificates:
        builder = builder.add_extension(encode_extension(attribute_certificates), critical=False)
    return builder.sign(issuer_key, signature_hash(issuer_key))


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


def _require_may_sign(issuer: x509.Certificate, issuer_key: PrivateKey, public_key: PublicKey) -> None:
    issuer_public = issuer_key.public_key()
    if issuer_public != certificate_key(issuer):
        raise IssuanceError("issuer_key_mismatch", "the issuing key is not the key of the issuing certificate")
    if issuer_public == public_key:
        raise IssuanceError("key_is_issuer", "a proxy needs a key of its own, not its issuer's")
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
