"""Files that are whole or not there: written beside their place, flushed, and renamed over it.

Standard library only, for the client and the sidecar use it too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RANDOM_BYTES = 8


@dataclass(frozen=True)
class Owner:
    """Who owns a file; giving one away needs the right to (CAP_CHOWN)."""

    uid: int
    gid: int


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``, as :func:`replacing` does."""
    with replacing(path, mode=mode) as write:
        write(content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[Callable[[bytes], None]]:
    """Replace ``path`` by what the body writes, as :func:`replacing_at` does."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with replacing_at(directory, path.name, mode=mode) as write:
            yield write
    finally:
        os.close(directory)


@contextlib.contextmanager
def replacing_at(
    directory: int, name: str, *, mode: int = 0o600, owner: Owner | None = None
) -> Iterator[Callable[[bytes], None]]:
    """Replace a file of an open directory by what the body writes; readers see the old file or the new one, whole.

    The temporary file has a random name, is opened exclusively (a planted file or link of that name is an error, not
    followed) and has its owner and mode before its first byte. Raises OSError; the old file is then untouched, as it
    is when the body raises, but for the flush of the directory: when only that fails, the new file is there and may
    not survive a power cut. Where others may write to the directory too, what is there in the end is looked at: it is
    an error (ESTALE) when they have put something else in its place.
    """
    temporary = f"{temporary_prefix(name)}{secrets.token_hex(_RANDOM_BYTES)}"
    descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        try:
            with _filling(descriptor, mode, owner) as write:
                yield write
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        _require_there(directory, name, descriptor)
    finally:
        os.close(descriptor)
    os.fsync(directory)


def temporary_prefix(name: str) -> str:
    """Return how the names of temporary files for a file begin; 16 hexadecimal digits follow."""
    return f".{os.fsdecode(os.fsencode(name)[:100])}."  # a name may have 255 bytes


def prefix_of_temporary(name: str) -> str | None:
    """Return how a temporary file's name begins, that a killed process may have left; None for any other name."""
    prefix, digits = name[: -2 * _RANDOM_BYTES], name[-2 * _RANDOM_BYTES :]
    is_one = len(digits) == 2 * _RANDOM_BYTES and set(digits) <= set("0123456789abcdef")
    return prefix if is_one and prefix.startswith(".") else None


@contextlib.contextmanager
def _filling(descriptor: int, mode: int, owner: Owner | None) -> Iterator[Callable[[bytes], None]]:
    def write(content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    if owner is not None:
        os.fchown(descriptor, owner.uid, owner.gid)
    os.fchmod(descriptor, mode)  # not left to the umask
    yield write
    os.fsync(descriptor)


def _require_there(directory: int, name: str, descriptor: int) -> None:
    ours = os.fstat(descriptor)
    there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
        raise OSError(errno.ESTALE, "somebody else has replaced the file as it was written", name)
