"""Key kinds, key generation, and what counts as a key that is strong enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, overload

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import PublicKeyAlgorithmOID

from proxy_gen.errors import KeyRefusedError

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MIN_RSA_BITS = 2048
# Above this a signature check costs a consumer so much that the key is a weapon.
MAX_RSA_BITS = 8192
_RSA_EXPONENT = 65537
# An odd exponent from 3 up is a key; beyond 64 bits OpenSSL refuses it, and so do we.
_MAX_RSA_EXPONENT_BITS = 64
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# An RSA key that its certificate binds to PSS makes no PKCS #1 v1.5 signature that OpenSSL would take.
_KEY_ALGORITHMS = frozenset(
    {PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.EC_PUBLIC_KEY, PublicKeyAlgorithmOID.ED25519}
)


class KeyKind(Enum):
    """The kinds of keys that we make; the value is the name in configuration."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P_256 = "p-256"
    P_384 = "p-384"
    ED25519 = "ed25519"


_RSA_BITS = {KeyKind.RSA_2048: 2048, KeyKind.RSA_3072: 3072, KeyKind.RSA_4096: 4096}
_RSA_KINDS = {bits: kind for kind, bits in _RSA_BITS.items()}


def generate_key(kind: KeyKind) -> PrivateKey:
    """Make a private key. RSA-2048 takes some 40 ms and releases the GIL; the others take microseconds."""
    if kind in _RSA_BITS:
        return rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=_RSA_BITS[kind])
    if kind is KeyKind.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind is KeyKind.P_256 else ec.SECP384R1())


def kind_of(key: PublicKey) -> KeyKind | None:
    """Return the kind of a public key, or None for one that we do not make ourselves (another size or curve)."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_KINDS.get(key.key_size)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyKind.ED25519
    return {"secp256r1": KeyKind.P_256, "secp384r1": KeyKind.P_384}.get(key.curve.name)


def require_strong(key: object) -> PublicKey:
    """Return the key when it is of a taken type and strong enough.

    Raises :class:`KeyRefusedError` with code ``key_type`` or ``key_weak``: RSA below 2048 bits is refused by Globus,
    XrdHttp and Python; DSA, other curves and outsized RSA keys by us.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise KeyRefusedError(
                "key_weak", f"an RSA key has {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken"
            )
        exponent = key.public_numbers().e
        if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > _MAX_RSA_EXPONENT_BITS:  # noqa: PLR2004 - RFC 8017 3.1
            raise KeyRefusedError("key_weak", "an RSA key has an unfit public exponent")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, _CURVES):
            raise KeyRefusedError("key_type", f"keys on the curve {key.curve.name} are not taken")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise KeyRefusedError("key_type", "the key is neither RSA nor on a NIST curve nor Ed25519")


def certificate_key(certificate: x509.Certificate) -> PublicKey:
    """Return a certificate's key as :func:`require_strong` does; one that cannot be read is ``key_type`` as well."""
    try:
        key = require_strong(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefusedError("key_type", "the certificate's key is not readable") from None
    if certificate.public_key_algorithm_oid not in _KEY_ALGORITHMS:
        raise KeyRefusedError("key_type", "the certificate's key is bound to one signature scheme")
    return key


@overload
def signature_hash(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> hashes.SHA256 | hashes.SHA384: ...
@overload
def signature_hash(key: ed25519.Ed25519PrivateKey) -> None: ...
def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the hash to sign with: as strong as the key, None for Ed25519, which has its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    return hashes.SHA256()


def public_der(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo: what two keys are compared by."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class SubjectKey:
    """A public key that may be certified, for it is strong, and its SubjectPublicKeyInfo, which is encoded once."""

    key: PublicKey = field(compare=False)  # OpenSSL's comparison takes ten times as long as that of the encodings
    der: bytes

    @classmethod
    def of(cls, key: object) -> SubjectKey:
        """Look at a key. Raises :class:`KeyRefusedError` as :func:`require_strong` does."""
        strong = require_strong(key)
        return cls(strong, public_der(strong))

    @property
    def is_rsa(self) -> bool:
        """Whether it can encipher keys."""
        return isinstance(self.key, rsa.RSAPublicKey)


def private_pem(key: PrivateKey) -> bytes:
    """Return the unencrypted PEM that grid software reads: PKCS#1 for RSA, PKCS#8 for the others."""
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    form = serialization.PrivateFormat.TraditionalOpenSSL if is_rsa else serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def load_private_key(pem: bytes, *, made_here: bool = False) -> PrivateKey:
    """Load an unencrypted PEM key.

    ``made_here`` skips the primality checks of an RSA key, which take 37 ms and hold the GIL: right only for bytes
    that this program wrote and kept sealed. Raises :class:`KeyRefusedError` (``key_malformed``, ``key_weak``,
    ``key_type``).
    """
    key = _load(pem, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey) and not made_here:
        _require_bounded(key.private_numbers())
        return _load(pem, unsafe_skip_rsa_key_validation=False)
    return key


def _load(pem: bytes, *, unsafe_skip_rsa_key_validation: bool) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(
            pem, None, unsafe_skip_rsa_key_validation=unsafe_skip_rsa_key_validation
        )
        public_key = key.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefusedError("key_malformed", "not an unencrypted private key in PEM") from None
    require_strong(public_key)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key
    raise KeyRefusedError("key_type", "the key is neither RSA nor on a NIST curve nor Ed25519")


def _require_bounded(numbers: rsa.RSAPrivateNumbers) -> None:
    """Refuse primes so large that the check of their primality would be an attack: minutes, with the GIL held."""
    modulus = numbers.public_numbers.n
    half = (modulus.bit_length() + 1) // 2
    if numbers.p * numbers.q != modulus or max(numbers.p, numbers.q).bit_length() > half:
        raise KeyRefusedError("key_malformed", "the private key's primes do not fit its modulus")
