"""Addresses to listen on: ``HOST:PORT``, ``[V6]:PORT`` or ``unix:PATH``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MAX_PORT = 65535
# sun_path of unix(7)
_MAX_UNIX_PATH = 107


class ListenError(ValueError):
    """An address that cannot be listened on; the message says why."""


@dataclass(frozen=True)
class Listen:
    """A host and port, or the path of a unix socket."""

    host: str
    port: int
    unix_path: Path | None


def parse_listen(text: str) -> Listen:
    """Parse an address. Raises :class:`ListenError`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or len(path.encode()) > _MAX_UNIX_PATH:
            raise ListenError(f"unix:PATH needs a path of at most {_MAX_UNIX_PATH} bytes")
        return Listen("", 0, Path(path))
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise ListenError("must be HOST:PORT or unix:PATH")
    return Listen(host, int(port), None)
