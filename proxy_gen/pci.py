"""The ProxyCertInfo extension (RFC 3820 section 3.8)."""

from __future__ import annotations

from enum import Enum
from functools import cache

from cryptography import x509
from cryptography.hazmat import asn1

PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
# Before RFC 3820, Globus Toolkit 3 used this identifier, with the fields in another order.
GT3_PROXY_CERT_INFO = x509.ObjectIdentifier("1.3.6.1.4.1.3536.1.222")


class ProxyKind(Enum):
    """What a proxy may do with its issuer's rights; the value is the policy language's identifier."""

    FULL = "1.3.6.1.5.5.7.21.1"  # id-ppl-inheritAll
    INDEPENDENT = "1.3.6.1.5.5.7.21.2"  # id-ppl-independent
    LIMITED = "1.3.6.1.4.1.3536.1.1.1.9"  # Globus: no job submission


@asn1.sequence
class _ProxyPolicy:
    policy_language: x509.ObjectIdentifier
    policy: bytes | None


@asn1.sequence
class ProxyCertInfo:
    """The decoded extension: an optional path length, and the policy."""

    path_length: int | None
    proxy_policy: _ProxyPolicy

    @property
    def kind(self) -> ProxyKind | None:
        """The proxy's kind, or None for a policy language that is not ours."""
        try:
            return ProxyKind(self.proxy_policy.policy_language.dotted_string)
        except ValueError:
            return None


@cache  # a few values that never change
def encode(kind: ProxyKind, path_length: int | None) -> x509.UnrecognizedExtension:
    """Return the extension's value for a certificate builder."""
    policy = _ProxyPolicy(policy_language=x509.ObjectIdentifier(kind.value), policy=None)
    der = asn1.encode_der(ProxyCertInfo(path_length=path_length, proxy_policy=policy))
    return x509.UnrecognizedExtension(PROXY_CERT_INFO, der)


def decode(der: bytes) -> ProxyCertInfo:
    """Decode the extension's value. Raises ValueError for anything but its strict DER (so for GT3's field order)."""
    return asn1.decode_der(ProxyCertInfo, der)


def proxy_cert_info(certificate: x509.Certificate) -> ProxyCertInfo | None:
    """Return a certificate's ProxyCertInfo, or None when it is no RFC 3820 proxy. Raises ValueError as `decode`."""
    try:
        extensions = certificate.extensions
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from None
    for extension in extensions:
        if extension.oid == PROXY_CERT_INFO:
            return _decoded(extension.value)
    return None


def _decoded(value: x509.ExtensionType) -> ProxyCertInfo:
    if not isinstance(value, x509.UnrecognizedExtension):  # pragma: no cover - until cryptography learns the type
        raise TypeError("ProxyCertInfo is no longer an unrecognised extension")
    return decode(value.value)
