"""private_key_jwt client authentication (RFC 7523 section 2.2, OpenID Connect Core section 9)."""

from __future__ import annotations

from authlib.oauth2.rfc7523 import private_key_jwt_sign
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from proxy_gen.keys import PrivateKey, load_private_key
from ttscache.upstream.settings import ExchangeSettings

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# long enough for a slow issuer and clocks that differ, short enough to be worthless when seen later
_LIFETIME = 120
_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


def client_assertion(settings: ExchangeSettings, token_endpoint: str, now: float) -> dict[str, str]:
    """Return the form fields that authenticate the client; each assertion is good once (`jti`)."""
    algorithm = _algorithm(load_private_key(settings.secret.encode(), made_here=True))
    assertion = private_key_jwt_sign(
        settings.secret,
        settings.client_id,
        token_endpoint,
        alg=algorithm,
        issued_at=int(now),
        expires_in=_LIFETIME,
        header={} if settings.key_id is None else {"kid": settings.key_id},
    )
    return {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _EC_ALGORITHMS[key.curve.name]
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "RS256"
