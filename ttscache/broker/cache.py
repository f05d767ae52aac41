"""The cache with two ages: past the soft one a credential is served and renewed behind, past the hard not served."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ttscache.broker.codec import CachedCredential, decode_cached, encode_cached
from ttscache.broker.flights import Flights
from ttscache.broker.leases import leased
from ttscache.errors import RecordUnreadableError, UnavailableError
from ttscache.model import Credential
from ttscache.net.deadline import Deadline
from ttscache.store.base import Store

_log = logging.getLogger(__name__)
_MAX_IN_MEMORY = 10_000
# Half-life, with jitter so that what was issued together is not renewed together.
_SOFT_SHARE = (0.45, 0.55)
# At the hard age this much of the granted life is left at most, whatever the profile's minimum.
_HARD_SHARE = 0.25
_LEASE_SECONDS = 60.0
# After a renewal behind has failed, none is begun for so long.
_RENEWAL_PAUSE = 5.0
# A clock that is this much behind a credential's issue has jumped back: what is cached may not be valid yet.
_CLOCK_TOLERANCE = 240.0

Mint = Callable[[], Awaitable[Credential]]


class CredentialCache:
    """Credentials whose key the daemon made, by everything that changes the answer; in memory and in the store."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._flights = Flights()
        self._entries: OrderedDict[str, CachedCredential] = OrderedDict()

    async def get(self, key: str, minimum: float, mint: Mint, deadline: Deadline) -> CachedCredential:
        """Return a credential that is served, minting it when there is none.

        ``minimum`` is how many seconds of life whoever fetches it can count on. Raises what ``mint`` raises when
        nothing can be served.
        """
        entry = self._entries.get(key)
        if entry is not None and self._is_served(entry):
            if self._clock() >= entry.soft:
                self._flights.start(key, lambda: self._renew(key, entry, minimum, mint))
            return entry
        while True:
            fresh, _ = await self._flights.join(key, lambda: self._load_or_mint(key, minimum, mint), deadline)
            # the clock may have jumped while it was made, or while somebody else's was that was joined
            if self._is_served(fresh):
                return fresh

    async def drain(self) -> None:
        """Wait for renewals under way."""
        await self._flights.drain()

    def _is_served(self, entry: CachedCredential) -> bool:
        return entry.issued_at - _CLOCK_TOLERANCE <= self._clock() < entry.hard

    def is_fresh(self, entry: CachedCredential) -> bool:
        """Tell whether an entry is served without being renewed."""
        return self._is_served(entry) and self._clock() < entry.soft

    async def _renew(self, key: str, entry: CachedCredential, minimum: float, mint: Mint) -> CachedCredential:
        """Renew behind: whatever fails, the credential there is stays, and is not tried again at once."""
        renewed = entry
        try:
            renewed = await self._load_or_mint(key, minimum, mint)
        finally:
            if not self.is_fresh(renewed):
                self._hold(key, replace(renewed, soft=self._clock() + _RENEWAL_PAUSE))
        return renewed

    async def _load_or_mint(self, key: str, minimum: float, mint: Mint) -> CachedCredential:
        name = f"credential/{key}"
        stored = await self._load(name)
        if stored is not None and self.is_fresh(stored):
            return self._hold(key, stored)
        try:
            async with leased(self._store, name, seconds=_LEASE_SECONDS, deadline=Deadline.after(_LEASE_SECONDS)):
                stored = await self._load(name)
                if stored is None or not self.is_fresh(stored):
                    minted = self._aged(await mint(), minimum)
                    await self._store.put(name, encode_cached(minted), expires_at=minted.hard)
                    stored = minted
        except UnavailableError:
            if stored is None or not self._is_served(stored):
                raise
        return self._hold(key, stored)

    async def _load(self, name: str) -> CachedCredential | None:
        try:
            record = await self._store.get(name)
            return None if record is None else decode_cached(record.value)
        except RecordUnreadableError:
            _log.warning("record_unreadable", extra={"kind": "credential"})
            return None  # it can be made again

    def _aged(self, credential: Credential, minimum: float) -> CachedCredential:
        now = self._clock()
        life = max(0.0, credential.not_after - now)
        return CachedCredential(
            credential=credential,
            issued_at=now,
            soft=now + life * random.uniform(*_SOFT_SHARE),  # noqa: S311 - jitter
            hard=credential.not_after - min(minimum, life * _HARD_SHARE),
        )

    def _hold(self, key: str, entry: CachedCredential) -> CachedCredential:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > _MAX_IN_MEMORY:
            self._entries.popitem(last=False)
        return entry
