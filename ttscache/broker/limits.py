"""How much one caller may cost: rates by identity, address and public key."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ttscache.config.settings import Limits, Rate
from ttscache.errors import RateLimitedError

# A caller that is forgotten had not come for longer than any other: its allowance is full again, or nearly.
_MAX_CALLERS = 10_000


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371): a burst of ``count``, and again as it comes back over the time.

    Of each caller it keeps one number: when its allowance will be full again.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = rate.seconds / rate.count
        self._burst = rate.seconds
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def charge(self, caller: Hashable) -> float | None:
        """Count one; return None, or in how many seconds the caller may come again."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + self._interval
        if full_at - now > self._burst * (1 + 1e-9):
            return full_at - now - self._burst
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > _MAX_CALLERS:
            self._full_at.popitem(last=False)
        return None


class Allowances:
    """The configured limits. All methods raise :class:`RateLimitedError`. Each replica counts for itself."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._identity = RateLimiter(limits.identity, clock)
        self._address = RateLimiter(limits.address, clock)
        self._duplicates = RateLimiter(limits.duplicates, clock)

    def verification(self, peer: str) -> None:
        """A token that is not remembered has to be verified for this address."""
        _require(self._address.charge(peer), "too many tokens to verify come from this address")

    def issue(self, issuer: str, subject: str, peer: str) -> None:
        """Something is to be made for an identity, asked for from this address."""
        _require(self._identity.charge((issuer, subject, peer)), "too much is issued to this identity at this address")

    def duplicate(self, issuer: str, subject: str, profile: str, public_key: bytes) -> None:
        """A key is to be certified once more."""
        message = "too much is issued for one and the same public key; keep what was issued until half of its life"
        _require(self._duplicates.charge((issuer, subject, profile, public_key)), message)


def _require(wait: float | None, message: str) -> None:
    if wait is not None:
        raise RateLimitedError(f"{message}; try again later", retry_after=math.ceil(wait))
