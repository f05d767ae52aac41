"""What is to be renewed before anybody misses it: when it is due, the most urgent first, a few at a time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import dataclass

_log = logging.getLogger(__name__)
# Renewing takes the CA's and IAM's time from those who wait for an answer.
_PLACES = 4
# Looked at so often: by the wall clock something may be due at once when that has jumped.
_TICK_SECONDS = 1.0
# What is beyond this is renewed when it is next asked for.
_MAX_PLANS = 10_000
_SLACK = 1_000

Work = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class _Plan:
    number: int
    at: float
    until: float
    work: Work


class Renewals:
    """Plans by key: what becomes due together is begun in the order in which it ends, ``places`` at once."""

    def __init__(self, clock: Callable[[], float], places: int = _PLACES) -> None:
        self._clock = clock
        self._places = places
        self._plans: dict[Hashable, _Plan] = {}
        # keys with the numbers of their plans: by when they are due, and of those that are by when they end
        self._coming: list[tuple[float, int, Hashable]] = []
        self._due: list[tuple[float, int, Hashable]] = []
        self._numbers = itertools.count()
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def planned(self) -> int:
        """How many plans there are."""
        return len(self._plans)

    def plan(self, key: Hashable, *, at: float, until: float, work: Work) -> None:
        """Have ``work`` done from ``at`` on, for what ends at ``until`` (POSIX seconds); replaces the key's plan."""
        if key not in self._plans and len(self._plans) >= _MAX_PLANS:
            return
        plan = self._plans[key] = _Plan(next(self._numbers), at, until, work)
        heapq.heappush(self._coming, (at, plan.number, key))
        if len(self._coming) > 2 * len(self._plans) + _SLACK:  # plans that were replaced long before they are due
            self._coming = [entry for entry in self._coming if self._plan_of(entry[2], entry[1]) is not None]
            heapq.heapify(self._coming)

    def hasten(self, key: Hashable, *, until: float, work: Work) -> None:
        """Have it done as soon as there is a place, unless that is so already."""
        now, planned = self._clock(), self._plans.get(key)
        if key not in self._under_way and (planned is None or planned.at > now):
            self.plan(key, at=now, until=until, work=work)
        self.tick()

    def tick(self) -> None:
        """Begin what is due, as far as there are places."""
        now = self._clock()
        while self._coming and self._coming[0][0] <= now:
            _, number, key = heapq.heappop(self._coming)
            if (plan := self._plan_of(key, number)) is not None:
                heapq.heappush(self._due, (plan.until, number, key))
        while self._due and len(self._under_way) < self._places and not self._closed:
            _, number, key = heapq.heappop(self._due)
            if self._plan_of(key, number) is None:
                continue
            plan = self._plans.pop(key)
            if key not in self._under_way:  # else it was planned anew while it is being done, and is due already
                self._begin(key, plan.work)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(_TICK_SECONDS)

    async def drain(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._closed = True
        await self.settle()

    async def settle(self) -> None:
        """Wait for what is under way, and for what it lets begin."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())

    def _plan_of(self, key: Hashable, number: int) -> _Plan | None:
        """Return the plan of a key if it is still the one of this number."""
        plan = self._plans.get(key)
        return plan if plan is not None and plan.number == number else None

    def _begin(self, key: Hashable, work: Work) -> None:
        task = self._under_way[key] = asyncio.get_running_loop().create_task(
            _told(work),
            context=Context(),  # not that of the request which happened to tick
        )
        task.add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: Hashable) -> None:
        del self._under_way[key]
        self.tick()


async def _told(work: Work) -> None:
    """Do it. Nobody waits for the outcome, and what failed is asked for again by whoever needs it."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - one failure must not end the others'
        _log.info("renewal_failed", extra={"reason": getattr(error, "code", type(error).__name__)})
