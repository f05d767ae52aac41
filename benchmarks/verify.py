"""Cold token verification, the first sight of a token with the issuer's keys known, against bare PyJWT."""

from __future__ import annotations

import time
from typing import Any

import jwt

from benchmarks.figures import Figure, compared
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import Issuer, TokenVerifier
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.iam.config import KeyAlgorithm
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES

_TOKENS = 100
_ROUNDS = 40
_SECONDS = 60.0


async def run() -> list[Figure]:
    """Measure."""
    return [await _measure("RS256"), await _measure("ES256")]


async def _measure(algorithm: KeyAlgorithm) -> Figure:
    iam = EmbeddedIam(IamConfig(signing=(algorithm,)))
    fetcher = Fetcher()
    await iam.start()
    try:
        issuer = Issuer(_settings(iam.url, algorithm), fetcher)
        await issuer.jwks.warm(Deadline.after(_SECONDS))
        key: Any = (await issuer.jwks.key_for(None, algorithm, Deadline.after(_SECONDS))).key
        tokens = [iam.token_for("jane", scope=TOKEN_SCOPES, audience=AUDIENCE) for _ in range(_TOKENS)]
        rounds = [
            (await _ours(tokens, issuer), _bare(tokens, key, algorithm, issuer.settings.token_issuer))
            for _ in range(_ROUNDS + 1)
        ]
    finally:
        await fetcher.close()
        await iam.stop()
    return compared("verify", f"cold {algorithm}", "us CPU", rounds[1:])


def _settings(url: str, algorithm: KeyAlgorithm) -> IssuerSettings:
    return IssuerSettings(
        name="benchmark",
        url=url,
        token_issuer=url,
        audiences=frozenset({AUDIENCE}),
        algorithms=frozenset({algorithm}),
        token_profile=TokenProfile.WLCG,
        leeway=30.0,
    )


async def _ours(tokens: list[str], issuer: Issuer) -> float:
    verifier = TokenVerifier([issuer], time.time)  # a new one has seen no token
    started = time.thread_time()
    for token in tokens:
        await verifier.verify(token, Deadline.after(_SECONDS))
    return _microseconds_since(started)


def _bare(tokens: list[str], key: Any, algorithm: KeyAlgorithm, token_issuer: str) -> float:  # noqa: ANN401 - PyJWT's
    started = time.thread_time()
    for token in tokens:
        jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=token_issuer)
    return _microseconds_since(started)


def _microseconds_since(started: float) -> float:
    return (time.thread_time() - started) / _TOKENS * 1e6
