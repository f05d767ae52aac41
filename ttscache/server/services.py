"""What the handlers work with. A reload puts another set in its place; a request keeps the one it began with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from ttscache.broker.credentials import CredentialBroker
from ttscache.broker.publishing import Publisher
from ttscache.broker.readiness import Readiness
from ttscache.config.settings import Settings
from ttscache.identity.verifier import Issuer, TokenVerifier


@dataclass(frozen=True)
class Services:
    """One configuration's services. ``public_url`` has no slash at its end; ``close`` waits for what is under way."""

    settings: Settings
    public_url: str
    issuers: Mapping[str, Issuer]
    verifier: TokenVerifier
    broker: CredentialBroker
    publisher: Publisher
    readiness: Readiness
    close: Callable[[], Awaitable[None]]


@dataclass
class Current:
    """The services that new requests get, and whether the daemon is about to end."""

    services: Services
    draining: bool = False


CURRENT: web.AppKey[Current] = web.AppKey("current", Current)


def services_of(request: web.Request) -> Services:
    """Return the services for a request."""
    return request.app[CURRENT].services
