"""The cache with two ages: past the soft one a credential is served and renewed behind, past the hard not served."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from ttscache.broker.codec import Cached, Form
from ttscache.broker.flights import Flights, LeaderError
from ttscache.broker.leases import leased
from ttscache.broker.renewals import Renewals
from ttscache.errors import RecordUnreadableError, UnavailableError
from ttscache.metrics import CACHE, RENEWALS
from ttscache.model import Credential, IssuedToken
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

_Issued = TypeVar("_Issued", Credential, IssuedToken)
Mint: TypeAlias = Callable[[], Awaitable[_Issued]]
# whether what was granted would be granted now, with nobody there who asks
StillGranted = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credential that may be cached: under which key, for whom (issuer, subject), and with which ``minimum``.

    That is how many seconds of life whoever fetches it can count on.
    """

    key: str
    owner: tuple[str, str]
    minimum: float


@dataclass(slots=True)
class _Kept(Generic[_Issued]):
    """An entry, when somebody last asked for it here, and before when it is not renewed (POSIX seconds)."""

    cached: Cached[_Issued]
    asked_at: float
    not_before: float = 0.0


class Cache(Generic[_Issued]):
    """Credentials of one kind, by everything that changes the answer; in memory and in the store."""

    def __init__(
        self,
        form: Form[_Issued],
        store: Store,
        clock: Callable[[], float],
        renewals: Renewals,
        is_revoked: Callable[[_Issued], bool] = lambda _: False,
    ) -> None:
        """``is_revoked`` tells of a credential that must not be served any more."""
        self._form: Form[_Issued] = form
        self._is_revoked: Callable[[_Issued], bool] = is_revoked
        self._store = store
        self._clock = clock
        self._renewals = renewals
        self._flights = Flights("credential")
        self._entries: OrderedDict[str, _Kept[_Issued]] = OrderedDict()

    async def get(
        self,
        wanted: Wanted,
        mint: Mint[_Issued],
        deadline: Deadline,
        still_granted: StillGranted = lambda: True,
    ) -> Cached[_Issued]:
        """Return a credential that is served, minting it when there is none.

        At the soft age it is renewed, if somebody has asked for it in the last lifetime and it is ``still_granted``.
        Raises what ``mint`` raises when nothing can be served.
        """
        kept = self._entries.get(wanted.key)
        if kept is not None and self._is_served(kept.cached):
            self._count(kept.cached)
            self._entries.move_to_end(wanted.key)
            kept.asked_at = self._clock()
            if self._clock() >= max(kept.cached.soft, kept.not_before):
                self._renewals.hasten(
                    ("credential", wanted.key),
                    until=kept.cached.hard,
                    work=lambda: self._renew_behind(wanted, kept.cached, mint, still_granted),
                )
            return kept.cached
        CACHE.labels("miss" if kept is None else "hard").inc()
        while True:
            fresh, is_ours = await self._flights.join(wanted.key, lambda: self._load_or_mint(wanted, mint), deadline)
            # the clock may have jumped while it was made, or while somebody else's was that was joined
            if self._is_served(fresh):
                if (held := self._entries.get(wanted.key)) is not None:
                    held.asked_at = self._clock()
                if is_ours:
                    self._plan(wanted, fresh, mint, still_granted)
                return fresh

    def adopt(self, previous: Cache[_Issued]) -> None:
        """Take over what is in memory: its keys tell whether it is still an answer."""
        self._entries = previous._entries

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._flights.drain()

    def _is_served(self, entry: Cached[_Issued]) -> bool:
        in_time = entry.issued_at - _CLOCK_TOLERANCE <= self._clock() < entry.hard
        return in_time and not self._is_revoked(entry.credential)

    def is_fresh(self, entry: Cached[_Issued]) -> bool:
        """Tell whether an entry is served without being renewed."""
        return self._is_served(entry) and self._clock() < entry.soft

    def _count(self, entry: Cached[_Issued]) -> None:
        CACHE.labels("fresh" if self._clock() < entry.soft else "soft").inc()

    def _plan(
        self,
        wanted: Wanted,
        entry: Cached[_Issued],
        mint: Mint[_Issued],
        still_granted: StillGranted,
    ) -> None:
        """Plan the renewal at the soft age, for whoever is going to ask."""

        async def work() -> None:
            kept = self._entries.get(wanted.key)
            life = entry.credential.not_after - entry.issued_at
            if kept is not None and self._clock() - kept.asked_at <= life and still_granted():
                await self._renew_behind(wanted, kept.cached, mint, still_granted)

        kept = self._entries.get(wanted.key)
        at = entry.soft if kept is None else max(entry.soft, kept.not_before)
        self._renewals.plan(("credential", wanted.key), at=at, until=entry.hard, work=work)

    async def _renew_behind(
        self,
        wanted: Wanted,
        entry: Cached[_Issued],
        mint: Mint[_Issued],
        still_granted: StillGranted,
    ) -> None:
        task, _ = self._flights.start(wanted.key, lambda: self._renew(wanted, entry, mint))
        self._plan(wanted, await task, mint, still_granted)

    async def _renew(self, wanted: Wanted, entry: Cached[_Issued], mint: Mint[_Issued]) -> Cached[_Issued]:
        """Renew behind: whatever fails, the credential there is stays, and is not tried again at once."""
        renewed = entry
        try:
            renewed = await self._load_or_mint(wanted, mint)
        finally:
            done = renewed.issued_at != entry.issued_at
            RENEWALS.labels("done" if done else "failed").inc()
            if not done and (kept := self._entries.get(wanted.key)) is not None:
                kept.not_before = self._clock() + _RENEWAL_PAUSE
        return renewed

    async def _load_or_mint(self, wanted: Wanted, mint: Mint[_Issued]) -> Cached[_Issued]:
        key = wanted.key
        stored = await self._load(key)
        if stored is not None and self.is_fresh(stored):
            return self._hold(key, stored)
        try:
            async with leased(self._store, key, seconds=_LEASE_SECONDS, deadline=Deadline.after(_LEASE_SECONDS)):
                stored = await self._load(key)
                if stored is None or not self.is_fresh(stored):
                    minted = self._aged(await mint(), wanted)
                    await self._store.put(key, self._form.encode(minted), expires_at=minted.hard)
                    stored = minted
        except (UnavailableError, LeaderError) as error:
            cause = error.error if isinstance(error, LeaderError) else error
            if not isinstance(cause, UnavailableError) or stored is None or not self._is_served(stored):
                raise
        return self._hold(key, stored)

    async def _load(self, name: str) -> Cached[_Issued] | None:
        try:
            record = await self._store.get(name)
            return None if record is None else self._form.decode(record.value)
        except RecordUnreadableError:
            _log.warning("record_unreadable", extra={"kind": "credential"})
            return None  # it can be made again

    def _aged(self, credential: _Issued, wanted: Wanted) -> Cached[_Issued]:
        now = self._clock()
        life = max(0.0, credential.not_after - now)
        return Cached(
            credential=credential,
            issued_at=now,
            soft=now + life * random.uniform(*_SOFT_SHARE),  # noqa: S311 - jitter
            hard=credential.not_after - min(wanted.minimum, life * _HARD_SHARE),
            owner=wanted.owner,
        )

    def _hold(self, key: str, entry: Cached[_Issued]) -> Cached[_Issued]:
        previous = self._entries.get(key)
        if previous is None:
            self._entries[key] = _Kept(entry, self._clock())
        else:
            previous.cached = entry
        self._entries.move_to_end(key)
        if len(self._entries) > _MAX_IN_MEMORY:
            self._entries.popitem(last=False)
        return entry
