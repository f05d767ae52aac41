"""Where a session stands at a time: whether it may be relied on, and whether it is to be confirmed. Pure."""

from __future__ import annotations

from ttscache.config.settings import SessionPolicy
from ttscache.model import Session, SessionState

# An access token that is kept is replaced when less than this is left of it.
_ACCESS_MARGIN = 120.0
# Replicas' clocks differ a little: a confirmation that lies no further ahead is one of now.
CLOCK_TOLERANCE = 60.0


def is_usable(session: Session, policy: SessionPolicy, now: float) -> bool:
    """Tell whether a session has not ended: by the issuer's word, its limit, or for nobody having asked."""
    idle = now - session.confirmed_at > policy.idle
    return session.state is not SessionState.ENDED and now < session.ends_at and not idle


def is_due(
    session: Session, policy: SessionPolicy, now: float, *, keeps_access_token: bool, ahead: float = 0.0
) -> bool:
    """Tell whether it was confirmed too long ago, or in a future that the clock has jumped back from.

    ``ahead`` is by how many seconds before `confirm` it counts as due.
    """
    if not session.is_renewable:
        return False
    if keeps_access_token and lacks_access_token(session, now):
        return True
    confirmed = -CLOCK_TOLERANCE <= now - session.confirmed_at < policy.confirm - ahead
    return not confirmed or session.state is SessionState.REFRESHING


def lacks_access_token(session: Session, now: float) -> bool:
    """Tell whether no access token is kept that lasts for a call."""
    return session.access_token is None or now >= session.access_ends_at - _ACCESS_MARGIN


def in_grace(session: Session, policy: SessionPolicy, now: float) -> bool:
    """Tell whether it may be minted from without the issuer's word of now."""
    return now - session.confirmed_at <= policy.grace
