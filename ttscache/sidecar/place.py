"""Where files are put: directories that others may write to as well, and must not lead us elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ttscache.durable import Owner, prefix_of_temporary, replacing_at, temporary_prefix

_MAX_LINKS = 40  # path_resolution(7)
_MAX_BYTES = 1024 * 1024
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# of file systems and kernels without O_TMPFILE (open(2))
_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT})
# more than a proxy with attributes of several VOs has
_TRIAL_BYTES = 32 * 1024
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DIRECTORY_MODE = 0o755
_WHOLE_UID_MAP = ("0", "0", "4294967295")
_OVERFLOW_UID = 65534


class UnsafePlaceError(OSError):
    """The way to a directory goes through what somebody else may change."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


@dataclass(frozen=True)
class Held:
    """A file that is there: what is in it, and when it was written (POSIX seconds)."""

    content: bytes
    written_at: float


class Place:
    """An open directory in which files are replaced. Close it after use."""

    def __init__(
        self, directory: Path, mode: int, owner: Owner | None, *, most: int = _MAX_BYTES, make: bool = False
    ) -> None:
        """Open it; ``mode`` and ``owner`` are the files', larger ones than ``most`` bytes are not read.

        With ``make`` the directory itself is made where it is missing. Raises OSError, :class:`UnsafePlaceError`.
        """
        self._mode = mode
        self._most = most
        self._owner = owner
        self._trusted = trusted_users(owner)
        try:
            self._directory = open_directory(directory, self._trusted, make=make)
        except OSError as error:
            error.filename = str(directory)  # not the part at which it failed
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)

    def read(self, name: str) -> Held | None:
        """Return a file as we would have written it; None for anything else that may be there.

        Raises IsADirectoryError for a directory, which nothing can be put in the place of.
        """
        try:
            file = open(name, "rb", opener=self._opener)  # noqa: SIM115 - entered below
        except IsADirectoryError:
            raise
        except OSError:
            return None  # missing, a link, or our own of an earlier run that only its owner may read
        with file:
            status = os.fstat(file.fileno())
            if not self._is_ours(status):
                return None
            content = file.read(self._most + 1)
        return Held(content, status.st_mtime) if len(content) <= self._most else None

    def is_there(self, name: str) -> bool:
        """Tell whether there is a file as we would have written it, readable or not."""
        try:
            return self._is_ours(os.stat(name, dir_fd=self._directory, follow_symlinks=False))
        except OSError:
            return False

    def require_room(self) -> None:
        """Raise OSError where a file could not be written: nothing is to be issued for a full or read-only place.

        It is tried with a file that has no name, of which nothing can be left; where there are none, it is not tried.
        """
        try:
            descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self._directory)
        except OSError as error:
            if error.errno in _NO_NAMELESS_FILES:
                return
            raise
        try:
            left = _TRIAL_BYTES
            while left:
                left -= os.write(descriptor, bytes(left))
        finally:
            os.close(descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, whole and durable. Raises OSError; the old file is then untouched."""
        with _unbroken(), replacing_at(self._directory, name, mode=self._mode, owner=self._owner) as write:
            write(content)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there. Raises OSError."""
        with _unbroken(), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)
            os.fsync(self._directory)

    def sweep(self, *names: str) -> None:
        """Remove what a killed writer of these files has left."""
        begun = {temporary_prefix(name) for name in names}
        for entry in os.listdir(self._directory):  # noqa: PTH208 - of a descriptor
            if prefix_of_temporary(entry) in begun:
                with contextlib.suppress(OSError):
                    os.unlink(entry, dir_fd=self._directory)

    def _opener(self, name: str, _: int) -> int:
        return os.open(name, _READ, dir_fd=self._directory)

    def _is_ours(self, status: os.stat_result) -> bool:
        owner = os.geteuid() if self._owner is None else self._owner.uid
        plain = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == self._mode
        return plain and status.st_uid == owner


def open_directory(path: Path, trusted: frozenset[int], *, make: bool = False) -> int:
    """Open a directory, component by component, and return its descriptor.

    Everything on the way must belong to a trusted user: links that others have put there are not followed, and
    directories of theirs, which they could swap for others, are not entered. Raises OSError, UnsafePlaceError.
    """
    pending: list[str] = list(path.absolute().parts[1:])
    current = os.open("/", _LOOK)
    links = 0
    try:
        while pending:
            name = pending.pop(0)
            found = _found(current, name, make=make and not pending)
            status = os.fstat(found)
            is_link = stat.S_ISLNK(status.st_mode)
            if status.st_uid not in trusted or (is_link and status.st_uid == _OVERFLOW_UID):
                os.close(found)
                raise UnsafePlaceError(path, f"a part of the path belongs to another user (uid {status.st_uid})")
            if not is_link:
                os.close(current)
                current = found
                continue
            links += 1
            target = Path(os.readlink("", dir_fd=found))
            os.close(found)
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            current = _beginning(current, target)
            pending = [*_names(target), *pending]
        return os.open(".", _OPEN, dir_fd=current)
    finally:
        os.close(current)


def _found(directory: int, name: str, *, make: bool) -> int:
    """Look at a part of a path; ``make`` the directory if it is missing."""
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _DIRECTORY_MODE, dir_fd=directory)
    return os.open(name, _LOOK, dir_fd=directory)


def trusted_users(owner: Owner | None) -> frozenset[int]:
    """Return whose directories and links are trusted: root's, our own, and those of whom the files are for.

    In a user namespace without root, root's own show up as nobody's, and so do strangers': directories of nobody's are
    entered there, links are not followed.
    """
    users = {0, os.geteuid()} | (set() if owner is None else {owner.uid})
    with contextlib.suppress(OSError):
        if tuple(Path("/proc/self/uid_map").read_text(encoding="ascii").split()) != _WHOLE_UID_MAP:
            users.add(_OVERFLOW_UID)
    return frozenset(users)


def _beginning(current: int, target: Path) -> int:
    """Return where a link's target starts."""
    if not target.is_absolute():
        return current
    os.close(current)
    return os.open("/", _LOOK)


def _names(target: Path) -> Sequence[str]:
    return target.parts[1:] if target.is_absolute() else target.parts


@contextlib.contextmanager
def _unbroken() -> Iterator[None]:
    """Let a signal wait until the file is there, whole, and nothing is left beside it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
