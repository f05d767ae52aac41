"""How long to leave an upstream alone after it failed."""

from __future__ import annotations

import random

_FIRST = 0.25
# Short enough that an upstream which is back is in use again within seconds; one probe in that time burdens nobody.
_LONGEST = 4.0
_MOST_DOUBLINGS = 10


def backoff(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row (at least one), with jitter."""
    longest = min(_LONGEST, _FIRST * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
