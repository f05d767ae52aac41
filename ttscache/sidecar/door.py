"""Whether the daemon is there at all: knocking costs it a connection, and everybody who waits for it does."""

from __future__ import annotations

import random
import socket
import time
from urllib.parse import urlsplit

# each agent in its own time: ten thousand may knock
_KNOCK_SECONDS = (0.5, 1.5)
_CONNECT_SECONDS = 1.0
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Door:
    """The daemon's address; ``shut`` while nobody has answered there since it was last tried in vain."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.shut = False
        self._next = 0.0

    def tried_in_vain(self) -> None:
        """Note that the daemon could not be reached; where it can be connected to, something else is wrong."""
        self.shut = not self._is_open()
        self._next = time.monotonic() + random.uniform(*_KNOCK_SECONDS)  # noqa: S311 - jitter

    def knock(self) -> bool:
        """Tell whether it has opened; asks only when it is shut and the time has come."""
        if not self.shut or time.monotonic() < self._next:
            return False
        self.tried_in_vain()
        return not self.shut

    def left(self) -> float:
        """Return how many seconds there are before it is to be knocked at again."""
        return max(0.0, self._next - time.monotonic()) if self.shut else float("inf")

    def _is_open(self) -> bool:
        try:
            parts = urlsplit(self._url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
            socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
        except (OSError, ValueError):
            return False
        return True
