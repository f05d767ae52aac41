"""An issuer's metadata: OpenID Connect Discovery 1.0, or RFC 8414 where there is no OpenID configuration."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from authlib.oauth2.rfc8414 import get_well_known_url

from ttscache.errors import IssuerUnreachableError
from ttscache.identity.settings import IssuerSettings
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.backoff import backoff
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher, FetchFailedError
from ttscache.net.renewal import Renewal
from ttscache.net.urls import unsafe_url_reason

# IAM's endpoints move with a release at most.
_FRESH_FOR = 6 * 3600.0
_TIMEOUT = 10.0
_OK = 200
_NOT_FOUND = 404


@dataclass(frozen=True)
class IssuerMetadata:
    """The endpoints of an issuer; ``token_endpoint`` is None where the document names none."""

    jwks_uri: str
    token_endpoint: str | None


class Discovery:
    """One issuer's metadata, fetched when first wanted and kept; a document that is stale beats none."""

    def __init__(self, settings: IssuerSettings, fetcher: Fetcher | AuthorizedFetcher) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self._metadata: IssuerMetadata | None = None
        self._next_fetch = 0.0
        self._failures = 0
        self._trouble = ""
        self._renewal = Renewal(self._renew, _TIMEOUT)

    def adopt(self, previous: Discovery) -> None:
        """Take over what another of the same issuer has learnt; it is renewed when it is next wanted."""
        self._metadata = previous._metadata

    async def metadata(self, deadline: Deadline) -> IssuerMetadata:
        """Return the metadata. Raises :class:`IssuerUnreachableError` when there is none to be had."""
        is_due = asyncio.get_running_loop().time() >= self._next_fetch
        known = self._metadata
        if known is not None:
            if is_due:
                self._renewal.start()
            return known
        if is_due or self._renewal.under_way:
            await self._joined(deadline)
        if self._metadata is None:
            raise IssuerUnreachableError(self._trouble)
        return self._metadata

    async def token_endpoint(self, deadline: Deadline) -> str:
        """Return the token endpoint's URL. Raises :class:`IssuerUnreachableError`."""
        endpoint = (await self.metadata(deadline)).token_endpoint
        if endpoint is None:
            raise self._unreachable("its discovery document names no token endpoint")
        return endpoint

    async def is_reachable(self, deadline: Deadline) -> bool:
        """Fetch the document now, whatever is known, and tell whether it came."""
        try:
            await self._joined(deadline)
        except IssuerUnreachableError:
            return False
        return self._failures == 0

    async def close(self) -> None:
        """End what runs behind the scenes."""
        await self._renewal.close()

    async def _joined(self, deadline: Deadline) -> None:
        try:
            await self._renewal.join(deadline)
        except TimeoutError:
            raise self._unreachable("its discovery document did not come in time") from None

    async def _renew(self, deadline: Deadline) -> None:
        now = asyncio.get_running_loop().time
        try:
            self._metadata = await self._fetch(deadline)
        except IssuerUnreachableError as error:
            self._trouble = error.message
            self._failures += 1
            self._next_fetch = now() + backoff(self._failures)
        else:
            self._failures = 0
            self._next_fetch = now() + _FRESH_FOR

    async def _fetch(self, deadline: Deadline) -> IssuerMetadata:
        answer = await self._get("openid-configuration", deadline)
        if answer.status == _NOT_FOUND:
            answer = await self._get("oauth-authorization-server", deadline)
        if answer.status != _OK:
            raise self._unreachable(f"its discovery document was answered with status {answer.status}")
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise self._unreachable("its discovery document is not JSON") from None
        return self._checked(document)

    async def _get(self, suffix: str, deadline: Deadline) -> Answer:
        # OpenID Connect appends the path to the issuer's, RFC 8414 puts it before; for most issuers it is the same
        url = (
            self._settings.url.rstrip("/") + "/.well-known/" + suffix
            if suffix == "openid-configuration"
            else get_well_known_url(self._settings.url.rstrip("/"), external=True, suffix=suffix)
        )
        try:
            return await self._fetcher.get(url, deadline)
        except FetchFailedError as error:
            raise self._unreachable(f"its discovery document cannot be fetched: {error.reason}") from None

    def _checked(self, document: Any) -> IssuerMetadata:  # noqa: ANN401 - whatever JSON came
        if not isinstance(document, dict):
            raise self._unreachable("its discovery document is not a JSON object")
        named = document.get("issuer")
        # IAM's document has a slash at the end whatever the configured URL; nothing else may differ
        if not isinstance(named, str) or named.removesuffix("/") not in {
            self._settings.url.removesuffix("/"),
            self._settings.token_issuer.removesuffix("/"),
        }:
            raise self._unreachable("its discovery document names another issuer")
        jwks_uri = self._settings.jwks_url or document.get("jwks_uri")
        token_endpoint = document.get("token_endpoint")
        if not self._is_callable(jwks_uri):
            raise self._unreachable("its discovery document has no usable jwks_uri")
        if token_endpoint is not None and not self._is_callable(token_endpoint):
            raise self._unreachable("its discovery document has no usable token_endpoint")
        return IssuerMetadata(jwks_uri=jwks_uri, token_endpoint=token_endpoint)

    def _unreachable(self, why: str) -> IssuerUnreachableError:
        return IssuerUnreachableError(f"issuer '{self._settings.name}' cannot be used now: {why}")

    def _is_callable(self, url: object) -> TypeGuard[str]:
        """Tell whether an endpoint may be used; what came over TLS must not lead out of it, not even to loopback."""
        if not isinstance(url, str) or unsafe_url_reason(url) is not None:
            return False
        return _is_https(url) or not _is_https(self._settings.url)


def _is_https(url: str) -> bool:
    return urlsplit(url).scheme == "https"
