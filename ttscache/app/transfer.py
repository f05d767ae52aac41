"""Moves the records of a store to another, and seals them anew: what `ttscache store` does."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

from ttscache.app.export_file import (
    ExportedRecord,
    ExportUnusableError,
    first_line,
    last_line,
    read_export,
    record_line,
)
from ttscache.app.stores import open_bare_store
from ttscache.broker.leases import leased
from ttscache.config.settings import Settings
from ttscache.errors import ConfigurationError, RecordUnreadableError, StoreMisconfiguredError
from ttscache.net.deadline import Deadline
from ttscache.store.base import ABSENT, ConflictError, Store
from ttscache.store.sealing import SealedStore, Sealer, SealingKey

# What readiness tries a store with: each daemon writes its own.
_UNMOVED = "probe"
# What every daemon must be able to open.
_CANARY = "canary"
_LEASE_SECONDS = 30.0
# Longer than a daemon holds a session's lease for a refresh.
_PATIENCE = 120.0

# called for each record
Step = Callable[[], object]


@dataclass(frozen=True)
class Imported:
    """How many records were written, were there already, and had expired."""

    imported: int
    kept: int
    expired: int


@dataclass(frozen=True)
class Resealed:
    """How many records were sealed anew, were sealed with the first key already, and open with none."""

    resealed: int
    current: int
    unreadable: int


class _Fate(Enum):
    IMPORTED = auto()
    KEPT = auto()
    EXPIRED = auto()


class _Seal(Enum):
    RENEWED = auto()
    CURRENT = auto()
    OLD = auto()
    UNREADABLE = auto()
    GONE = auto()


async def export_records(settings: Settings, write: Callable[[bytes], object], step: Step) -> int:
    """Write all records of the configured store, and return how many there are. No value is opened.

    Raises ConfigurationError, StoreUnavailableError, and what ``write`` raises.
    """
    count = 0
    async with _opened(settings) as store:
        write(first_line())
        async for key, record in store.scan(""):
            if key != _UNMOVED:
                write(record_line(ExportedRecord(key, record.value, record.expires_at)))
                count += 1
            step()
    write(last_line(count))
    return count


def check_export(file: BinaryIO, ring: Sequence[SealingKey], step: Step) -> int:
    """Read an export to its end, opening every value; return how many there are. Raises ExportUnusableError."""
    count = 0
    for _ in _values(file, Sealer(ring)):
        count += 1
        step()
    return count


async def import_records(settings: Settings, file: BinaryIO, step: Step) -> Imported:
    """Write an export that was checked into the configured store, over nothing that is there.

    Raises ConfigurationError, StoreUnavailableError; what was written until then stays, and is kept the next time.
    """
    ring = settings.store.sealing_keys
    fates: Counter[_Fate] = Counter()
    async with _opened(settings) as bare:
        store = SealedStore(bare, ring)
        await _require_same_ring(store)
        for record, value in _values(file, Sealer(ring)):
            fates[await _bring(store, record, value)] += 1
            step()
    return Imported(fates[_Fate.IMPORTED], fates[_Fate.KEPT], fates[_Fate.EXPIRED])


async def reseal(settings: Settings, step: Step) -> Resealed:
    """Seal with the first key of the ring whatever is sealed with another, while daemons use the store.

    Raises ConfigurationError, StoreUnavailableError, and OverloadedError when a daemon holds a record for minutes;
    what was sealed anew until then stays so.
    """
    sealer = Sealer(settings.store.sealing_keys)
    seals: Counter[_Seal] = Counter()
    async with _opened(settings) as store:
        async for key, record in store.scan(""):
            seal = _seal_of(sealer, key, record.value)
            seals[await _renewed(store, sealer, key) if seal is _Seal.OLD else seal] += 1
            step()
    return Resealed(seals[_Seal.RENEWED], seals[_Seal.CURRENT], seals[_Seal.UNREADABLE])


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    store = open_bare_store(settings)
    try:
        yield store
    except StoreMisconfiguredError as error:
        raise ConfigurationError((f"store.url: {error.message}",)) from None
    finally:
        await store.close()


async def _require_same_ring(store: Store) -> None:
    """Refuse a store that no daemon of this configuration would start with."""
    try:
        await store.get(_CANARY)
    except RecordUnreadableError as error:
        raise ConfigurationError((f"store.sealing_keys: {error.message}",)) from None


def _values(file: BinaryIO, sealer: Sealer) -> Iterator[tuple[ExportedRecord, bytes]]:
    """Yield the records of an export with what was sealed. Raises ExportUnusableError."""
    for number, record in read_export(file):
        try:
            value = sealer.open(record.key, record.value)
        except RecordUnreadableError as error:
            raise ExportUnusableError(file, f"line {number}: {error.message}") from None
        yield record, value


async def _bring(store: Store, record: ExportedRecord, value: bytes) -> _Fate:
    if record.expires_at <= time.time():
        return _Fate.EXPIRED
    try:
        await store.put(record.key, value, expires_at=record.expires_at, if_version=ABSENT)
    except ConflictError:
        return _Fate.KEPT
    return _Fate.IMPORTED


def _seal_of(sealer: Sealer, key: str, sealed: bytes) -> _Seal:
    try:
        sealer.open(key, sealed)
    except RecordUnreadableError:
        return _Seal.UNREADABLE
    return _Seal.CURRENT if sealer.is_current(sealed) else _Seal.OLD


async def _renewed(store: Store, sealer: Sealer, key: str) -> _Seal:
    """Seal a record anew under its own lease.

    A daemon that refreshes a session holds that lease: if the version changed under it, the write of the new refresh
    token would meet a conflict, and the token would be lost.
    """
    while True:
        async with leased(store, key, seconds=_LEASE_SECONDS, deadline=Deadline.after(_PATIENCE)):
            record = await store.get(key)
            if record is None:
                return _Seal.GONE
            if (seal := _seal_of(sealer, key, record.value)) is not _Seal.OLD:
                return seal
            anew = sealer.seal(key, sealer.open(key, record.value))
            with contextlib.suppress(ConflictError):  # not every writer takes the lease: look again
                await store.put(key, anew, expires_at=record.expires_at, if_version=record.version)
                return _Seal.RENEWED
