"""The store of tests and of `exchange -c`: nothing survives the process."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable

from ttscache.store.base import ABSENT, ConflictError, Lease, Record


class MemoryStore:
    """A :class:`ttscache.store.base.Store` in this process's memory."""

    def __init__(self, clock: Callable[[], float], lease_clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lease_clock = lease_clock
        self._records: dict[str, Record] = {}
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._sequence = itertools.count(1)

    async def get(self, key: str) -> Record | None:
        """See Store."""
        record = self._records.get(key)
        return record if record is not None and record.expires_at > self._clock() else None

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """See Store."""
        current = await self.get(key)
        if if_version is not None and if_version != (ABSENT if current is None else current.version):
            raise ConflictError(key)
        version = next(self._sequence)
        self._records[key] = Record(value, version, expires_at)
        return version

    async def delete(self, key: str) -> None:
        """See Store."""
        self._records.pop(key, None)

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Record]]:
        """See Store."""
        for key in sorted(key for key in self._records if key.startswith(prefix) and key > after):
            if (record := await self.get(key)) is not None:
                yield key, record

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """See Store."""
        held = self._leases.get(name)
        now = self._lease_clock()
        if held is not None and held[1] > now:
            return None
        lease = Lease(name, next(self._sequence), secrets.token_hex(8))
        self._leases[name] = (lease, now + seconds)
        return lease

    async def release(self, lease: Lease) -> None:
        """See Store."""
        held = self._leases.get(lease.name)
        if held is not None and held[0] == lease:
            del self._leases[lease.name]

    async def sweep(self) -> None:
        """See Store."""
        now, lease_now = self._clock(), self._lease_clock()
        self._records = {key: record for key, record in self._records.items() if record.expires_at > now}
        self._leases = {name: held for name, held in self._leases.items() if held[1] > lease_now}

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """See Store: nobody else writes here."""

    async def close(self) -> None:
        """See Store."""
        self._records.clear()
        self._leases.clear()
