"""A circuit around one upstream: when it fails, one probe at a time, with jittered backoff between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ttscache.net.backoff import backoff
from ttscache.net.deadline import Deadline

# A caller waits for the next probe if it is as near as this; otherwise it is told at once when to come again.
_WORTH_WAITING = 2.0


class CircuitOpenError(Exception):
    """The upstream failed a moment ago; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the upstream failed a moment ago")
        self.retry_after = retry_after


class UpstreamFailedError(Exception):
    """Raised inside :meth:`Circuit.call` to say that the upstream failed as such, not that it refused.

    ``retry_after`` is what it asked for, in seconds, if anything.
    """

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("the upstream failed")
        self.retry_after = retry_after


class Circuit:
    """Closed: calls pass. After a failure it is open: nothing passes until the backoff is over, then one probe."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0
        self._probe = asyncio.Lock()

    @property
    def closed(self) -> bool:
        """Whether the last call did not fail."""
        return self._failures == 0

    @property
    def worth_trying(self) -> bool:
        """Whether a call would reach the upstream now."""
        return self.closed or time.monotonic() >= self._open_until

    @asynccontextmanager
    async def call(self, deadline: Deadline) -> AsyncIterator[None]:
        """Run one call; an :class:`UpstreamFailedError` from its body opens the circuit, a normal end closes it.

        Any other exception is the upstream's proper answer. Raises :class:`CircuitOpenError` instead of calling.
        """
        if self.closed:
            async with self._watched():
                yield
            return
        async with self._next_probe(deadline), self._watched():
            yield

    @asynccontextmanager
    async def _next_probe(self, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for the backoff to be over and hold the one place of a probe; no place is needed once closed."""
        wait = self._open_until - time.monotonic()
        patience = min(deadline.remaining, _WORTH_WAITING)
        if wait > patience:
            raise CircuitOpenError(wait)
        try:
            async with asyncio.timeout(patience):
                await self._probe.acquire()
        except TimeoutError:
            raise CircuitOpenError(max(1.0, self._open_until - time.monotonic())) from None
        try:
            if not self.closed:
                await self._backed_off(deadline)
                yield
                return
        finally:
            self._probe.release()
        yield

    async def _backed_off(self, deadline: Deadline) -> None:
        wait = self._open_until - time.monotonic()
        if wait > min(deadline.remaining, _WORTH_WAITING):  # the probe before ours failed
            raise CircuitOpenError(wait)
        await asyncio.sleep(max(0.0, wait))

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        failures_before = self._failures
        try:
            yield
        except UpstreamFailedError as failure:
            # calls that were under way together count as one failure
            self._failures = max(self._failures, failures_before + 1)
            self._open_until = time.monotonic() + self._wait_after(failure)
            raise
        except asyncio.CancelledError:
            raise  # the caller went away: it says nothing of the upstream
        except Exception:
            self._failures = 0
            raise
        self._failures = 0

    def _wait_after(self, failure: UpstreamFailedError) -> float:
        # an upstream that asks for no pause, or for one in the past, gets one all the same
        return max(failure.retry_after or 0.0, backoff(self._failures))
