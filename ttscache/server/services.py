"""What the handlers work with. A reload puts another set in its place; a request keeps the one it began with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass

from aiohttp import web

from ttscache.broker.access_tokens import AccessTokens
from ttscache.broker.administration import Administration
from ttscache.broker.caches import Caches
from ttscache.broker.credentials import CredentialBroker
from ttscache.broker.figures import Figures
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.limits import Allowances
from ttscache.broker.members import Members
from ttscache.broker.publishing import Publisher
from ttscache.broker.readiness import Readiness
from ttscache.broker.reception import Reception
from ttscache.broker.revocations import Revocations
from ttscache.broker.session_records import SessionRecords
from ttscache.broker.standing import StandingSessions
from ttscache.broker.workloads import Workloads
from ttscache.config.settings import Settings
from ttscache.identity.verifier import Issuer, TokenVerifier
from ttscache.store.base import Store


@dataclass(frozen=True)
class Memory:
    """What a reload leaves as it is."""

    revocations: Revocations
    records: SessionRecords
    allowances: Allowances


@dataclass(frozen=True)
class Services:
    """One configuration's services. ``public_url`` has no slash at its end; ``members`` are for old clients only.

    ``background`` is what goes on beside the requests, until it is cancelled; ``close`` waits for what is under way.
    """

    settings: Settings
    public_url: str
    issuers: Mapping[str, Issuer]
    verifier: TokenVerifier
    memory: Memory
    exchanging: Mapping[str, ExchangingIssuer]
    standing: StandingSessions
    caches: Caches
    reception: Reception
    workloads: Workloads
    broker: CredentialBroker
    access_tokens: AccessTokens
    members: Members | None
    publisher: Publisher
    readiness: Readiness
    administration: Administration
    figures: Figures
    store: Store
    background: Callable[[], Coroutine[None, None, None]]
    close: Callable[[], Coroutine[None, None, None]]


@dataclass
class Current:
    """The services that new requests get, and whether the daemon is about to end.

    ``reload`` puts the configuration as it is now in their place, or returns its mistakes.
    """

    services: Services
    reload: Callable[[], Awaitable[tuple[str, ...]]]
    draining: bool = False
    in_flight: int = 0


CURRENT: web.AppKey[Current] = web.AppKey("current", Current)


def services_of(request: web.Request) -> Services:
    """Return the services for a request."""
    return request.app[CURRENT].services
