"""An IAM that is down, slow or broken, as the verification of tokens meets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.iam_client import config
from ttscache.errors import IssuerUnreachableError, TokenSignatureError, TtsError
from ttscache.identity import discovery, jwks
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import Issuer, TokenVerifier
from ttscache.model import Identity
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.sandbox.iam import EmbeddedIam, Fault

OURS = "https://ttscache.example"


@dataclass
class Site:
    iam: EmbeddedIam
    issuer: Issuer
    verifier: TokenVerifier

    def token(self) -> str:
        return self.iam.token_for("jane", audience=OURS)

    async def verify(self, token: str | None = None, seconds: float = 5.0) -> Identity:
        return await self.verifier.verify(token or self.token(), Deadline.after(seconds))


@pytest.fixture
async def site(ca_file: Path) -> AsyncIterator[Site]:
    iam, fetcher = EmbeddedIam(config()), Fetcher(ca_file)
    await iam.start()
    settings = IssuerSettings(
        name="iam",
        url=iam.url,
        token_issuer=iam.url,
        audiences=frozenset({OURS}),
        algorithms=frozenset({"ES256"}),
        token_profile=TokenProfile.WLCG,
        leeway=30.0,
    )
    issuer = Issuer(settings, fetcher)
    yield Site(iam, issuer, TokenVerifier([issuer], time.time))
    await issuer.jwks.close()
    await fetcher.close()
    await iam.stop()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are forgotten at once; how long they are remembered is the backoff's own test."""
    monkeypatch.setattr(jwks, "backoff", lambda _: 0.0)
    monkeypatch.setattr(discovery, "backoff", lambda _: 0.0)


FAULTS: list[dict[str, Any]] = [
    {"delay": 20.0},
    {"body": "html"},
    {"body": "html", "status": 503},
    {"body": "empty"},
    {"body": "error", "status": 500},
    {"body": "garbage"},
    {"body": "truncated"},
    {"body": "huge"},
    {"body": "endless"},
    {"status": 502},
    {"status": 429, "retry_after": "20"},
    {"redirect": "https://evil.example/"},
    {"reset": True},
]


@pytest.mark.parametrize("endpoint", ["discovery", "jwks"])
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_each_fault(site: Site, at_once: None, endpoint: str, fault: dict[str, Any]) -> None:
    site.iam.faults.add(Fault(endpoint=endpoint, **fault))  # type: ignore[arg-type] # both names are endpoints
    begun = time.monotonic()
    with pytest.raises(IssuerUnreachableError) as raised:
        await site.verify(seconds=0.5)
    assert time.monotonic() - begun < 1.5
    assert "It broke" not in raised.value.message
    # the issuer is back: it is used at once
    site.iam.faults.clear()
    if site.issuer.jwks._renewal.under_way:
        await site.issuer.jwks._renewal.join(Deadline.after(5.0))
    assert (await site.verify()).issuer == "iam"


async def test_down_and_back(site: Site, at_once: None) -> None:
    url, token = site.iam.url, site.token()
    known = await site.verify()
    await site.iam.stop()
    # what is known goes on being verified
    assert (await site.verify(token)).subject == known.subject
    assert not await site.issuer.is_reachable(Deadline.after(1.0))
    site.iam.keys.rotate()
    new = site.token()
    site.issuer.jwks._next_fetch = 0.0  # the window is over
    with pytest.raises(IssuerUnreachableError):
        await site.verify(new)
    await site.iam.start(port=int(url.rstrip("/").rpartition(":")[2]))
    assert (await site.verify(new)).subject == known.subject
    assert await site.issuer.is_reachable(Deadline.after(5.0))


async def test_one_at_a_time_reaches_an_iam_that_fails(site: Site) -> None:
    site.iam.faults.add(Fault(endpoint="discovery", status=503))
    token = site.token()
    for _ in range(5):
        outcomes = await asyncio.gather(*(site.verify(token) for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {IssuerUnreachableError}
    assert site.iam.counters.requests["discovery"] <= 3


@pytest.mark.parametrize(
    "signed_by, published, code",
    [
        ("unknown", None, "token_signature"),
        ("weak", "weak_key", "token_algorithm"),
        ("symmetric", "symmetric_key", "token_algorithm"),
        (None, "duplicate_kid", "token_signature"),
        (None, "many_keys", "issuer_unreachable"),
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_odd_keys(site: Site, signed_by: str | None, published: str | None, code: str) -> None:
    site.iam.faults.add(Fault(endpoint="jwks", jwks=published))  # type: ignore[arg-type] # all are of OddJwks
    claims = site.iam.keys.signer(signed_by)  # type: ignore[arg-type] # all are of OddKey
    token = claims.sign({"iss": site.iam.url, "sub": "jane", "aud": OURS, "exp": time.time() + 60})
    with pytest.raises(TtsError) as raised:
        await site.verify(token)
    assert raised.value.code == code


async def test_rotation(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_REFETCH_WINDOW", 0.0)
    old = site.token()
    await site.verify(old)
    site.iam.keys.rotate()
    await site.verify(site.token())
    await site.verify(old)
    site.iam.keys.rotate(keep_old=False)
    await site.verify(site.token())
    with pytest.raises(TokenSignatureError):
        await site.verify(old)
