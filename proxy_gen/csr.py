"""Certificate signing requests (RFC 2986): the caller's way to have its own key certified."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from proxy_gen.errors import CsrRefusedError
from proxy_gen.keys import PrivateKey, SubjectKey, signature_hash

# An RSA-8192 request with a long subject is below 4 KiB of PEM; ours are below 1 KiB.
MAX_CSR_BYTES = 8192


def make_csr(key: PrivateKey, subject: x509.Name | None = None) -> bytes:
    """Return a PEM request that proves possession of ``key``; without a subject the issuer decides on the name."""
    name = x509.Name([]) if subject is None else subject
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, signature_hash(key))
    return request.public_bytes(serialization.Encoding.PEM)


@lru_cache(maxsize=1000)  # a client that keeps its key sends the same request at each renewal
def csr_public_key(pem: bytes) -> SubjectKey:
    """Return the public key of a PEM request whose signature holds. Subject and extensions are not looked at.

    Raises :class:`CsrRefusedError` (``csr_invalid``) and :class:`proxy_gen.errors.KeyRefusedError` (``key_weak``,
    ``key_type``).
    """
    if len(pem) > MAX_CSR_BYTES:
        raise CsrRefusedError("csr_invalid", f"the CSR has more than {MAX_CSR_BYTES} bytes")
    if pem.count(b"-----BEGIN ") != 1:
        raise CsrRefusedError("csr_invalid", "not exactly one PEM block")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise CsrRefusedError("csr_invalid", "not a PEM certificate signing request") from None
    strong = SubjectKey.of(key)
    try:
        holds = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        holds = False
    if not holds:
        raise CsrRefusedError("csr_invalid", "the CSR's signature does not hold; sign it with the key it names")
    return strong
