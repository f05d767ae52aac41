"""The daemon's path in this process, for `exchange -c` and `explain -c`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ttscache import model
from ttscache.app.compose import in_process
from ttscache.broker.reception import Asker
from ttscache.client import IssuedToken, Proxy
from ttscache.config.load import load
from ttscache.model import CredentialRequest
from ttscache.net.deadline import Deadline
from ttscache.server.credentials import whoami_json
from ttscache.server.services import Services

# there is no address where there is no network
_PEER = "process"


class InProcessSource:
    """Answers as :class:`ttscache.client.Client` does, from a configuration file."""

    def __init__(self, configuration: Path) -> None:
        """Load the configuration. Raises ConfigurationError."""
        self._settings = load(configuration)

    def whoami(self, token: str) -> dict[str, Any]:
        """Return the identity and its decision. Raises TtsError."""

        async def ask() -> dict[str, Any]:
            async with in_process(self._settings) as services:
                return whoami_json(services.broker, (await self._asker(services, token)).identity)

        return asyncio.run(ask())

    def proxy(
        self,
        token: str,
        *,
        profile: str | None,
        lifetime: int | None,
        limited: bool | None,
        fqans: tuple[str, ...],
        csr: bytes | None,
    ) -> Proxy:
        """Return a proxy. Raises TtsError."""
        request = CredentialRequest(profile=profile, lifetime=lifetime, limited=limited, fqans=fqans, csr=csr)

        async def ask() -> Proxy:
            async with in_process(self._settings) as services:
                issued = await services.broker.issue(await self._asker(services, token), request, self._deadline())
                return Proxy(
                    pem=issued.pem,
                    subject=issued.subject,
                    identity=issued.identity,
                    account=issued.account,
                    issuer=issued.issuer,
                    not_before=datetime.fromtimestamp(issued.not_before, UTC),
                    not_after=datetime.fromtimestamp(issued.not_after, UTC),
                    fqans=issued.fqans,
                    serial=issued.serial,
                    profile=issued.profile,
                    shortened_by=issued.shortened_by,
                )

        return asyncio.run(ask())

    def idtoken(self, token: str, *, profile: str | None, lifetime: int | None) -> IssuedToken:
        """Return an HTCondor IDTOKEN. Raises TtsError."""
        request = CredentialRequest(profile=profile, lifetime=lifetime)

        async def ask() -> IssuedToken:
            async with in_process(self._settings) as services:
                asker = await self._asker(services, token)
                issued = await services.broker.issue_idtoken(asker, request, self._deadline())
                return _told(issued)

        return asyncio.run(ask())

    def access_token(
        self,
        token: str,
        *,
        profile: str | None,
        lifetime: int | None,
        audiences: tuple[str, ...],
        scopes: tuple[str, ...],
    ) -> IssuedToken:
        """Return an access token for a service. Raises TtsError."""
        request = CredentialRequest(profile=profile, lifetime=lifetime, audiences=audiences, scopes=scopes)

        async def ask() -> IssuedToken:
            async with in_process(self._settings) as services:
                asker = await self._asker(services, token)
                return _told(await services.access_tokens.issue(asker, request, self._deadline()))

        return asyncio.run(ask())

    async def _asker(self, services: Services, token: str) -> Asker:
        identity = await services.verifier.verify(token, self._deadline())
        return Asker(await services.workloads.acting(identity, token, self._deadline()), token, _PEER)

    def _deadline(self) -> Deadline:
        return Deadline.after(self._settings.server.deadline)


def _told(issued: model.IssuedToken) -> IssuedToken:
    return IssuedToken(issued.token, max(0, int(issued.not_after - time.time())), issued.scopes)
