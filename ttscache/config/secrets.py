"""Secrets by reference: a file that others may not read, or an environment variable."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ttscache.private import is_private

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


@dataclass(frozen=True)
class SecretReference:
    """Where a secret text is: in a file, or in an environment variable."""

    file: Path | None
    variable: str | None

    @classmethod
    def of(cls, reference: Mapping[str, str], directory: Path) -> SecretReference:
        """Read a reference as it stands in the configuration; relative paths start at ``directory``."""
        return cls(directory / reference["file"] if "file" in reference else None, reference.get("env"))

    def read(self) -> str:
        """Return the text, without the newline at a file's end. Raises :class:`SecretError`."""
        if self.file is None:
            value = os.environ.get(self.variable or "")
            if not value:
                raise SecretError(f"the environment variable {self.variable} is not set")
            return value
        try:
            text = read_secret_file(self.file).decode()
        except UnicodeDecodeError:
            raise SecretError(f"{self.file} is not text in UTF-8") from None
        if not text.strip():
            raise SecretError(f"{self.file} is empty")
        return text.rstrip("\r\n")


def _require_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a file")
    if not is_private(status):
        raise SecretError(f"{path} may be read by others or written by its group; chmod 600 {path}")
