"""The store of tests and of `exchange -c`: nothing survives the process."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ttscache.store.base import ABSENT, ConflictError, Lease, Record


class MemoryStore:
    """A :class:`ttscache.store.base.Store` in this process's memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._leases: dict[str, tuple[Lease, float]] = {}
        self._fence = 0

    async def get(self, key: str) -> Record | None:
        """See Store."""
        record = self._records.get(key)
        return record if record is not None and record.expires_at > self._clock() else None

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """See Store."""
        current = await self.get(key)
        version = ABSENT if current is None else current.version
        if if_version is not None and if_version != version:
            raise ConflictError(key)
        self._records[key] = Record(value, version + 1, expires_at)
        return version + 1

    async def delete(self, key: str) -> None:
        """See Store."""
        self._records.pop(key, None)

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """See Store."""
        held = self._leases.get(name)
        if held is not None and held[1] > self._clock():
            return None
        self._fence += 1
        lease = Lease(name, self._fence, secrets.token_hex(8))
        self._leases[name] = (lease, self._clock() + seconds)
        return lease

    async def release(self, lease: Lease) -> None:
        """See Store."""
        held = self._leases.get(lease.name)
        if held is not None and held[0] == lease:
            del self._leases[lease.name]

    async def sweep(self) -> None:
        """See Store."""
        now = self._clock()
        self._records = {key: record for key, record in self._records.items() if record.expires_at > now}
        self._leases = {name: held for name, held in self._leases.items() if held[1] > now}

    async def close(self) -> None:
        """See Store."""
        self._records.clear()
        self._leases.clear()
