"""What is to go wrong when: drawn from a seed, and nothing else."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPLICAS = ("a", "b")
# so long is nothing wrong, now and then: long enough that everything must be well again, and some seconds more
CALM = (18.0, 22.0)
_BUSY = (0.3, 3.0)
_CALM_SHARE = 0.3
_OVERLAP_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: its kind, at which replica (or which person, by number), from when (seconds) and for how long."""

    at: float
    kind: str
    target: str
    seconds: float


# for how long each lasts: at least and at most
KINDS = {
    "replica.kill": (0.2, 3.0),
    "replica.kill_refreshing": (0.2, 2.0),
    "replica.term": (0.0, 1.5),
    "replica.reload": (1.0, 1.0),
    "store.kill": (0.2, 4.0),
    "store.hang": (0.5, 6.0),
    "store.blackhole": (0.5, 10.0),
    "store.latency": (2.0, 5.0),
    "store.cut": (0.5, 2.0),
    "store.reset": (0.5, 5.0),
    "store.slice": (1.0, 2.0),
    "iam.slow": (3.0, 9.0),
    "iam.errors": (1.0, 6.0),
    "iam.busy": (1.0, 4.0),
    "iam.html": (1.0, 4.0),
    "iam.reset": (1.0, 4.0),
    "iam.lost": (0.5, 2.0),
    "iam.lost_behind_a_gateway": (0.5, 2.0),
    "iam.link_blackhole": (1.0, 9.0),
    "iam.link_reset": (0.5, 4.0),
    "iam.link_cut": (0.5, 2.0),
    "user.suspend": (8.0, 16.0),
}
# somebody's suspension goes on beside everything else, or has nothing else beside it
_BESIDE = "user.suspend"


def plan(seed: int, seconds: float, *, persons: int, kinds: Sequence[str] = tuple(KINDS)) -> list[Strike]:
    """Return the strikes of a run: every kind in a random order, then again, until the time is over."""
    rng = random.Random(f"schedule of {seed}")  # noqa: S311 - a schedule is no secret
    strikes: list[Strike] = []
    at = 2.0
    for kind in _dealt(rng, kinds):
        lasts = rng.uniform(*KINDS[kind])
        if at + lasts > seconds:
            return strikes
        target = str(rng.randrange(persons)) if kind == _BESIDE else rng.choice(REPLICAS)
        strikes.append(Strike(at, kind, target, lasts))
        at += rng.choice((0.5, CALM[0])) if kind == _BESIDE else _until_next(rng, lasts)
    raise AssertionError("there is always another")


def _dealt(rng: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    while True:
        yield from rng.sample(kinds, len(kinds))


def _until_next(rng: random.Random, lasts: float) -> float:
    drawn = rng.random()
    if drawn < _CALM_SHARE:
        return lasts + rng.uniform(*CALM)
    if drawn < _CALM_SHARE + _OVERLAP_SHARE:
        return lasts * rng.random()
    return lasts + rng.uniform(*_BUSY)
