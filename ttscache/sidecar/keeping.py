"""When a file is replaced: never a better one by a worse, and nobody's by somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

from ttscache.sidecar.order import Item, Outcome, State
from ttscache.sidecar.place import Place

# a file's time is its file system's, and that may be another machine's
_CLOCK_TOLERANCE = 60.0


class UnfitError(Exception):
    """What came is not what was asked for; the file that is there stays. ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Standing:
    """A credential: whose it is, and until when it is good (POSIX seconds)."""

    identity: str
    not_after: float


@dataclass(frozen=True)
class Present(Standing):
    """One that is there and good, since when it is, and whether it is what is asked for."""

    written_at: float
    fits: bool

    def is_fresh(self, now: float) -> bool:
        """Tell whether half of its life is still before it."""
        half = self.written_at + (self.not_after - self.written_at) / 2
        return self.fits and self.written_at - _CLOCK_TOLERANCE <= now < half

    def kept(self) -> Outcome:
        """Return the outcome of leaving it there."""
        return Outcome(State.KEPT, self.written_at, self.not_after, self.identity)


def remembered(place: Place, item: Item, now: float) -> Present | None:
    """Return what was put there before, where it is there and not ours to read: given to another owner."""
    known = item.known
    if known is None or now >= known.not_after or not place.is_there(item.path.name):
        return None
    return Present(known.identity, known.not_after, known.written_at, fits=True)


@dataclass(frozen=True)
class New(Standing):
    """One that came, as the file is to have it."""

    content: bytes


def put(place: Place, name: str, present: Present | None, new: New, *, min_left: float, now: float) -> Outcome:
    """Put what came in the place of what is there, if it is better. Raises UnfitError, OSError.

    Less than ``min_left`` seconds are better than nothing, but not than anything.
    """
    if present is not None and present.identity != new.identity:
        raise UnfitError(
            "identity_changed",
            f"the daemon now says '{new.identity}'; the file of '{present.identity}' stays until it ends or is removed",
        )
    if present is not None and present.fits:
        if new.not_after - now < min_left:
            left = int(new.not_after - now)
            raise UnfitError("lifetime_short", f"what came lives for {left} s only; the file that is there stays")
        if new.not_after <= present.not_after:
            return present.kept()
    place.write(name, new.content)
    return Outcome(State.RENEWED, now, new.not_after, new.identity)
