"""Scopes within scopes (WLCG common JWT profile sections 2.2.1 and 3.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

# scopes that take a group or a path; a group says nothing of those below it
_PARAMETRIC = re.compile(r"(?:wlcg\.groups|storage\.(?:read|create|modify|stage):(?P<path>/\S*))\Z")
# what a storage might take for another path than it looks like, and what is more than one scope
_DEVIOUS = re.compile(r"//|/\.|%|\\|\s")


def covers(wide: str, scope: str) -> bool:
    """Tell whether a scope is this one or within it.

    `wlcg.groups` includes each group of its, `storage.read:/cms` each path below it.
    """
    if scope == wide:
        return True
    parts = _PARAMETRIC.match(wide)
    if parts is None or _DEVIOUS.search(scope):
        return False
    prefix = wide.rstrip("/") + "/" if parts["path"] else wide + ":/"
    return scope.startswith(prefix)


def all_covered(bounds: Iterable[str], scopes: Iterable[str]) -> bool:
    """Tell whether each of the scopes is within one of the bounds."""
    bounds = tuple(bounds)
    return all(any(covers(bound, scope) for bound in bounds) for scope in scopes)
