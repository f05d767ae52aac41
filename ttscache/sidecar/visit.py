"""One turn at the daemon, by the token as it is now."""

from __future__ import annotations

import stat
from functools import cached_property
from pathlib import Path
from typing import Any

from ttscache.client import Client, TokenSourceError, read_token_file
from ttscache.sidecar.order import Order

_READINGS = 3


class Visit:
    """Asks the daemon on behalf of an order."""

    def __init__(self, order: Order) -> None:
        self._order = order

    @cached_property
    def token(self) -> str:
        """The token. Raises TokenSourceError."""
        return steady_token(self._order.token_file)

    def whoami(self) -> dict[str, Any]:
        """Return what the daemon says of the token. Raises ClientError, TokenSourceError."""
        return self.client.whoami(self.token)

    @cached_property
    def client(self) -> Client:
        """The daemon's client. Raises ClientError for a URL or a CA file that cannot be used."""
        return Client(self._order.url, self._order.ca_file)


def steady_token(path: Path) -> str:
    """Return the token of a file that is not being written as it is read. Raises TokenSourceError."""
    for _ in range(_READINGS):
        before = _version(path)
        token = read_token_file(path)
        if before == _version(path):
            return token
    raise TokenSourceError(f"the token file {path} is being written")


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise TokenSourceError(f"the token file {path} is not a file that can be read again and again")
    return status.st_ino, status.st_size, status.st_mtime_ns
