"""Waiting for a lease, and giving it back whatever happened under it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ttscache.errors import OverloadedError, StoreUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.store.base import Lease, Store

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1


@asynccontextmanager
async def leased(store: Store, name: str, *, seconds: float, deadline: Deadline) -> AsyncIterator[Lease]:
    """Hold the lease ``name`` for the body, at most ``seconds``.

    Raises :class:`OverloadedError` when another holds it until the deadline, :class:`StoreUnavailableError`.
    """
    lease = await _acquire(store, name, seconds, deadline)
    try:
        yield lease
    finally:
        try:
            await store.release(lease)
        except StoreUnavailableError:
            _log.warning("lease_not_released", extra={"lease_seconds": seconds})  # it ends by itself


async def _acquire(store: Store, name: str, seconds: float, deadline: Deadline) -> Lease:
    while True:
        lease = await store.acquire(name, seconds=seconds)
        if lease is not None:
            return lease
        pause = _POLL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        if deadline.remaining < pause:
            raise OverloadedError("another replica is at it and not done yet; try again", retry_after=2.0)
        await asyncio.sleep(pause)
