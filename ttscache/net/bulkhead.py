"""A bounded number of places for work of one kind, and a bounded queue before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ttscache.errors import OverloadedError
from ttscache.net.deadline import Deadline


class Bulkhead:
    """``places`` may work at once, ``waiting`` may wait for a place; whoever comes then is told to come again."""

    def __init__(self, places: int, waiting: int, retry_after: float = 5.0) -> None:
        self._free = asyncio.Semaphore(places)
        self._most_waiting = waiting
        self._retry_after = retry_after
        self.waiting = 0

    @asynccontextmanager
    async def place(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold a place for the body. Raises OverloadedError: too many wait already, or none was free in time."""
        if self.waiting >= self._most_waiting:
            raise OverloadedError("too many wait for the same already; try again", retry_after=self._retry_after)
        self.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining):
                await self._free.acquire()
        except TimeoutError:
            raise OverloadedError("it was not this one's turn in time; try again", retry_after=2.0) from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._free.release()
