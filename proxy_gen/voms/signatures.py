"""Signatures over what `cryptography` has no type for."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from proxy_gen.keys import PublicKey

# SHA-1, which the VOMS clients of old signed with, is not among them: a second signer can be made for it
_RSA_HASHES: Mapping[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.RSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.RSA_WITH_SHA512: hashes.SHA512(),
}
_ECDSA_HASHES: Mapping[x509.ObjectIdentifier, hashes.HashAlgorithm] = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: hashes.SHA256(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: hashes.SHA384(),
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: hashes.SHA512(),
}
RSA_ALGORITHM = SignatureAlgorithmOID.RSA_WITH_SHA256


def is_strong(algorithm: x509.ObjectIdentifier) -> bool:
    """Tell whether signatures of this algorithm are taken."""
    return algorithm in _RSA_HASHES or algorithm in _ECDSA_HASHES


def sign(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """Sign with :data:`RSA_ALGORITHM`."""
    return key.sign(data, padding.PKCS1v15(), _RSA_HASHES[RSA_ALGORITHM])


def holds(key: PublicKey, algorithm: x509.ObjectIdentifier, signature: bytes, data: bytes) -> bool:
    """Tell whether a signature is this key's over the data, by an algorithm that is taken."""
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm in _RSA_HASHES:
            key.verify(signature, data, padding.PKCS1v15(), _RSA_HASHES[algorithm])
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm in _ECDSA_HASHES:
            key.verify(signature, data, ec.ECDSA(_ECDSA_HASHES[algorithm]))
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True
