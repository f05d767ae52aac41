"""Wires the rooms together from a configuration: for the daemon, and for `exchange -c`, which needs none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from proxy_gen.keys import KeyKind
from proxy_gen.pool import KeyPool
from ttscache.app.authorities import open_attributes, open_authority, open_local, reserved_names
from ttscache.app.issuers import Fetchers, Issuers, open_issuers, open_members, open_reviews
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
from ttscache.broker.limits import Allowances
from ttscache.broker.minting import Mint
from ttscache.broker.ownership import Owners
from ttscache.broker.policy import Policy
from ttscache.broker.publishing import Publisher
from ttscache.broker.readiness import Readiness
from ttscache.broker.reception import Reception
from ttscache.broker.renewals import Renewals
from ttscache.broker.revocations import Revocations
from ttscache.broker.session_records import SessionRecords
from ttscache.broker.sessions import Sessions
from ttscache.broker.standing import StandingSessions
from ttscache.broker.workloads import Workloads
from ttscache.config.settings import Settings
from ttscache.server.services import Memory, Services
from ttscache.store.base import Store


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
    fetchers = Fetchers()
    issuers = open_issuers(settings, fetchers, previous)
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
    caches = _caches(store, renewals, revocations)
    if previous is not None:
        caches.adopt(previous.caches)
        standing.adopt(previous.standing)
    policy = Policy(settings.rules, settings.profiles)
    reception = Reception(issuers.exchanging, sessions, standing, revocations, memory.allowances)
    broker = CredentialBroker(policy, reception, mint, caches.proxies, IdTokens(time.time))
    access_tokens = AccessTokens(policy, reception, caches.access_tokens, time.time)
    members = open_members(settings, issuers, fetchers)
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
        workloads=Workloads(settings.workloads, standing, open_reviews(settings, fetchers)),
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


def _caches(store: Store, renewals: Renewals, revocations: Revocations) -> Caches:
    return Caches(
        Cache(PROXY, store, time.time, renewals, lambda proxy: revocations.is_revoked(proxy.eec_serial)),
        Cache(TOKEN, store, time.time, renewals),
    )


class _Draining(Protocol):
    async def drain(self) -> None: ...


async def _close(rooms: Iterable[_Draining | None], issuers: Issuers, fetchers: Fetchers) -> None:
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
