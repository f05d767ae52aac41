"""The keys that sign tokens, their JWKS, and the keys that a careful verifier must refuse."""

import base64
import dataclasses
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm, get_default_algorithms

from ttscache.sandbox.iam.config import KeyAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
OddKey = Literal["unknown", "weak", "symmetric"]
OddJwks = Literal["duplicate_kid", "weak_key", "symmetric_key", "many_keys"]

# More than any honest issuer publishes, and few enough to be answered at once.
MANY_KEYS = 500


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private (or, for `HS256`, shared) key with the `kid` and `alg` that its tokens name."""

    kid: str
    alg: str
    key: PrivateKey | bytes

    @property
    def jwk(self) -> dict[str, object]:
        """The key as published (RFC 7517): the public half, except of a symmetric one, which has none."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            public: dict[str, Any] = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        elif isinstance(self.key, ec.EllipticCurvePrivateKey):
            public = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        else:
            public = HMACAlgorithm.to_jwk(self.key, as_dict=True)
        public.pop("key_ops", None)
        return public | {"kid": self.kid, "alg": self.alg, "use": "sig"}

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return the claims as a JWT (RFC 7519) in compact serialization.

        Put together here since PyJWT's own encoder looks at the claims and the key, and both are wrong on purpose
        when a fault says so.
        """
        header = {"alg": self.alg, "kid": self.kid, "typ": "JWT"}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = get_default_algorithms()[self.alg].sign(signed, self.key)
        return b".".join((signed, _base64url(signature))).decode()


class KeyRing:
    """The published keys, the current one of each algorithm first."""

    def __init__(self, algorithms: tuple[KeyAlgorithm, ...]) -> None:
        """Make one key for each algorithm; about 0.1 s for an RSA one."""
        self._algorithms = algorithms
        self._made = 0
        self._published: list[SigningKey] = []
        self.rotate()

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self._published[0]

    def rotate(self, *, keep_old: bool = True) -> None:
        """Make new keys and sign with them; without `keep_old` the old ones are no longer published."""
        new = [self._make(algorithm) for algorithm in self._algorithms]
        self._published = new + (self._published if keep_old else [])

    def signer(self, odd: OddKey | None) -> SigningKey:
        """Return the key that signs, or one that must not be believed."""
        match odd:
            case None:
                return self.current
            case "unknown":
                return self._unknown
            case "weak":
                return self._weak
            case "symmetric":
                return self._symmetric

    def jwks(self, odd: OddJwks | None = None) -> dict[str, object]:
        """Return the key set (RFC 7517 section 5), spoiled in one way when asked to.

        With `duplicate_kid` the first of two keys of one `kid` is the wrong one; with `many_keys` the good ones come
        last.
        """
        keys = [key.jwk for key in self._published]
        match odd:
            case None:
                pass
            case "duplicate_kid":
                keys.insert(0, self._unknown.jwk | {"kid": self.current.kid})
            case "weak_key":
                keys.append(self._weak.jwk)
            case "symmetric_key":
                keys.append(self._symmetric.jwk)
            case "many_keys":
                keys[:0] = [self._unknown.jwk | {"kid": f"many{number}"} for number in range(MANY_KEYS)]
        return {"keys": keys}

    def _make(self, algorithm: KeyAlgorithm) -> SigningKey:
        self._made += 1
        if algorithm == "RS256":
            return SigningKey(f"rsa{self._made}", algorithm, rsa.generate_private_key(65537, 2048))
        return SigningKey(f"ec{self._made}", algorithm, ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def _unknown(self) -> SigningKey:
        # The kind of the good key, and never published under a name of its own.
        return dataclasses.replace(self._make(self._algorithms[0]), kid="unknown")

    @cached_property
    def _weak(self) -> SigningKey:
        return SigningKey("weak", "RS256", rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose

    @cached_property
    def _symmetric(self) -> SigningKey:
        return SigningKey("symmetric", "HS256", secrets.token_bytes(32))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
