"""The daemon's side of a token endpoint, and the embedded IAM behind it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.iam_client import TTSCACHE, config
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.config.settings import SessionPolicy
from ttscache.identity.settings import IssuerSettings, TokenProfile
from ttscache.identity.verifier import Issuer, TokenVerifier, identity_of
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.sandbox.iam import EmbeddedIam
from ttscache.upstream.settings import AuthMethod, ExchangeSettings
from ttscache.upstream.token_endpoint import TokenAnswer, TokenEndpoint

SCOPES = ("openid", "offline_access", "wlcg.groups")
EXCHANGE = ExchangeSettings(
    client_id=TTSCACHE.client_id,
    secret=TTSCACHE.secret,
    auth_method=AuthMethod.BASIC,
    scopes=SCOPES,
    audience=None,
)


@dataclass
class Desk:
    """A token endpoint as the broker has it; ``iam`` is what answers unless ``url`` is another's."""

    iam: EmbeddedIam
    fetcher: Fetcher
    issuers: list[Issuer] = field(default_factory=list)

    def endpoint(self, url: str | None = None, **changes: Any) -> TokenEndpoint:  # noqa: ANN401 - settings
        async def fixed(_: Deadline) -> str:
            return url or f"{self.iam.url}token"

        return TokenEndpoint("iam", replace(EXCHANGE, **changes), self.fetcher, fixed, time.time)

    def exchanging(self, endpoint: TokenEndpoint | None = None, **changes: Any) -> ExchangingIssuer:  # noqa: ANN401 - settings
        settings = IssuerSettings(
            name="iam",
            url=self.iam.url,
            token_issuer=self.iam.url,
            audiences=frozenset({"https://ttscache.example"}),
            algorithms=frozenset({"ES256"}),
            token_profile=TokenProfile.WLCG,
            leeway=30.0,
        )
        issuer = Issuer(settings, self.fetcher)
        self.issuers.append(issuer)
        verifier = TokenVerifier([issuer], time.time)
        exchange = replace(EXCHANGE, **changes)
        return ExchangingIssuer(
            name="iam",
            policy=SessionPolicy(3600.0, 21600.0, 604800.0, 2592000.0),
            settings=exchange,
            endpoint=endpoint
            or TokenEndpoint("iam", exchange, self.fetcher, issuer.discovery.token_endpoint, time.time),
            inspect=lambda token, deadline: verifier.inspect(token, "iam", deadline),
            identify=lambda claims: identity_of("", claims, settings),
        )

    async def exchange(self, endpoint: TokenEndpoint, token: str | None = None, seconds: float = 5.0) -> TokenAnswer:
        return await endpoint.exchange(token or self.iam.token_for("jane"), Deadline.after(seconds))


@asynccontextmanager
async def open_desk(ca_file: Path, **settings: object) -> AsyncIterator[Desk]:
    iam, fetcher = EmbeddedIam(config(**settings)), Fetcher(ca_file)
    await iam.start()
    desk = Desk(iam, fetcher)
    try:
        yield desk
    finally:
        for issuer in desk.issuers:
            await issuer.jwks.close()
        await fetcher.close()
        await iam.stop()


class Witness:
    """Sees all that is logged at the lowest level, and all that an error says of itself and of what caused it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG)
        for name in ("aiohttp", "asyncio", "ttscache"):
            caplog.set_level(logging.DEBUG, logger=name)

    def texts(self, *errors: BaseException) -> str:
        told = [text for error in errors for text in _told(error)]
        logged = [self._caplog.text, *(f"{record.__dict__}" for record in self._caplog.records)]
        return "\n".join((*told, *logged))

    def saw_none_of(self, secrets: tuple[str, ...], *errors: BaseException) -> None:
        texts = self.texts(*errors)
        for secret in secrets:
            assert secret not in texts


def _told(error: BaseException) -> list[str]:
    chain: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and one not in chain:
            chain.append(one)
            pending += [one.__cause__, one.__context__]
    formatted = ["".join(traceback.format_exception(error))]
    return formatted + [text for one in chain for text in (str(one), repr(one), f"{one.args}", f"{one.__dict__}")]
