"""Users of the IAM, more than the sandbox has, and their tokens."""

from __future__ import annotations

from ttscache.sandbox.iam import EmbeddedIam, User
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES


def people(number: int) -> list[User]:
    """Return as many ordinary members."""
    names = [f"user{index}" for index in range(number)]
    return [
        User(username=name, sub=f"sub-{name}", name=name, email=f"{name}@example", groups=("/cms",)) for name in names
    ]


def token_of(iam: EmbeddedIam, username: str) -> str:
    """Return a fresh token of a user, as daemons take it."""
    return iam.token_for(username, scope=TOKEN_SCOPES, audience=AUDIENCE)
