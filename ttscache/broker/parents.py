"""Parents that are made once for an identity's session, kept, and used for many proxies."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from proxy_gen.keys import SubjectKey
from ttscache.broker.codec import decode_parent, encode_former_parent, encode_parent
from ttscache.broker.flights import Flights
from ttscache.broker.keys import parent_key
from ttscache.broker.leases import leased
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.errors import RecordUnreadableError
from ttscache.model import Identity
from ttscache.net.deadline import Deadline
from ttscache.store.base import Store

_log = logging.getLogger(__name__)
# A parent serves several lifetimes of proxies; its key never leaves the daemon.
LONGEST_LIFETIMES = 2
_LEASE_SECONDS = 30.0
# Its beginning lies minutes back. What was signed so short a time ago is not signed anew because it is too short.
_SETTLED_SECONDS = 600.0
_MAX_IN_MEMORY = 2_000


class Signer(Protocol):
    """Who makes parents: a CA that signs end-entity certificates, or a service that hands out proxies."""

    @property
    def generation(self) -> str:
        """See Parents."""

    @property
    def issuer(self) -> str | None:
        """See Parents."""

    def limits(self) -> Mapping[str, float]:
        """See Parents."""

    def owns(self, key: SubjectKey) -> bool:
        """See Parents."""

    async def sign(self, order: MintingOrder, until: float, deadline: Deadline) -> Parent:
        """Make a parent that ends at ``until`` (POSIX seconds) or as late before as it may. Raises TtsError."""


class KeptParents:
    """The parents that one signer makes; in memory and, sealed, in the store."""

    def __init__(
        self, signer: Signer, store: Store, clock: Callable[[], float], is_revoked: Callable[[int], bool]
    ) -> None:
        """``is_revoked`` tells of the serial of an end-entity certificate."""
        self._signer = signer
        self._is_revoked = is_revoked
        self._store = store
        self._clock = clock
        self._flights = Flights("parent")
        self._known: OrderedDict[str, Parent] = OrderedDict()

    @property
    def generation(self) -> str:
        """See Parents."""
        return self._signer.generation

    @property
    def issuer(self) -> str | None:
        """See Parents."""
        return self._signer.issuer

    def limits(self) -> Mapping[str, float]:
        """See Parents."""
        return self._signer.limits()

    def owns(self, key: SubjectKey) -> bool:
        """See Parents."""
        return self._signer.owns(key)

    async def parent(self, order: MintingOrder, deadline: Deadline) -> Parent:
        """See Parents."""
        identity = order.identity
        dn = order.decision.dn or ""
        key = parent_key(identity.issuer, identity.subject, order.generation, dn, self.generation)
        known = self._known.get(key)
        if known is not None and self._long_enough(known, order):
            self._known.move_to_end(key)
            return known
        while True:
            parent, is_ours = await self._flights.join(key, lambda: self._load_or_sign(key, order), deadline)
            # a flight that was joined may have been another profile's, with a shorter need
            if is_ours or self._long_enough(parent, order):
                return parent

    async def drain(self) -> None:
        """See Parents."""
        await self._flights.drain()

    async def _load_or_sign(self, key: str, order: MintingOrder) -> Parent:
        deadline = Deadline.after(_LEASE_SECONDS)
        async with leased(self._store, key, seconds=_LEASE_SECONDS, deadline=deadline):
            parent = await self._load(key)
            if parent is None or not self._long_enough(parent, order):
                if parent is not None:
                    await self._remember(key, parent, order.identity)
                until = self._clock() + LONGEST_LIFETIMES * order.profile.max_lifetime
                parent = await self._signer.sign(order, until, deadline)
                await self._store.put(key, encode_parent(parent, order.identity), expires_at=parent.ends_at)
        self._known[key] = parent
        if len(self._known) > _MAX_IN_MEMORY:
            self._known.popitem(last=False)
        return parent

    async def _remember(self, key: str, former: Parent, identity: Identity) -> None:
        """Keep what a parent was, without its key: the proxies below it live on, and may have to be revoked."""
        name = f"{key}/{former.end_entity.serial_number:x}"
        await self._store.put(name, encode_former_parent(former, identity), expires_at=former.ends_at)

    async def _load(self, key: str) -> Parent | None:
        try:
            record = await self._store.get(key)
            return None if record is None else decode_parent(record.value)
        except RecordUnreadableError:
            _log.warning("record_unreadable", extra={"kind": "parent"})
            return None  # it can be made again

    def _long_enough(self, parent: Parent, order: MintingOrder) -> bool:
        """Whether a parent covers the proxy; one that was cut short serves for half of its life."""
        if self._is_revoked(parent.end_entity.serial_number):
            return False
        now = self._clock()
        needed = now + order.lifetime
        half_left = now < (parent.begins_at + parent.ends_at) / 2
        of_use = order.profile.min_lifetime <= parent.ends_at - now or now < parent.begins_at + _SETTLED_SECONDS
        cut_short = parent.ends_at < parent.asked_until and needed <= parent.asked_until and half_left and of_use
        return parent.begins_at <= now and (needed <= parent.ends_at or cut_short)
