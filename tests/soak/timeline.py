"""What went wrong when, and what was found against the promises meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# what has gone wrong before an answer, or since, is told with a finding
_BEFORE, _SINCE = 20.0, 5.0
_MOST_FINDINGS = 100


@dataclass(eq=False, slots=True)
class Disturbance:
    """What was done to the world, such as `replica.kill`; times are POSIX seconds, ``ended`` None while it lasts."""

    kind: str
    target: str
    began: float
    ended: float | None = None

    @property
    def family(self) -> str:
        return self.kind.partition(".")[0]

    def touches(self, since: float, until: float) -> bool:
        return self.began <= until and (self.ended is None or self.ended >= since)

    def seconds(self) -> float:
        return (time.time() if self.ended is None else self.ended) - self.began

    def told(self, at: float) -> str:
        end = "goes on" if self.ended is None else f"to {self.ended - at:+.2f}"
        return f"{self.kind} {self.target} from {self.began - at:+.2f} {end}"


class Timeline:
    """The disturbances in their order."""

    def __init__(self) -> None:
        self.started = time.time()
        self.disturbances: list[Disturbance] = []

    @contextmanager
    def during(self, kind: str, target: str = "") -> Iterator[Disturbance]:
        """Have it written down before anything happens, and until it is over."""
        one = Disturbance(kind, target, time.time())
        self.disturbances.append(one)
        try:
            yield one
        finally:
            one.ended = time.time()

    def touching(self, since: float, until: float, *families: str, target: str | None = None) -> list[Disturbance]:
        """Return those of these families, at this target if one is named, that were on at some time between."""
        return [
            one
            for one in self.disturbances
            if one.family in families and one.touches(since, until) and target in (None, one.target)
        ]

    def around(self, at: float) -> list[str]:
        """Tell what was on around a moment, in seconds from it."""
        return [one.told(at) for one in self.disturbances if one.touches(at - _BEFORE, at + _SINCE)]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    at: float
    what: str
    detail: str


class Findings:
    """What was found; the first hundred are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Finding] = []

    def add(self, what: str, detail: str, at: float | None = None) -> None:
        self.count += 1
        if len(self.kept) < _MOST_FINDINGS:
            self.kept.append(Finding(time.time() if at is None else at, what, detail))
