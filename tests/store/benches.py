"""The stores under test, each with a way to let time pass."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ttscache.store.base import Store
from ttscache.store.memory import MemoryStore
from ttscache.store.sealing import SealedStore, SealingKey
from ttscache.store.sqlite import SqliteStore

RING = (SealingKey("k1", b"1" * 32), SealingKey("k0", b"0" * 32))


class Times:
    """The wall clock and the clock of leases; they stand until they are moved."""

    def __init__(self) -> None:
        self.wall = 2_000_000_000.0
        self.lease = 1000.0

    def elapse(self, seconds: float) -> None:
        """What time does: both clocks go on."""
        self.wall += seconds
        self.lease += seconds


@dataclass
class Bench:
    """A store, and how to let time pass for it."""

    store: Store
    times: Times

    async def elapse(self, seconds: float) -> None:
        self.times.elapse(seconds)

    @property
    def now(self) -> float:
        return self.times.wall


def sqlite_store(path: Path, times: Times) -> SqliteStore:
    return SqliteStore(path, lambda: times.wall, lambda: times.lease)


def _memory(_: Path, times: Times) -> Store:
    return MemoryStore(lambda: times.wall, lambda: times.lease)


def _sqlite(directory: Path, times: Times) -> Store:
    return sqlite_store(directory / "state.db", times)


def _sealed(directory: Path, times: Times) -> Store:
    return SealedStore(_sqlite(directory, times), RING)


# one line more, and another store is held to the same suite
STORES: dict[str, Callable[[Path, Times], Store]] = {"memory": _memory, "sqlite": _sqlite, "sealed": _sealed}
