"""What scopes mean: which one covers which, and which token profile they choose."""

import re
from collections.abc import Collection

# A group and a path end where a scope does: at a blank. The segments are compared, never the letters.
_PARAMETRIC = re.compile(r"(?P<base>wlcg\.groups|storage\.(?:read|create|modify|stage)):(?P<path>/\S*)")

PROFILES = ("wlcg", "iam", "aarc", "kc")
DEFAULT_PROFILE = "wlcg"


def parse(text: str) -> tuple[str, ...]:
    """Split a `scope` parameter (RFC 6749 section 3.3); the order stays, since that of `wlcg.groups` has a meaning."""
    return tuple(dict.fromkeys(text.split()))


def covers(granted: str, asked: str) -> bool:
    """Tell whether a scope that was granted includes the one asked for.

    `wlcg.groups` includes each group of its, `storage.read:/cms` each path below it.
    """
    if granted == asked:
        return True
    match = _PARAMETRIC.fullmatch(asked)
    if match is None:
        return False
    if granted == match["base"]:
        return True
    base, _, above = granted.partition(":")
    if base != match["base"] or not base.startswith("storage.") or not above:
        return False
    return _segments(match["path"])[: len(_segments(above))] == _segments(above) and ".." not in match["path"]


def covered(granted: Collection[str], asked: str) -> bool:
    """Tell whether any scope that was granted includes the one asked for."""
    return any(covers(one, asked) for one in granted)


def profile(requested: Collection[str], registered: Collection[str]) -> str:
    """Choose the token profile: the one requested, else the one registered, else the default of this IAM."""
    for scopes in (requested, registered):
        named = [name for name in PROFILES if name in scopes]
        if len(named) == 1:
            return named[0]
    return DEFAULT_PROFILE


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
