"""What every store does: the interface that one conformance suite holds all of them to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

# As `if_version`: the record must not be there yet.
ABSENT = 0


@dataclass(frozen=True)
class Record:
    """A value with its version and its end of life in POSIX seconds.

    Versions are 1 and up, grow with each write, and never come again, also when the record was gone in between: a
    write for an old version cannot meet a record that merely looks like it.
    """

    value: bytes
    version: int
    expires_at: float


@dataclass(frozen=True)
class Lease:
    """The exclusive right to do something for a while.

    ``fence`` grows with each lease of the name, so that a write can tell under which one it was made. ``is_sole`` tells
    that the holder before is gone for certain: a store that other machines share cannot tell one that died from one
    that it cannot hear.
    """

    name: str
    fence: int
    holder: str
    is_sole: bool = True


class ConflictError(Exception):
    """The record is not at the version that the write was made for."""


class Store(Protocol):
    """Records by key. All methods raise :class:`ttscache.errors.StoreUnavailableError` when the store fails.

    A write that has returned survives a crash of the process (of the machine, where the store is on a disk).
    """

    async def get(self, key: str) -> Record | None:
        """Return the record, or None when there is none or its life is over."""

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """Write a record and return its new version.

        ``if_version``: the version that it must have now (:data:`ABSENT` for none); None writes whatever is there.
        Raises :class:`ConflictError`.
        """

    async def delete(self, key: str) -> None:
        """Remove a record if it is there."""

    def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Record]]:
        """Yield the keys that begin so, in the order of their code points, with their records.

        Only those behind ``after``, where that is given: so one goes on where one has stopped.
        Not a snapshot: what is written or deleted meanwhile may be there or not. What cannot be read (sealed with a
        key that is not ours) is passed over, and that is logged.
        """

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """Take the lease of this name for so long, or return None while another holds it.

        The time is not the wall clock's: a clock that jumps must not give a lease to two.
        """

    async def release(self, lease: Lease) -> None:
        """Give a lease back; nothing happens when it has passed to another meanwhile."""

    async def sweep(self) -> None:
        """Remove what has expired."""

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """Have ``changed`` called with the key of what other processes write or delete, as long as the store is open.

        With None when anything may have changed. It is a hint, and comes early; who must know reads again.
        """

    async def close(self) -> None:
        """Close the store."""
