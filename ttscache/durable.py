"""Files that are whole or not there: written beside their place, flushed, and renamed over it.

Standard library only, for the client and the sidecar use it too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``content``; readers see the old file or the new one, also after a crash.

    The temporary file has a random name, is opened exclusively (a planted file or link of that name is an error, not
    followed) and has its mode before its first byte. Raises OSError; the old file is then untouched, but for the
    flush of the directory: when only that fails, the new file is there and may not survive a power cut.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".{path.name[:100]}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            _fill(descriptor, content, mode)
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)
    finally:
        os.close(directory)


def _fill(descriptor: int, content: bytes, mode: int) -> None:
    try:
        os.fchmod(descriptor, mode)  # not left to the umask
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
