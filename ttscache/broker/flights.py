"""Single flight: work that many ask for at once is done once, and survives each of them going away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from ttscache.errors import OverloadedError, TtsError
from ttscache.metrics import FLIGHTS_JOINED
from ttscache.net.deadline import Deadline

_Result = TypeVar("_Result")


class LeaderError(Exception):
    """What failed for who began a flight that others have joined, and is no failure of theirs."""

    def __init__(self, leader: object, error: TtsError) -> None:
        super().__init__(str(error))
        self.leader = leader
        self.error = error

    @property
    def code(self) -> str:
        """The code of what failed."""
        return self.error.code


async def on_own_account(asker: object, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    """Try again where the flight that was joined failed by another's fault. Raises what ``attempt`` raises."""
    while True:
        try:
            return await attempt()
        except LeaderError as failed:
            if failed.leader is asker:
                raise failed.error from None


class Flights:
    """Runs work by key: whoever asks while it is under way waits for the same outcome."""

    def __init__(self, kind: str) -> None:
        """``kind`` is what the metrics call the work."""
        self._joined = FLIGHTS_JOINED.labels(kind)
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}

    def start(self, key: Hashable, work: Callable[[], Awaitable[_Result]]) -> tuple[asyncio.Task[_Result], bool]:
        """Return the flight of this key, and whether it was started by this call."""
        if self.is_under_way(key):
            return self._under_way[key], False
        task = asyncio.get_running_loop().create_task(_run(work))
        self._under_way[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task, True

    def is_under_way(self, key: Hashable) -> bool:
        """Tell whether there is a flight of this key."""
        task = self._under_way.get(key)
        # one that has ended is there until the event loop's next turn: who joined it would have its failure at once
        return task is not None and not task.done()

    async def join(
        self, key: Hashable, work: Callable[[], Awaitable[_Result]], deadline: Deadline
    ) -> tuple[_Result, bool]:
        """Return the work's outcome, and whether this call started it.

        The work has a deadline of its own and goes on when its callers are gone. Raises what the work raises, and
        :class:`OverloadedError` when ``deadline`` passes first.
        """
        task, is_ours = self.start(key, work)
        if not is_ours:
            self._joined.inc()
        try:
            async with asyncio.timeout(deadline.remaining):
                return await asyncio.shield(task), is_ours
        except TimeoutError:
            if task.done() and not task.cancelled() and isinstance(task.exception(), TimeoutError):
                raise  # the work's own
            raise OverloadedError("the answer is not there in time; try again", retry_after=2.0) from None

    async def drain(self) -> None:
        """Wait for everything that is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())  # who stops waiting for them ends none

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at, for nobody may be waiting any more


async def _run(work: Callable[[], Awaitable[_Result]]) -> _Result:
    return await work()
