"""private_key_jwt client authentication (RFC 7523 section 2.2, OpenID Connect Core section 9)."""

from __future__ import annotations

import secrets

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from proxy_gen.keys import PrivateKey, load_private_key
from ttscache.upstream.settings import ExchangeSettings

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# long enough for a slow issuer and clocks that differ, short enough to be worthless when seen later
_LIFETIME = 120
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def client_assertion(settings: ExchangeSettings, token_endpoint: str, now: float) -> dict[str, str]:
    """Return the form fields that authenticate the client; each assertion is good once (`jti`)."""
    key = load_private_key(settings.secret.encode(), made_here=True)
    issued_at = int(now)
    claims = {
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": token_endpoint,
        "jti": secrets.token_urlsafe(24),
        "iat": issued_at,
        "exp": issued_at + _LIFETIME,
    }
    headers = None if settings.key_id is None else {"kid": settings.key_id}
    assertion = jwt.encode(claims, key, algorithm=_algorithm(key), headers=headers)
    return {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _EC_ALGORITHMS[key.curve.name]
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "RS256"
