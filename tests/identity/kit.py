"""An issuer whose every part a test can spoil, and tokens of any form."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tests.net.loopback import Loopback, loopback
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import Issuer, TokenVerifier
from ttscache.model import Identity
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher

NOW = 1_900_000_000.0
OURS = "https://ttscache.example"
LEEWAY = 30.0
DISCOVERY = "/.well-known/openid-configuration"
RFC8414 = "/.well-known/oauth-authorization-server"
JWKS = "/jwk"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


@dataclass(frozen=True)
class Key:
    """A key that signs tokens."""

    alg: str
    private: Any
    kid: str | None = "k1"

    @property
    def jwk(self) -> dict[str, Any]:
        made: dict[str, Any] = get_default_algorithms()[self.alg].to_jwk(self.private.public_key(), as_dict=True)
        made.pop("key_ops", None)
        return made | {"alg": self.alg, "use": "sig"} | ({} if self.kid is None else {"kid": self.kid})

    def sign(self, signed: bytes) -> bytes:
        return get_default_algorithms()[self.alg].sign(signed, self.private)


@cache
def es256(number: int = 0, kid: str | None = "k1") -> Key:
    return Key("ES256", ec.generate_private_key(ec.SECP256R1()), kid)


@cache
def rs256(bits: int = 2048, kid: str = "k1") -> Key:
    return Key("RS256", rsa.generate_private_key(65537, bits), kid)


@cache
def ps256() -> Key:
    return Key("PS256", rs256().private)


@cache
def ed25519_key() -> Key:
    return Key("EdDSA", ed25519.Ed25519PrivateKey.generate())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: object, payload: bytes, key: Key) -> str:
    """Return a JWS of anything at all, properly signed."""
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(payload)}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


CLAIMS: Mapping[str, Any] = {"sub": "jane", "aud": OURS, "iat": NOW, "nbf": NOW, "exp": NOW + 3600}


@dataclass
class Realm:
    """One issuer's server and a verifier that is configured for it."""

    server: Loopback
    fetcher: Fetcher
    clock: Clock = field(default_factory=Clock)
    key: Key = field(default_factory=es256)
    issuers: list[Issuer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = self.server.url + "/"
        self.publish(self.key)
        self.say_document()
        self.configure()

    def configure(self, *changes: Mapping[str, Any]) -> None:
        """Set the verifier up anew, with an issuer for each mapping of settings that differ from the default."""
        default = IssuerSettings(
            name="site",
            url=self.url,
            token_issuer=self.url,
            audiences=frozenset({OURS}),
            algorithms=frozenset({"ES256", "RS256", "PS256", "EdDSA"}),
            token_profile=TokenProfile.WLCG,
            leeway=LEEWAY,
        )
        self.issuers += [Issuer(replace(default, **change), self.fetcher) for change in changes or ({},)]
        self.verifier = TokenVerifier(self.issuers[-max(1, len(changes)) :], self.clock)

    @property
    def issuer(self) -> Issuer:
        return self.issuers[-1]

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.server.seen[JWKS]

    def publish(self, *keys: Key | dict[str, Any]) -> None:
        self.server.say(JWKS, {"keys": [key.jwk if isinstance(key, Key) else key for key in keys]})

    def say_document(self, **changes: object) -> None:
        document = {"issuer": self.url, "jwks_uri": self.server.url + JWKS, "token_endpoint": self.url + "token"}
        self.server.say(DISCOVERY, {k: v for k, v in (document | changes).items() if v is not None})

    def token(self, header: Mapping[str, Any] | None = None, /, key: Key | None = None, **claims: Any) -> str:  # noqa: ANN401 - any claims
        """Return a good token but for what is said; a claim that is ``...`` is left out."""
        signer = key or self.key
        full: dict[str, Any] = {"alg": signer.alg, "kid": signer.kid, "typ": "JWT", **(header or {})}
        body = {"iss": self.url, **CLAIMS} | claims
        payload = json.dumps({name: value for name, value in body.items() if value is not ...}).encode()
        return compact({name: value for name, value in full.items() if value is not ...}, payload, signer)

    async def verify(self, token: str, seconds: float = 10.0) -> Identity:
        return await self.verifier.verify(token, Deadline.after(seconds))


@asynccontextmanager
async def open_realm(ca_file: Path) -> AsyncIterator[Realm]:
    async with loopback() as server:
        fetcher = Fetcher(ca_file)
        realm = Realm(server, fetcher)
        try:
            yield realm
        finally:
            for issuer in realm.issuers:
                await issuer.jwks.close()
            await fetcher.close()
