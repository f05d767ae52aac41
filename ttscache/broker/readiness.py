"""Readiness that tells the truth: each dependency is tried, not remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from ttscache.errors import StoreUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.store.base import Store

# Probes come every few seconds from every replica's kubelet: what was found is told for so long.
_FRESH_SECONDS = 2.0
_TIMEOUT = 2.0
_PROBE_KEY = "probe"
_PROBE_SECONDS = 60.0


# without these nothing can be served; a standing session that is down is one identity's trouble
_ESSENTIAL = ("store", "signer")


class Status(Enum):
    """How a dependency is."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


class Readiness:
    """Tries the store by a write, and each issuer by its discovery document; one round at a time."""

    def __init__(
        self,
        store: Store,
        issuers: Mapping[str, Callable[[Deadline], Awaitable[Status]]],
        signer: Callable[[Deadline], Awaitable[Status]],
        standing: Callable[[], Mapping[str, Status]],
        bridged: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """``standing`` tells how each standing session was when it was last looked after.

        ``bridged`` tells whether what is in memory is served without the store.
        """
        self._bridged = bridged
        self._standing = standing
        self._store = store
        self._issuers = issuers
        self._signer = signer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: dict[str, Status] = {}
        self._found_at = float("-inf")

    async def dependencies(self) -> Mapping[str, Status]:
        """Return how each dependency is, by name."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() - self._found_at > _FRESH_SECONDS:
                self._found = await self._try_all()
                self._found_at = loop.time()
            return self._found

    async def _try_all(self) -> dict[str, Status]:
        deadline = Deadline.after(_TIMEOUT)
        store, signer, *issuers = await asyncio.gather(
            self._try_store(), self._signer(deadline), *(check(deadline) for check in self._issuers.values())
        )
        named = {f"issuer:{name}": status for name, status in zip(self._issuers, issuers, strict=True)}
        sessions = {f"session:{name}": status for name, status in self._standing().items()}
        return {"store": store, "signer": signer, **named, **sessions}

    async def _try_store(self) -> Status:
        expires_at = self._clock() + _PROBE_SECONDS
        if await _succeeds(self._store.put(_PROBE_KEY, b"", expires_at=expires_at)):
            return Status.OK
        # a full disk: nothing new can be kept, but what is there is served
        if await _succeeds(self._store.get(_PROBE_KEY)):
            return Status.DEGRADED
        return Status.DEGRADED if self._bridged() else Status.DOWN


async def _succeeds(attempt: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT):
            await attempt
    except (StoreUnavailableError, TimeoutError):
        return False
    return True


def overall(dependencies: Mapping[str, Status]) -> Status:
    """Return how the whole is: down only when nothing can be served."""
    issuers = [status for name, status in dependencies.items() if name.startswith("issuer:")]
    essential = [dependencies[name] for name in _ESSENTIAL]
    if Status.DOWN in essential or (issuers and all(status is Status.DOWN for status in issuers)):
        return Status.DOWN
    return Status.OK if all(status is Status.OK for status in dependencies.values()) else Status.DEGRADED
