"""Token verification: RFC 7519, RFC 8725 (best current practice), RFC 9068 where an access token follows it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ttscache.errors import (
    AudienceMismatchError,
    IssuerUnknownError,
    IssuerUnreachableError,
    TokenAlgorithmError,
    TokenExpiredError,
    TokenMalformedError,
    TokenNotYetValidError,
)
from ttscache.identity import claims as claim_readers
from ttscache.identity.discovery import Discovery
from ttscache.identity.jwks import JwksCache
from ttscache.identity.jws import CompactJws, parse, require_signature
from ttscache.identity.kubernetes import pod_of, rotated_at
from ttscache.identity.settings import NO_AUDIENCE, IssuerSettings, TokenProfile
from ttscache.model import Identity
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher

_MAX_SUBJECT = 255  # OpenID Connect Core section 2
_MAX_KID = 512
# some 2 KiB each: enough for a farm's running jobs, and little beside the process itself
_MAX_REMEMBERED = 10_000
_MAX_MOMENT = 2**40
_BEGINNINGS = ("nbf", "iat")
# a header that brings its own key, or says where to fetch one, is an attack or a mistake (RFC 8725 section 3.10)
_KEY_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c"})
# explicit types that an access token may have (RFC 8725 section 3.11, RFC 9068 section 2.1)
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
# what JSON's numbers are; a boolean, which Python counts among them, is none
_NUMBERS = (int, float)


class Issuer:
    """A configured issuer with what was learnt of it."""

    def __init__(self, settings: IssuerSettings, fetcher: Fetcher | AuthorizedFetcher) -> None:
        self.settings = settings
        self.discovery = Discovery(settings, fetcher)
        self.jwks = JwksCache(settings.name, self.discovery, fetcher)

    def adopt(self, previous: Issuer) -> None:
        """Take over what was learnt of the same issuer, so that a reload during its outage forgets nothing."""
        if previous.settings == self.settings:
            self.discovery.adopt(previous.discovery)
            self.jwks.adopt(previous.jwks)

    async def is_reachable(self, deadline: Deadline) -> bool:
        """Tell whether the issuer answers now, and fetch its keys if there are none yet."""
        if not await self.discovery.is_reachable(deadline):
            return False
        try:
            await self.jwks.warm(deadline)
        except IssuerUnreachableError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A verified token: by which keys, in which of their epochs, and when it holds, leeway included."""

    identity: Identity
    jwks: JwksCache
    epoch: int
    begins_at: float
    ends_at: float


class TokenVerifier:
    """Verifies tokens of several issuers. A verified token is remembered by its digest until its `exp`."""

    def __init__(self, issuers: Iterable[Issuer], clock: Callable[[], float]) -> None:
        self._by_iss: dict[str, list[Issuer]] = {}
        for issuer in issuers:
            self._by_iss.setdefault(issuer.settings.token_issuer, []).append(issuer)
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    def recall(self, token: str, also_for: str = "") -> Identity | None:
        """Return who presents this token to us where it was verified before, and still holds."""
        return self._recall(_memory_key(token, also_for))

    async def verify(self, token: str, deadline: Deadline, also_for: str = "") -> Identity:
        """Return who presents this token to us. Raises a :class:`TokenError`, or IssuerUnreachableError.

        ``also_for`` is an audience that does beside the configured ones where the token is presented; not for pods.
        """
        key = _memory_key(token, also_for)
        remembered = self._recall(key)
        if remembered is not None:
            return remembered
        jws = parse(token)
        issuer = self._issuer_of(jws.claims, also_for)
        identity = await self._verified(token, jws, issuer, deadline)
        self._remember(key, identity, issuer)
        return identity

    async def inspect(self, token: str, issuer_name: str, deadline: Deadline) -> Mapping[str, Any]:
        """Return the claims of a token that ``issuer_name`` made for somebody else: all checks but the audience."""
        jws = parse(token)
        iss = _string(jws.claims, "iss")
        issuer = next((i for i in self._by_iss.get(iss, ()) if i.settings.name == issuer_name), None)
        if issuer is None:
            raise IssuerUnknownError("the token is another issuer's")
        await self._verified(token, jws, issuer, deadline)
        return jws.claims

    async def _verified(self, token: str, jws: CompactJws, issuer: Issuer, deadline: Deadline) -> Identity:
        algorithm = _algorithm(jws.header, issuer.settings)
        _require_plain_header(jws.header)
        _require_times(jws.claims, self._clock(), issuer.settings)
        key = await issuer.jwks.key_for(_kid(jws.header), algorithm, deadline)
        require_signature(jws, algorithm, key.key)
        return identity_of(token_digest(token), claim_readers.shared(jws.claims), issuer.settings)

    def _issuer_of(self, claims: Mapping[str, Any], also_for: str) -> Issuer:
        """Return the issuer, which the audience tells where several share an `iss`. Raises a :class:`TokenError`."""
        candidates = self._by_iss.get(_string(claims, "iss"))
        if not candidates:
            raise IssuerUnknownError("the token's issuer is not configured here (it must match to the letter)")
        presented = claim_readers.audiences(claims) or {NO_AUDIENCE}
        for candidate in candidates:
            if not presented.isdisjoint(candidate.settings.audiences):
                return candidate
        for candidate in candidates:
            if also_for in presented and also_for and candidate.settings.token_profile is not TokenProfile.KUBERNETES:
                return candidate
        raise AudienceMismatchError("the token is for another audience; ask its issuer for one with our audience")

    def _recall(self, key: bytes) -> Identity | None:
        entry = self._remembered.get(key)
        if entry is None:
            return None
        jwks = entry.jwks
        # else no removal of a key would be noticed where the same long-lived tokens come again and again
        jwks.keep_fresh()
        if entry.epoch == jwks.epoch and entry.begins_at <= self._clock() < entry.ends_at:
            return entry.identity
        del self._remembered[key]
        return None

    def _remember(self, key: bytes, identity: Identity, issuer: Issuer) -> None:
        begins_at, ends_at = _times(identity.claims, issuer.settings)
        self._remembered[key] = _Remembered(identity, issuer.jwks, issuer.jwks.epoch, begins_at, ends_at)
        while len(self._remembered) > _MAX_REMEMBERED or self._oldest_has_expired():
            self._remembered.popitem(last=False)

    def _oldest_has_expired(self) -> bool:
        for oldest in self._remembered.values():
            return self._clock() >= oldest.ends_at
        return False


def _memory_key(token: str, also_for: str) -> bytes:
    """Return what stands for a token in memory: of each request's, so by BLAKE2, which costs less than SHA-256.

    What was good for one place is not for another: ``also_for`` is part of it.
    """
    place = also_for.encode()[: hashlib.blake2b.MAX_KEY_SIZE]
    return hashlib.blake2b(token.encode(errors="surrogatepass"), digest_size=32, key=place).digest()


def token_digest(token: str) -> str:
    """SHA-256 of a token in hexadecimal: what stands for it where it must not be kept."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _algorithm(header: Mapping[str, Any], settings: IssuerSettings) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in settings.algorithms:
        raise TokenAlgorithmError(f"the token's algorithm is not on the list of issuer '{settings.name}'")
    return algorithm


def _require_plain_header(header: Mapping[str, Any]) -> None:
    if "crit" in header:
        raise TokenMalformedError("the token's header has critical extensions, of which none is known here")
    if not _KEY_HEADERS.isdisjoint(header):
        raise TokenMalformedError("the token's header brings a key of its own")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenMalformedError("the token is of another type than an access token")


def _kid(header: Mapping[str, Any]) -> str | None:
    kid = header.get("kid")
    if not isinstance(kid, str | None) or (kid is not None and len(kid) > _MAX_KID):
        raise TokenMalformedError("the token's key identifier is not a string of reasonable length")
    return kid


def _require_times(claims: Mapping[str, Any], now: float, settings: IssuerSettings) -> None:
    leeway = settings.leeway
    if now >= _end(claims, settings) + leeway:
        raise TokenExpiredError("the token has expired; obtain a new one")
    for name in _BEGINNINGS:
        if name in claims and _moment(claims, name) > now + leeway:
            raise TokenNotYetValidError(f"the token's '{name}' lies ahead; is a clock wrong?")


def _end(claims: Mapping[str, Any], settings: IssuerSettings) -> float:
    """Return when a token ends, in POSIX seconds; a cluster's, when its pod was to have the next."""
    end = _moment(claims, "exp")
    return min(end, rotated_at(claims) or end) if settings.token_profile is TokenProfile.KUBERNETES else end


def _times(claims: Mapping[str, Any], settings: IssuerSettings) -> tuple[float, float]:
    """Return from when and until when a token holds, both with the leeway."""
    leeway = settings.leeway
    begins_at = max((_moment(claims, name) for name in _BEGINNINGS if name in claims), default=0.0)
    return begins_at - leeway, _end(claims, settings) + leeway


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value: Any = claims.get(name)
    if type(value) not in _NUMBERS:
        raise TokenMalformedError(f"the token's '{name}' is missing or not a number")
    if not 0 <= value < _MAX_MOMENT:  # which no NaN is
        raise TokenMalformedError(f"the token's '{name}' is not a time")
    return float(value)


def _string(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise TokenMalformedError(f"the token's '{name}' is missing or not a string")
    return value


def identity_of(digest: str, claims: Mapping[str, Any], settings: IssuerSettings) -> Identity:
    """Return the identity that claims of this issuer's mean. Raises :class:`TokenMalformedError`."""
    subject = _string(claims, "sub")
    if len(subject) > _MAX_SUBJECT or not subject.isprintable():
        raise TokenMalformedError(f"the token's 'sub' is not of at most {_MAX_SUBJECT} printable characters")
    return Identity(
        issuer=settings.name,
        subject=subject,
        client_id=claim_readers.client_id(claims),
        groups=claim_readers.groups(settings.token_profile, claims),
        scopes=claim_readers.scopes(claims),
        entitlements=claim_readers.entitlements(claims),
        claims=claims,
        issued_at=_moment(claims, "iat") if "iat" in claims else 0.0,
        expires_at=_end(claims, settings),
        digest=digest,
        pod=pod_of(settings.name, claims) if settings.token_profile is TokenProfile.KUBERNETES else None,
    )
