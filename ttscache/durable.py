"""Files that are whole or not there: written beside their place, flushed, and renamed over it.

Standard library only, for the client and the sidecar use it too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``, as :func:`replacing` does."""
    with replacing(path, mode=mode) as write:
        write(content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[Callable[[bytes], None]]:
    """Replace ``path`` by what the body writes; readers see the old file or the new one, also after a crash.

    The temporary file has a random name, is opened exclusively (a planted file or link of that name is an error, not
    followed) and has its mode before its first byte. Raises OSError; the old file is then untouched, as it is when the
    body raises, but for the flush of the directory: when only that fails, the new file is there and may not survive a
    power cut.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".{path.name[:100]}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            with _filling(descriptor, mode) as write:
                yield write
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)
    finally:
        os.close(directory)


@contextlib.contextmanager
def _filling(descriptor: int, mode: int) -> Iterator[Callable[[bytes], None]]:
    def write(content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]

    try:
        os.fchmod(descriptor, mode)  # not left to the umask
        yield write
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
