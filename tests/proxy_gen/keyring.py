"""Keys for all tests of a session: each is made once."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from proxy_gen.keys import KeyKind, PrivateKey, generate_key


@cache
def key(kind: KeyKind, number: int = 0) -> PrivateKey:
    """Return the key with this number of its kind."""
    return generate_key(kind)


@cache
def rsa_key(bits: int, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """Return an RSA key that we would not make."""
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@cache
def ec_key(curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@cache
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(1024)  # noqa: S505 - a key that is to be refused
