"""How long a credential may live: what was asked, cut by what bounds it, refused below the minimum. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ttscache.config.settings import Profile
from ttscache.errors import LifetimeRefusedError


@dataclass(frozen=True)
class Grant:
    """Until when, in POSIX seconds, and the names of the limits that cut it, the tightest first."""

    not_after: float
    shortened_by: tuple[str, ...]


def asked_lifetime(profile: Profile, asked: int | None) -> int:
    """Return the lifetime in seconds that is wanted. Raises :class:`LifetimeRefusedError` outside the profile's."""
    if asked is None:
        return profile.lifetime
    if not profile.min_lifetime <= asked <= profile.max_lifetime:
        raise LifetimeRefusedError(
            f"profile '{profile.name}' gives lifetimes from {profile.min_lifetime} to {profile.max_lifetime} seconds"
        )
    return asked


def grant(profile: Profile, lifetime: int, now: float, limits: Mapping[str, float]) -> Grant:
    """Cut a lifetime by ``limits``, name to end in POSIX seconds.

    Raises :class:`LifetimeRefusedError` when less than the profile's minimum is left.
    """
    wanted = now + lifetime
    cutting = sorted((end, name) for name, end in limits.items() if end < wanted)
    not_after = cutting[0][0] if cutting else wanted
    if not_after - now < profile.min_lifetime:
        raise LifetimeRefusedError(
            f"only {max(0, int(not_after - now))} seconds are left ({cutting[0][1]}), "
            f"less than the {profile.min_lifetime} that profile '{profile.name}' gives at least"
        )
    return Grant(not_after, tuple(name for _, name in cutting))
