"""The identifier of a signer's key in its attribute certificates (RFC 5755 section 4.3.3)."""

from __future__ import annotations

from cryptography import x509

from proxy_gen.keys import certificate_key


def key_identifier(signer: x509.Certificate) -> bytes | None:
    """Return the identifier that all consumers take, or None where there is none.

    VOMS's Java library compares it with the signer's subject key identifier; its C library with the SHA-1 of the key,
    if it is as long as one. Raises :class:`proxy_gen.errors.KeyRefusedError`, and ValueError for malformed extensions.
    """
    digest = x509.SubjectKeyIdentifier.from_public_key(certificate_key(signer)).digest
    try:
        own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return digest
    return own if own == digest or len(own) != len(digest) else None
