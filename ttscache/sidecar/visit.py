"""One turn at the daemon: by the token as it is now, and what the daemon says of it asked once."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from ttscache.client import Client, ClientError, TokenSourceError, read_token_file
from ttscache.sidecar.order import Order

_READINGS = 3


class Visit:
    """Asks the daemon on behalf of an order. What fails once fails for the rest of the turn: the next is soon."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._client: Client | None = None
        self._token: str | None = None
        self._whoami: dict[str, Any] | None = None
        self._failure: ClientError | TokenSourceError | None = None

    @property
    def client(self) -> Client:
        """The client. Raises ClientError for a URL or a CA file that cannot be used."""
        if self._client is None:
            self._client = Client(self._order.url, self._order.ca_file)
        return self._client

    @property
    def token(self) -> str:
        """The token. Raises TokenSourceError."""
        if self._token is None:
            self._token = steady_token(self._order.token_file)
        return self._token

    def whoami(self) -> dict[str, Any]:
        """Return what the daemon says of the token. Raises ClientError, TokenSourceError."""
        if self._failure is not None:
            raise self._failure
        if self._whoami is None:
            try:
                self._whoami = self.client.whoami(self.token)
            except (ClientError, TokenSourceError) as error:
                self._failure = error
                raise
        return self._whoami


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
