"""Signatures over certificates that are put together here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from proxy_gen import der
from proxy_gen.keys import PrivateKey, signature_hash

_Sign: TypeAlias = Callable[[bytes], bytes]
# RFC 4055 section 5: RSA's algorithms have a NULL for parameters; ECDSA's and Ed25519's have none (RFC 5758, 8410)
_NULL = b"\x05\x00"


class CertificateSigner:
    """A key that signs certificates, and ``algorithm``: the AlgorithmIdentifier that the signed part must name, too."""

    def __init__(self, key: PrivateKey) -> None:
        self.algorithm, self._sign = _scheme(key)

    def certificate(self, signed_part: bytes) -> bytes:
        """Return the certificate (RFC 5280 section 4.1) whose TBSCertificate this is."""
        signature = der.tlv(der.BIT_STRING, b"\0", self._sign(signed_part))  # no bit of the last octet is unused
        return der.sequence(signed_part, self.algorithm, signature)


def _scheme(key: PrivateKey) -> tuple[bytes, _Sign]:
    """Return how a key signs, by the hash that :func:`signature_hash` picks."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _algorithm(SignatureAlgorithmOID.ED25519), key.sign
    algorithm = signature_hash(key)
    if isinstance(key, rsa.RSAPrivateKey):
        sign: _Sign = partial(key.sign, padding=padding.PKCS1v15(), algorithm=algorithm)
        return _algorithm(SignatureAlgorithmOID.RSA_WITH_SHA256, _NULL), sign
    is_sha384 = isinstance(algorithm, hashes.SHA384)
    oid = SignatureAlgorithmOID.ECDSA_WITH_SHA384 if is_sha384 else SignatureAlgorithmOID.ECDSA_WITH_SHA256
    return _algorithm(oid), partial(key.sign, signature_algorithm=ec.ECDSA(algorithm))


def _algorithm(oid: x509.ObjectIdentifier, parameters: bytes = b"") -> bytes:
    return der.sequence(der.oid(oid), parameters)
