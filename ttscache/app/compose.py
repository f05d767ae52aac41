"""Wires the rooms together from a configuration: for the daemon, and for `exchange -c`, which needs none."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from proxy_gen.keys import KeyKind
from proxy_gen.pool import KeyPool
from ttscache.app.authorities import open_attributes, open_authority, open_local, reserved_names
from ttscache.authority.generations import Generations
from ttscache.broker.cache import CredentialCache
from ttscache.broker.credentials import CredentialBroker
from ttscache.broker.idtokens import IdTokens
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.minting import Mint
from ttscache.broker.ownership import Owners
from ttscache.broker.publishing import Publisher
from ttscache.broker.readiness import Readiness, Status
from ttscache.broker.sessions import Sessions
from ttscache.config.settings import IssuerConfiguration, ManagedProxyAuthority, Settings
from ttscache.errors import ConfigurationError, RecordUnreadableError, StoreUnavailableError
from ttscache.identity.verifier import Issuer, TokenVerifier
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.server.services import Services
from ttscache.store.base import Store
from ttscache.store.memory import MemoryStore
from ttscache.store.sealing import SealedStore
from ttscache.store.sqlite import SqliteStore
from ttscache.upstream.token_endpoint import TokenEndpoint

_log = logging.getLogger(__name__)
_CANARY_KEY = "canary"
_CANARY_SECONDS = 10 * 365 * 86400.0


def open_store(settings: Settings) -> Store:
    """Open the configured store. Raises StoreUnavailableError."""
    if settings.store.path is None:
        return MemoryStore(time.time)
    return SealedStore(SqliteStore(settings.store.path, time.time), settings.store.sealing_keys)


async def require_sealing_ring(store: Store) -> None:
    """Refuse a store that was sealed with other keys at once, not record by record. Raises ConfigurationError."""
    try:
        if await store.get(_CANARY_KEY) is None:
            await store.put(_CANARY_KEY, b"", expires_at=time.time() + _CANARY_SECONDS)
    except RecordUnreadableError as error:
        raise ConfigurationError((f"store.sealing_keys: {error.message}",)) from None
    except StoreUnavailableError as error:
        _log.warning("store_unavailable", extra={"reason": error.message})  # readiness tells it from here on


def compose(
    settings: Settings,
    public_url: str,
    store: Store,
    generations: Generations | None,
    pools: Mapping[KeyKind, KeyPool],
    previous: Services | None = None,
) -> Services:
    """Wire one configuration's services over a store that outlives them; ``generations`` are the local CA's.

    What ``previous`` services have learnt of issuers that are still the same is taken over.
    """
    fetchers: dict[Path | None, Fetcher] = {}

    def fetcher(ca_file: Path | None) -> Fetcher:
        # upstreams with the same private CAs share connections
        if ca_file not in fetchers:
            fetchers[ca_file] = Fetcher(ca_file)
        return fetchers[ca_file]

    issuers = {c.identity.name: Issuer(c.identity, fetcher(c.identity.ca_file)) for c in settings.issuers}
    for name, issuer in issuers.items():
        if previous is not None and name in previous.issuers:
            issuer.adopt(previous.issuers[name])
    verifier = TokenVerifier(issuers.values(), time.time)
    exchanging = {
        c.identity.name: _exchanging(settings, c, issuers[c.identity.name], verifier, fetcher(c.identity.ca_file))
        for c in settings.issuers
        if c.exchange is not None
    }
    authority = open_authority(settings, generations, store, fetcher)
    attributes = open_attributes(settings, generations, fetcher)
    owners = Owners(store, time.time, reserved_names(settings, generations))
    sessions = Sessions(store, exchanging, time.time, stale_for=settings.store.stale_for)
    broker = CredentialBroker(
        settings.rules,
        settings.profiles,
        frozenset(exchanging),
        sessions,
        Mint(authority.parents, attributes, owners, pools, time.time),
        CredentialCache(store, time.time),
        owners,
        IdTokens(time.time),
    )

    publisher = Publisher(authority.source, attributes.files, time.time)

    async def close() -> None:
        await broker.drain()
        await publisher.drain()
        for issuer in issuers.values():
            await issuer.jwks.close()
        for each in fetchers.values():
            await each.close()

    checks = {name: _IssuerCheck(issuer, exchanging.get(name)) for name, issuer in issuers.items()}
    return Services(
        settings=settings,
        public_url=public_url,
        issuers=issuers,
        verifier=verifier,
        broker=broker,
        publisher=publisher,
        readiness=Readiness(store, checks, authority.status, time.time),
        close=close,
    )


def _exchanging(
    settings: Settings, configuration: IssuerConfiguration, issuer: Issuer, verifier: TokenVerifier, fetcher: Fetcher
) -> ExchangingIssuer:
    name = configuration.identity.name
    if configuration.exchange is None:
        raise TypeError("an issuer with `exchange`")
    return ExchangingIssuer(
        name=name,
        policy=configuration.session,
        settings=configuration.exchange,
        endpoint=TokenEndpoint(name, configuration.exchange, fetcher, issuer.discovery.token_endpoint, time.time),
        inspect=lambda token, deadline: verifier.inspect(token, name, deadline),
        keeps_access_token=isinstance(settings.authority, ManagedProxyAuthority),
    )


class _IssuerCheck:
    """Readiness of one issuer: without it, what is known of its keys still serves."""

    def __init__(self, issuer: Issuer, exchanging: ExchangingIssuer | None) -> None:
        self._issuer = issuer
        self._exchanging = exchanging

    async def __call__(self, deadline: Deadline) -> Status:
        reachable = await self._issuer.is_reachable(deadline)
        if reachable and (self._exchanging is None or self._exchanging.endpoint.circuit.worth_trying):
            return Status.OK
        return Status.DEGRADED if self._issuer.jwks.usable else Status.DOWN


@asynccontextmanager
async def in_process(settings: Settings) -> AsyncIterator[Services]:
    """Run the services of a configuration without a server; keys are made when they are wanted."""
    generations = open_local(settings)
    store = open_store(settings)
    services = compose(settings, settings.server.public_url or "", store, generations, {})
    try:
        await require_sealing_ring(store)
        yield services
    finally:
        await services.close()
        await store.close()
