"""Work that renews something for many: one at a time, and apart from those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ttscache.net.deadline import Deadline


class Renewal:
    """Runs ``work``, which must not raise, with a deadline of its own.

    Who waits for it only waits: a caller that goes away or has little time left neither cuts it short nor makes it
    start again.
    """

    def __init__(self, work: Callable[[Deadline], Awaitable[None]], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether it runs now."""
        return self._task is not None and not self._task.done()

    def start(self) -> asyncio.Task[None]:
        """Start the work, or return that which is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return self._task

    async def join(self, deadline: Deadline) -> None:
        """Wait for the work, which is started when it does not run. Raises TimeoutError at the deadline."""
        async with asyncio.timeout(deadline.remaining):
            await asyncio.shield(self.start())

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await self._work(Deadline.after(self._seconds))
