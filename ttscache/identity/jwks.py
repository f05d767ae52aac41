"""An issuer's signing keys (RFC 7517): a cache of our own, so that bad tokens cause no storm of fetches."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.exceptions import PyJWTError

from proxy_gen.errors import KeyRefusedError
from proxy_gen.keys import require_strong
from ttscache.errors import IssuerUnreachableError, TokenSignatureError
from ttscache.identity.discovery import Discovery
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.backoff import backoff
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher, FetchFailedError
from ttscache.net.renewal import Renewal

# WLCG common JWT profile section 4.3.1: refresh every 6 h (1 to 6 h), expire after 2 d (1 to 4 d).
_FRESH_FOR = 6 * 3600.0
_KEEP_FOR = 2 * 86400.0
# A key that is not known asks for a fetch, but for no more than one in this time, whatever tokens come.
_REFETCH_WINDOW = 30.0
_TIMEOUT = 10.0
_MAX_KEYS = 100
_OK = 200
# RFC 7517 section 8.5.2; Kubernetes says nothing in any other type
_ACCEPT = "application/jwk-set+json, application/json"

# a tuple, for what stands there may be no value that can be hashed
_KEY_TYPES = ("RSA", "EC", "OKP")
_CURVE_OF = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


@dataclass(frozen=True)
class SigningKey:
    """A key of the issuer's. ``algorithm`` is what its JWK binds it to, if anything."""

    kid: str | None
    algorithm: str | None
    key: object

    def fits(self, algorithm: str) -> bool:
        """Tell whether this key can have made a signature with this algorithm (RFC 7518)."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        if algorithm.startswith(("RS", "PS")):
            return isinstance(self.key, rsa.RSAPublicKey)
        if algorithm == "EdDSA":
            return isinstance(self.key, ed25519.Ed25519PublicKey)
        return isinstance(self.key, ec.EllipticCurvePublicKey) and self.key.curve.name == _CURVE_OF.get(algorithm)


class JwksCache:
    """One issuer's keys. ``epoch`` grows whenever a key that was there is gone."""

    def __init__(self, name: str, discovery: Discovery, fetcher: Fetcher | AuthorizedFetcher) -> None:
        self._name = name
        self._discovery = discovery
        self._fetcher = fetcher
        self._keys: tuple[SigningKey, ...] = ()
        self._fetched_at: float | None = None
        self._next_fetch = 0.0
        self._failures = 0
        self._trouble = ""
        self._renewal = Renewal(self._renew, _TIMEOUT)
        self.epoch = 0

    def adopt(self, previous: JwksCache) -> None:
        """Take over what another cache of the same issuer has learnt."""
        self._keys, self._fetched_at, self.epoch = previous._keys, previous._fetched_at, previous.epoch

    async def key_for(self, kid: str | None, algorithm: str, deadline: Deadline) -> SigningKey:
        """Return the one key that can have signed.

        Raises :class:`TokenSignatureError` when there is none, or when two would do;
        :class:`IssuerUnreachableError` when it cannot be told, for no keys can be had now.
        """
        self.keep_fresh()
        if not self._candidates(kid, algorithm):
            await self._learn(deadline)
        candidates = self._candidates(kid, algorithm)
        if not candidates and self._failures:
            raise IssuerUnreachableError(self._trouble)
        if not candidates:
            raise TokenSignatureError(f"issuer '{self._name}' has no usable key for this token's signature")
        if len(candidates) > 1:
            # RFC 7517 section 4.5: a kid should be distinct; which of two it is must not be tried out
            raise TokenSignatureError(f"issuer '{self._name}' has several keys that this token could mean")
        return candidates[0]

    async def warm(self, deadline: Deadline) -> None:
        """Fetch the keys if there are none. Raises :class:`IssuerUnreachableError`."""
        if not self._keys:
            await self._learn(deadline)
        if not self._keys:
            raise IssuerUnreachableError(self._trouble)

    def keep_fresh(self) -> None:
        """Renew keys that are good but old, without anybody waiting for it, and forget those that are too old."""
        now = time.monotonic()
        self._forget_when_too_old(now)
        if self._fetched_at is not None and now - self._fetched_at > _FRESH_FOR and now >= self._next_fetch:
            self._renewal.start()

    @property
    def usable(self) -> bool:
        """Whether there are keys to verify with."""
        return bool(self._keys)

    async def close(self) -> None:
        """End what runs behind the scenes, for the keys and for the discovery document that they come from."""
        await self._renewal.close()
        await self._discovery.close()

    def _candidates(self, kid: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        return tuple(key for key in self._keys if (kid is None or key.kid == kid) and key.fits(algorithm))

    async def _learn(self, deadline: Deadline) -> None:
        """Wait for new keys, unless they were asked for a moment ago."""
        if time.monotonic() < self._next_fetch and not self._renewal.under_way:
            return
        try:
            await self._renewal.join(deadline)
        except TimeoutError:
            raise self._unreachable("its keys did not come in time") from None

    async def _renew(self, deadline: Deadline) -> None:
        now = time.monotonic
        try:
            fresh = await self._fetch(deadline)
        except IssuerUnreachableError as error:
            self._trouble = error.message
            self._failures += 1
            self._next_fetch = now() + backoff(self._failures)
            self._forget_when_too_old(now())
        else:
            self._replace(fresh, now())

    def _replace(self, fresh: tuple[SigningKey, ...], now: float) -> None:
        # the keys themselves are compared: an issuer may give a new one the name of the old
        if any(key not in fresh for key in self._keys):
            self.epoch += 1
        self._keys = fresh
        self._failures = 0
        self._fetched_at = now
        self._next_fetch = now + _REFETCH_WINDOW

    def _forget_when_too_old(self, now: float) -> None:
        if self._keys and self._fetched_at is not None and now - self._fetched_at > _KEEP_FOR:
            self._keys = ()
            self.epoch += 1

    async def _fetch(self, deadline: Deadline) -> tuple[SigningKey, ...]:
        uri = (await self._discovery.metadata(deadline)).jwks_uri
        try:
            answer = await self._fetcher.get(uri, deadline, headers={"Accept": _ACCEPT})
        except FetchFailedError as error:
            raise self._unreachable(f"its keys cannot be fetched: {error.reason}") from None
        if answer.status != _OK:
            raise self._unreachable(f"its keys were answered with status {answer.status}")
        try:
            keys = parse_jwks(json.loads(answer.body))
        except (ValueError, RecursionError):
            raise self._unreachable("its keys are not a JWK set") from None
        if not keys:
            raise self._unreachable("its JWK set has no usable key")
        return keys

    def _unreachable(self, why: str) -> IssuerUnreachableError:
        return IssuerUnreachableError(f"issuer '{self._name}' cannot be used now: {why}")


def parse_jwks(document: Any) -> tuple[SigningKey, ...]:  # noqa: ANN401 - whatever JSON came
    """Return the usable signature keys of a JWK set: weak, symmetric, encryption and unreadable keys are left out.

    Raises ValueError for what is no JWK set, or one of more than 100 keys.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("not a JWK set of reasonable size")
    parsed = (_signing_key(entry) for entry in entries if isinstance(entry, dict))
    return tuple(key for key in parsed if key is not None)


def _signing_key(entry: Mapping[str, Any]) -> SigningKey | None:
    operations = entry.get("key_ops")
    if entry.get("kty") not in _KEY_TYPES or entry.get("use", "sig") != "sig":
        return None
    if isinstance(operations, list) and "verify" not in operations:
        return None
    kid, algorithm = entry.get("kid"), entry.get("alg")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    # a set that publishes the private parts too is a fault of the issuer's; only the public ones are read here
    public = {name: value for name, value in entry.items() if name not in {"d", "p", "q", "dp", "dq", "qi", "oth"}}
    try:
        key = jwt.PyJWK(public).key
        require_strong(key)
    except (PyJWTError, KeyRefusedError, ValueError, TypeError):
        return None
    return SigningKey(kid=kid, algorithm=algorithm, key=key)
