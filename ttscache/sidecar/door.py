"""Whether the daemon is there at all: knocking costs it a connection, and everybody who waits for it does."""

from __future__ import annotations

import random
import socket
import threading
import time
from urllib.parse import urlsplit

# each agent in its own time: ten thousand may knock
_KNOCK_SECONDS = (0.5, 1.5)
_CONNECT_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Door:
    """The daemon's address; ``shut`` while nobody has answered there since it was last tried in vain.

    It is knocked at in a thread: a name server that says nothing must not keep the agent from a signal.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.shut = False
        self._was_shut = False
        self._next = 0.0
        self._knocking: threading.Thread | None = None
        self._open = False

    def tried_in_vain(self) -> None:
        """Note that the daemon could not be reached; it may have opened since."""
        self.shut, self._next = True, 0.0

    def knock(self) -> bool:
        """Tell whether it has opened; asks only when it is shut and the time has come, and does not wait.

        A door that is open at the first knock, and was not shut before, has not been what was wrong.
        """
        if self._knocking is not None and not self._knocking.is_alive():
            self._knocking = None
            self.shut = self.shut and not self._open
            opened, self._was_shut = self._was_shut and not self.shut, self.shut
            self._next = time.monotonic() + random.uniform(*_KNOCK_SECONDS)  # noqa: S311 - jitter
            return opened
        if self.shut and self._knocking is None and time.monotonic() >= self._next:
            self._knocking = threading.Thread(target=self._try, daemon=True)
            self._knocking.start()
        return False

    def left(self) -> float:
        """Return how many seconds there are before it is to be looked after again."""
        if self._knocking is not None:
            return _LOOK_SECONDS
        return max(0.0, self._next - time.monotonic()) if self.shut else float("inf")

    def _try(self) -> None:
        try:
            parts = urlsplit(self._url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
            socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
        except (OSError, ValueError):
            self._open = False
        else:
            self._open = True
