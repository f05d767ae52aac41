"""Deadlines: a point on the monotonic clock, so that a jump of the wall clock neither shortens nor prolongs a wait."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when an answer is wanted, on :func:`time.monotonic`."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """A deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """This deadline, or the one so many seconds from now if that is earlier."""
        return Deadline(min(self.at, time.monotonic() + seconds))
