"""The caches, of each kind of credential one."""

from __future__ import annotations

from dataclasses import dataclass

from ttscache.broker.cache import Cache
from ttscache.model import Credential, IssuedToken


@dataclass(frozen=True)
class Caches:
    """Proxies whose key the daemon made, and access tokens."""

    proxies: Cache[Credential]
    access_tokens: Cache[IssuedToken]

    def adopt(self, previous: Caches) -> None:
        """Take over what is in memory."""
        self.proxies.adopt(previous.proxies)
        self.access_tokens.adopt(previous.access_tokens)
