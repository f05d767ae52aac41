"""The embedded store: one SQLite file, in WAL mode, every commit flushed to the disk before it is told.

Several processes of one machine may share the file. Statements run in one thread of their own: sqlite3 blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from ttscache.errors import StoreUnavailableError
from ttscache.store.base import ABSENT, ConflictError, Lease, Record
from ttscache.store.presence import Presence

_Result = TypeVar("_Result")

# `sequence` is one counter for all versions and fences: they must grow and never come again, not be dense.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
  key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires_at);
CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, fence INTEGER NOT NULL, holder TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO counters VALUES ('sequence', 0);
"""
# another process of this machine may be writing; its transactions take milliseconds
_BUSY_TIMEOUT_SECONDS = 5.0
# records of a scan that are in memory at once
_PAGE = 500


class SqliteStore:
    """A :class:`ttscache.store.base.Store` in a file."""

    def __init__(
        self, path: Path, clock: Callable[[], float], lease_clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open or create the file, readable by its owner only. Raises StoreUnavailableError.

        ``lease_clock`` is the same in all processes of the machine. It begins anew when the machine does, but then
        no holder of a lease lives any more.
        """
        self._path = path
        self._clock = clock
        self._lease_clock = lease_clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._closing = False
        self._presence = Presence(path)
        try:
            self._connection = self._thread.submit(self._open).result()
        except StoreUnavailableError:
            self._thread.shutdown()
            raise

    async def get(self, key: str) -> Record | None:
        """See Store."""
        return await self._run(lambda: self._get(key))

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """See Store."""
        return await self._run(lambda: self._put(key, value, expires_at, if_version))

    async def delete(self, key: str) -> None:
        """See Store."""
        await self._run(lambda: self._write("DELETE FROM records WHERE key = ?", (key,)))

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Record]]:
        """See Store."""
        behind = after or None
        while page := await self._run(partial(self._page, prefix, behind)):
            for found in page:
                yield found
            behind = page[-1][0]

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """See Store."""
        return await self._run(lambda: self._acquire(name, seconds))

    async def release(self, lease: Lease) -> None:
        """See Store."""
        await self._run(
            lambda: self._write("DELETE FROM leases WHERE name = ? AND holder = ?", (lease.name, lease.holder))
        )

    async def sweep(self) -> None:
        """See Store."""
        await self._run(self._sweep)

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """See Store: the others of the machine are seen when what they wrote is read."""

    async def close(self) -> None:
        """See Store."""
        if not self._closing:
            self._closing = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._thread.shutdown()
            self._presence.withdraw()

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._closing:
            raise StoreUnavailableError("the store is closed")

        def translated() -> _Result:
            with self._translated():
                return work()

        # shielded: a caller that goes away must not leave a statement half awaited; its outcome is simply not told
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, translated))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            # SQLite's own words ("database or disk is full", "attempt to write a readonly database") are of use
            raise StoreUnavailableError(f"the store {self._path} cannot be used: {error}") from None

    def _open(self) -> sqlite3.Connection:
        with self._translated():
            # made by us, so that it never exists with a mode that others can read; WAL files take over its mode
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a rotated refresh token must survive a power cut
                connection.executescript(_SCHEMA)
                self._presence.announce()
            except BaseException:
                connection.close()
                raise
            return connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back on some errors, a full disk among them
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._transaction():
            self._connection.execute(statement, values)

    def _get(self, key: str) -> Record | None:
        row = self._connection.execute(
            "SELECT value, version, expires_at FROM records WHERE key = ? AND expires_at > ?", (key, self._clock())
        ).fetchone()
        return None if row is None else Record(*row)

    def _page(self, prefix: str, after: str | None) -> list[tuple[str, Record]]:
        """Return the next records, behind a key. SQLite's order of texts is that of their UTF-8: of code points."""
        rows = self._connection.execute(
            "SELECT key, value, version, expires_at FROM records"
            " WHERE key >= ? AND key IS NOT ? AND expires_at > ? ORDER BY key LIMIT ?",
            (prefix if after is None else max(prefix, after), after, self._clock(), _PAGE),
        )
        found = ((key, Record(*record)) for key, *record in rows)
        return list(takewhile(lambda each: each[0].startswith(prefix), found))

    def _put(self, key: str, value: bytes, expires_at: float, if_version: int | None) -> int:
        with self._transaction():
            row = self._connection.execute("SELECT version, expires_at FROM records WHERE key = ?", (key,)).fetchone()
            current = row[0] if row is not None and row[1] > self._clock() else ABSENT
            if if_version is not None and if_version != current:
                raise ConflictError(key)
            version = self._next()
            self._connection.execute(
                "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (key, value, version, expires_at)
            )
        return version

    def _acquire(self, name: str, seconds: float) -> Lease | None:
        now = self._lease_clock()
        with self._transaction():
            held = self._connection.execute("SELECT expires_at, holder FROM leases WHERE name = ?", (name,)).fetchone()
            if held is not None and held[0] > now and self._presence.is_alive(held[1].partition(".")[0]):
                return None
            lease = Lease(name, self._next(), f"{self._presence.name}.{secrets.token_hex(4)}")
            self._connection.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)", (name, lease.fence, lease.holder, now + seconds)
            )
        return lease

    def _next(self) -> int:
        """Return the next version or fence; only inside a transaction."""
        row = self._connection.execute(
            "UPDATE counters SET value = value + 1 WHERE name = 'sequence' RETURNING value"
        ).fetchone()
        return int(row[0])

    def _sweep(self) -> None:
        with self._transaction():
            self._connection.execute("DELETE FROM records WHERE expires_at <= ?", (self._clock(),))
            self._connection.execute("DELETE FROM leases WHERE expires_at <= ?", (self._lease_clock(),))
