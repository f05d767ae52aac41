"""Sealing at rest: AES-256-GCM with a ring of keys; a stolen file or dump holds no key and no token."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ttscache.errors import RecordUnreadableError
from ttscache.store.base import Lease, Record, Store

_log = logging.getLogger(__name__)
SEALING_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D section 8.2: 96 bits, random; a key is to be changed before 2**32 sealings
_FORMAT = b"\x01"


@dataclass(frozen=True, repr=False)
class SealingKey:
    """A key of the ring: ``key_id`` is at most 255 bytes of ASCII, ``material`` exactly 32 bytes."""

    key_id: str
    material: bytes


class Sealer:
    """Seals and opens values with a ring of keys. The first seals; all open.

    The record's key is associated data: a sealed value that is moved to another record does not open.
    """

    def __init__(self, ring: Sequence[SealingKey]) -> None:
        self._sealing_id = ring[0].key_id.encode()
        self._header = _FORMAT + bytes([len(self._sealing_id)]) + self._sealing_id
        self._ciphers = {key.key_id.encode(): AESGCM(key.material) for key in ring}

    def seal(self, key: str, value: bytes) -> bytes:
        """Return a record's value sealed with the first key."""
        nonce = os.urandom(_NONCE_BYTES)
        return self._header + nonce + self._ciphers[self._sealing_id].encrypt(nonce, value, self._header + key.encode())

    def open(self, key: str, sealed: bytes) -> bytes:
        """Return what was sealed for this record. Raises RecordUnreadableError for what no key of the ring opens."""
        id_end = 2 + sealed[1] if sealed[:1] == _FORMAT and len(sealed) > 1 else 0
        header, nonce = sealed[:id_end], sealed[id_end : id_end + _NONCE_BYTES]
        cipher = self._ciphers.get(header[2:])
        if cipher is None or len(nonce) != _NONCE_BYTES:
            raise RecordUnreadableError("a record of the store is sealed with a key that is not in `sealing_keys`")
        try:
            return cipher.decrypt(nonce, sealed[id_end + _NONCE_BYTES :], header + key.encode())
        except InvalidTag:
            raise RecordUnreadableError("a record of the store does not open: it was changed or moved") from None

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether a value names the first key as the one that sealed it; whether it opens is not looked at."""
        return sealed.startswith(self._header)


class SealedStore:
    """A store that seals every value on its way into another, as :class:`Sealer` does."""

    def __init__(self, inner: Store, ring: Sequence[SealingKey]) -> None:
        self._inner = inner
        self._sealer = Sealer(ring)

    async def get(self, key: str) -> Record | None:
        """See Store. Raises RecordUnreadableError for a value that no key of the ring opens."""
        record = await self._inner.get(key)
        if record is None:
            return None
        return Record(self._sealer.open(key, record.value), record.version, record.expires_at)

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """See Store."""
        return await self._inner.put(key, self._sealer.seal(key, value), expires_at=expires_at, if_version=if_version)

    async def delete(self, key: str) -> None:
        """See Store."""
        await self._inner.delete(key)

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Record]]:
        """See Store."""
        unread = 0
        async for key, record in self._inner.scan(prefix, after):
            try:
                value = self._sealer.open(key, record.value)
            except RecordUnreadableError:
                unread += 1
                continue
            yield key, Record(value, record.version, record.expires_at)
        if unread:
            _log.warning("records_unreadable", extra={"count": unread, "prefix": prefix})

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """See Store."""
        return await self._inner.acquire(name, seconds=seconds)

    async def release(self, lease: Lease) -> None:
        """See Store."""
        await self._inner.release(lease)

    async def sweep(self) -> None:
        """See Store."""
        await self._inner.sweep()

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """See Store."""
        self._inner.watch(changed)

    async def close(self) -> None:
        """See Store."""
        await self._inner.close()
