"""Secrets by reference: a file that others may not read, or an environment variable."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

_MAX_SECRET_BYTES = 64 * 1024


class SecretError(Exception):
    """A secret that cannot be had; the message says why, never what it is."""


def read_secret_file(path: Path) -> bytes:
    """Return a secret file's content. Raises :class:`SecretError`, also when others may read it."""
    try:
        with path.open("rb") as file:
            _require_private(os.fstat(file.fileno()), path)
            content = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SECRET_BYTES:
        raise SecretError(f"{path} has more than {_MAX_SECRET_BYTES} bytes")
    if not content:
        raise SecretError(f"{path} is empty")
    return content


def read_secret(reference: Mapping[str, str], directory: Path) -> str:
    """Return the text that a reference means, without the newline at a file's end. Raises :class:`SecretError`."""
    if "env" in reference:
        value = os.environ.get(reference["env"])
        if not value:
            raise SecretError(f"the environment variable {reference['env']} is not set")
        return value
    path = directory / reference["file"]
    try:
        text = read_secret_file(path).decode()
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not text in UTF-8") from None
    if not text.strip():
        raise SecretError(f"{path} is empty")
    return text.rstrip("\r\n")


def _require_private(status: os.stat_result, path: Path) -> None:
    """Group-read passes where root owns the file and the group is ours: so Kubernetes mounts Secrets (fsGroup)."""
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a file")
    mode = stat.S_IMODE(status.st_mode)
    ours = status.st_gid in {os.getegid(), *os.getgroups()}
    mounted = status.st_uid == 0 and ours
    if mode & 0o027 or (mode & 0o040 and not mounted):
        raise SecretError(f"{path} may be read by others or written by its group; chmod 600 {path}")
