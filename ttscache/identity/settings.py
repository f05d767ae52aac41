"""What the configuration says of an issuer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class TokenProfile(Enum):
    """Where an issuer's tokens keep groups and entitlements."""

    WLCG = "wlcg"
    IAM = "iam"
    AARC = "aarc"
    KUBERNETES = "kubernetes"
    OIDC = "oidc"


# What stands in `audiences` for a token without `aud`.
NO_AUDIENCE = ""

# Of the tokens that af-credmon keeps for its users; good where it redeems them, and nowhere else.
CREDMON_AUDIENCE = "af-credmon/x509"

# Asymmetric only: with HMAC whoever can verify can also sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True)
class IssuerSettings:
    """An issuer: ``url`` is where its discovery document is, ``token_issuer`` what `iss` must be to the letter.

    ``leeway`` is in seconds, for clocks that differ. ``jwks_url`` is where its keys are when the document's own word
    on that does not count.
    """

    name: str
    url: str
    token_issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    token_profile: TokenProfile
    leeway: float
    ca_file: Path | None = None
    jwks_url: str | None = None
