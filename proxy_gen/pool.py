"""A pool of fresh private keys, filled by a thread, so that nobody waits for RSA key generation."""

from __future__ import annotations

import threading
from collections import deque

from proxy_gen.keys import KeyKind, PrivateKey, generate_key


class KeyPool:
    """Keeps up to ``depth`` unused keys of one kind ready. Each key is handed out once.

    RSA key generation releases the GIL, so one thread keeps a core busy without slowing the event loop.
    """

    def __init__(self, kind: KeyKind, depth: int) -> None:
        self.kind = kind
        self._depth = depth
        self._keys: deque[PrivateKey] = deque()
        self._wanted = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._fill, name=f"keys-{kind.value}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many keys are ready now."""
        return len(self._keys)

    def take_ready(self) -> PrivateKey | None:
        """Return a key that is ready, or None. Never blocks."""
        try:
            key = self._keys.popleft()
        except IndexError:
            return None
        with self._wanted:
            self._wanted.notify()
        return key

    def take(self) -> PrivateKey:
        """Return a key, making it in the calling thread when none is ready: a herd then uses every core."""
        return self.take_ready() or generate_key(self.kind)

    def stop(self) -> None:
        """End the thread (after the key that it is at) and forget the keys."""
        with self._wanted:
            self._stopped = True
            self._wanted.notify()
        self._thread.join()
        self._keys.clear()

    def _fill(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._stopped or len(self._keys) < self._depth)
                if self._stopped:
                    return
            self._keys.append(generate_key(self.kind))
