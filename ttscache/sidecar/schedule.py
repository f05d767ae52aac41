"""When a thing is looked at next. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ttscache.sidecar.order import Outcome, State

# half of a life, with jitter: what was issued together is not renewed together
_HALF = (0.45, 0.55)
_TRUST_SECONDS = (3000.0, 3600.0)
# never more often than this, however short a life is
_FLOOR = 1.0
_FIRST_RETRY = 1.0
_REVOKED_SECONDS = (30.0, 60.0)
_LONGEST_RETRY_AFTER = 300.0
# by the exit status of the failure: a token file is written any moment, a daemon is back any moment, a refusal stays
_LONGEST_BY_STATUS = {2: 5.0, 3: 120.0, 4: 15.0}
_LONGEST = 60.0
_MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Plan:
    """The next look: at a time of the wall clock, which may jump, or of the monotonic one, whichever comes first."""

    at: float
    at_monotonic: float

    @classmethod
    def after(cls, seconds: float, now: float, monotonic: float) -> Plan:
        """Return the plan to look in so many seconds."""
        return cls(now + seconds, monotonic + seconds)

    def is_due(self, now: float, monotonic: float) -> bool:
        """Tell whether it is time."""
        return now >= self.at or monotonic >= self.at_monotonic

    def left(self, now: float, monotonic: float) -> float:
        """Return how many seconds there are before it is time."""
        return max(0.0, min(self.at - now, self.at_monotonic - monotonic))


def pause(outcome: Outcome, failures: int, now: float) -> float:
    """Return in how many seconds to look again; ``failures`` are those in a row, this one among them."""
    if outcome.state is State.REMOVED:
        return random.uniform(*_REVOKED_SECONDS)  # noqa: S311 - jitter, as all here
    if outcome.state is State.FAILED:
        return _retry(outcome, failures, now)
    if outcome.not_after is None or outcome.written_at is None:
        return random.uniform(*_TRUST_SECONDS)  # noqa: S311
    began = min(outcome.written_at, now)  # a file's time may be of a clock that goes ahead of ours
    half = began + (outcome.not_after - began) * random.uniform(*_HALF)  # noqa: S311
    if half - now >= _FLOOR:
        return half - now
    # nothing better was to be had: half of what is left
    return max(_FLOOR, (outcome.not_after - now) * random.uniform(*_HALF))  # noqa: S311


def _retry(outcome: Outcome, failures: int, now: float) -> float:
    """Back off, but not past the end of what is there."""
    longest = _LONGEST_BY_STATUS.get(outcome.exit_status, _LONGEST)
    seconds = min(longest, _FIRST_RETRY * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)) * random.uniform(0.5, 1.0)  # noqa: S311
    if outcome.retry_after is not None:
        told = min(outcome.retry_after, _LONGEST_RETRY_AFTER)
        seconds = max(seconds, told * random.uniform(1.0, 1.2))  # noqa: S311
    if outcome.not_after is not None and outcome.not_after > now:
        seconds = min(seconds, max(_FLOOR, (outcome.not_after - now) / 2))
    return seconds
