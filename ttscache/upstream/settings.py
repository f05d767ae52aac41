"""What the configuration says of an issuer's token endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class AuthMethod(Enum):
    """Client authentication at the token endpoint (RFC 6749 section 2.3.1, RFC 7523 section 2.2)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"


@dataclass(frozen=True, repr=False)
class ExchangeSettings:
    """How tokens are exchanged at an issuer. ``secret`` is the client secret, or the PEM of the client's key.

    ``key_id`` goes into a private_key_jwt assertion's header, where the issuer wants one.
    """

    client_id: str
    secret: str
    auth_method: AuthMethod
    scopes: tuple[str, ...]
    audience: str | None
    key_id: str | None = None
