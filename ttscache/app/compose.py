"""Wires the rooms together from a configuration: for the daemon, and for `exchange -c`, which needs none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from proxy_gen.keys import KeyKind
from proxy_gen.pool import KeyPool
from ttscache.app.authorities import open_attributes, open_authority, open_local, reserved_names
from ttscache.app.stores import open_store, require_usable
from ttscache.authority.generations import Generations
from ttscache.broker.access_tokens import AccessTokens
from ttscache.broker.administration import Administration
from ttscache.broker.cache import Cache
from ttscache.broker.caches import Caches
from ttscache.broker.codec import PROXY, TOKEN
from ttscache.broker.credentials import CredentialBroker
from ttscache.broker.figures import Figures
from ttscache.broker.idtokens import IdTokens
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.limits import Allowances
from ttscache.broker.members import Members
from ttscache.broker.minting import Mint
from ttscache.broker.ownership import Owners
from ttscache.broker.policy import Policy
from ttscache.broker.publishing import Publisher
from ttscache.broker.readiness import Readiness, Status
from ttscache.broker.reception import Reception
from ttscache.broker.renewals import Renewals
from ttscache.broker.revocations import Revocations
from ttscache.broker.session_records import SessionRecords
from ttscache.broker.sessions import Sessions
from ttscache.broker.standing import StandingSessions
from ttscache.broker.workloads import Workloads
from ttscache.config.settings import AccessTokenProfile, IssuerConfiguration, ManagedProxyAuthority, Settings
from ttscache.identity.verifier import Issuer, TokenVerifier, identity_of
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.server.services import Memory, Services
from ttscache.store.base import Store
from ttscache.upstream.scim import GroupDirectory
from ttscache.upstream.token_endpoint import TokenEndpoint
from ttscache.upstream.token_review import TokenReviews


class _Fetchers:
    """One fetcher for each file of private CAs: upstreams that share them share connections."""

    def __init__(self) -> None:
        self._made: dict[Path | None, Fetcher] = {}

    def __call__(self, ca_file: Path | None) -> Fetcher:
        if ca_file not in self._made:
            self._made[ca_file] = Fetcher(ca_file)
        return self._made[ca_file]

    async def close(self) -> None:
        for each in self._made.values():
            await each.close()


@dataclass(frozen=True)
class _Issuers:
    """The configured issuers: as their tokens are verified, and as sessions are held with them."""

    all: Mapping[str, Issuer]
    exchanging: Mapping[str, ExchangingIssuer]
    verifier: TokenVerifier

    def checks(self) -> dict[str, Callable[[Deadline], Awaitable[Status]]]:
        """Return the readiness of each."""
        return {name: _IssuerCheck(issuer, self.exchanging.get(name)) for name, issuer in self.all.items()}


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
    fetchers = _Fetchers()
    issuers = _issuers(settings, fetchers, previous)
    memory = _memory(settings, store, previous)
    revocations = memory.revocations
    renewals = Renewals(time.time)
    sessions = Sessions(store, issuers.exchanging, time.time, renewals, memory.records)
    configured = {each.name: each for each in settings.sessions}
    standing = StandingSessions(configured, issuers.exchanging, sessions, revocations, issuers.verifier.verify)
    authority = open_authority(settings, generations, store, revocations, fetchers)
    attributes = open_attributes(settings, generations, fetchers)
    owners = Owners(store, time.time, reserved_names(settings, generations))
    mint = Mint(authority.parents, attributes, owners, pools, time.time)
    caches = Caches(
        Cache(PROXY, store, time.time, renewals, lambda proxy: revocations.is_revoked(proxy.eec_serial)),
        Cache(TOKEN, store, time.time, renewals),
    )
    if previous is not None:
        caches.adopt(previous.caches)
        standing.adopt(previous.standing)
    policy = Policy(settings.rules, settings.profiles)
    reception = Reception(issuers.exchanging, sessions, standing, revocations, memory.allowances)
    broker = CredentialBroker(policy, reception, mint, caches.proxies, IdTokens(time.time))
    access_tokens = AccessTokens(policy, reception, caches.access_tokens, time.time)
    members = _members(settings, issuers, fetchers)
    publisher = Publisher(authority.source, attributes.files, time.time)

    async def background() -> None:
        await asyncio.gather(renewals.run(), standing.run())

    return Services(
        settings=settings,
        public_url=public_url,
        issuers=issuers.all,
        verifier=issuers.verifier,
        memory=memory,
        exchanging=issuers.exchanging,
        standing=standing,
        caches=caches,
        reception=reception,
        workloads=Workloads(settings.workloads, standing, _reviews(settings, fetchers)),
        broker=broker,
        access_tokens=access_tokens,
        members=members,
        publisher=publisher,
        readiness=Readiness(
            store, issuers.checks(), authority.status, standing.status, revocations.is_relied_on, time.time
        ),
        administration=Administration(store, sessions, standing, revocations, time.time),
        figures=Figures(sessions, renewals, issuers.exchanging, pools),
        store=store,
        background=background,
        close=lambda: _close((renewals, access_tokens, broker, publisher, members), issuers, fetchers),
    )


class _Draining(Protocol):
    async def drain(self) -> None: ...


async def _close(rooms: Iterable[_Draining | None], issuers: _Issuers, fetchers: _Fetchers) -> None:
    """Wait for what is under way, and close what is open."""
    for room in rooms:
        if room is not None:
            await room.drain()
    for issuer in issuers.all.values():
        await issuer.jwks.close()
    await fetchers.close()


def _memory(settings: Settings, store: Store, previous: Services | None) -> Memory:
    """Return what outlives a reload: the store is the same, and who has used up his allowance has done so."""
    stale_for = settings.store.stale_for
    if previous is None:
        return Memory(
            Revocations(store, time.time, stale_for=stale_for),
            SessionRecords(store, time.time, stale_for=stale_for),
            Allowances(settings.limits),
        )
    kept = previous.memory
    kept.revocations.stale_for = kept.records.stale_for = stale_for
    same = previous.settings.limits == settings.limits
    return replace(kept, allowances=kept.allowances if same else Allowances(settings.limits))


def _issuers(settings: Settings, fetchers: _Fetchers, previous: Services | None) -> _Issuers:
    issuers = {c.identity.name: Issuer(c.identity, _issuer_fetcher(c, fetchers)) for c in settings.issuers}
    for name, issuer in issuers.items():
        if previous is not None and name in previous.issuers:
            issuer.adopt(previous.issuers[name])
    verifier = TokenVerifier(issuers.values(), time.time)
    exchanging = {
        c.identity.name: _exchanging(settings, c, issuers[c.identity.name], verifier, fetchers(c.identity.ca_file))
        for c in settings.issuers
        if c.exchange is not None
    }
    for name, each in exchanging.items():
        known = None if previous is None else previous.exchanging.get(name)
        if known is not None and known.settings == each.settings:
            each.endpoint.adopt(known.endpoint)
    return _Issuers(issuers, exchanging, verifier)


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
        identify=lambda claims: identity_of("", claims, configuration.identity),
        keeps_access_token=isinstance(settings.authority, ManagedProxyAuthority),
        hands_out_tokens=any(isinstance(profile, AccessTokenProfile) for profile in settings.profiles.values()),
    )


def _issuer_fetcher(configuration: IssuerConfiguration, fetchers: _Fetchers) -> Fetcher | AuthorizedFetcher:
    """Return what fetches an issuer's keys; a cluster's shows them to who presents a token of its own."""
    fetcher, api = fetchers(configuration.identity.ca_file), configuration.api
    return fetcher if api is None else AuthorizedFetcher(fetcher, configuration.identity.url, api.token)


def _reviews(settings: Settings, fetchers: _Fetchers) -> dict[str, TokenReviews]:
    """Return what asks the clusters that are to be asked of each token."""
    reviewing = [c for c in settings.issuers if c.api is not None and c.api.review]
    return {
        c.identity.name: TokenReviews(c.identity.name, c.identity.url, fetcher, c.identity.audiences)
        for c in reviewing
        if isinstance(fetcher := _issuer_fetcher(c, fetchers), AuthorizedFetcher)
    }


def _members(settings: Settings, issuers: _Issuers, fetchers: _Fetchers) -> Members | None:
    """Return who reads the groups of the issuer that old clients' session is of."""
    if settings.legacy is None:
        return None
    (name,) = {each.issuer for each in settings.sessions if each.name == settings.legacy.session}
    configured = next(c.identity for c in settings.issuers if c.identity.name == name)
    directory = GroupDirectory(name, configured.url, fetchers(configured.ca_file))
    return Members(issuers.exchanging[name].endpoint, directory)


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
        await require_usable(store)
        yield services
    finally:
        await services.close()
        await store.close()
