"""Certificate files that the configuration names: whether TLS can be spoken with them."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509


class CertificateFileError(Exception):
    """Files that TLS cannot use; the message says which and why."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server's TLS context, of TLS 1.2 and up. Raises :class:`CertificateFileError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load certificate and key for the connections to come. Raises :class:`CertificateFileError`."""
    try:
        # an empty passphrase, for OpenSSL would ask for one on the terminal
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):  # SSLError is an OSError
        raise CertificateFileError(
            f"{certificate} and {key} are not a PEM certificate and its unencrypted key"
        ) from None


def read_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, at least one. Raises :class:`CertificateFileError`."""
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except OSError as error:
        raise CertificateFileError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, x509.InvalidVersion):
        raise CertificateFileError(f"{file} is not a file of certificates in PEM") from None


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is a CA's by its own word; one of version 1 has none to say so."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return False


def require_authorities(file: Path) -> None:
    """Raise :class:`CertificateFileError` unless the file holds CA certificates in PEM."""
    try:
        ssl.create_default_context(cafile=str(file))
    except (OSError, ValueError):
        raise CertificateFileError(f"{file} is not a file of CA certificates in PEM") from None
