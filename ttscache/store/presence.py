"""Whether a process that took a lease still lives: it holds a lock on a file of its own as long as it does.

The kernel drops the lock however the process ends, so nobody waits for the lease of one that was killed. Unlike a
process id, it also tells across the process namespaces of containers that share the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import secrets
from pathlib import Path


class Presence:
    """The presence of this process beside a store's file; ``name`` is what others know it by."""

    def __init__(self, store: Path) -> None:
        self.name = secrets.token_hex(8)
        self._store = store
        self._descriptor: int | None = None

    def announce(self) -> None:
        """Take the lock, and clear away the files of processes that are gone. Raises OSError."""
        for other in self._store.parent.glob(f"{glob.escape(self._store.name)}.holder-*"):
            self.is_alive(other.name.rpartition("-")[2])
        arriving = self._store.with_name(f"{self._store.name}.arriving-{self.name}")
        self._descriptor = os.open(arriving, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        arriving.rename(self._file(self.name))  # seen under its name only once it is locked

    def is_alive(self, name: str) -> bool:
        """Tell whether the process of this name still lives; the file of one that does not is removed."""
        if name == self.name:
            return True
        try:
            descriptor = os.open(self._file(name), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            self._file(name).unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)

    def withdraw(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._file(self.name).unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _file(self, name: str) -> Path:
        return self._store.with_name(f"{self._store.name}.holder-{name}")
