"""grid-mapfiles: ``"NAME" account`` a line, for exact names.

Consumers differ in what is special in a name. Globus undoes escapes by a backslash; XRootD and LCMAPS know no escapes
at all. XRootD takes ``*`` for any text, and a ``$`` or ``+`` at the end for "ends with" and "contains". LCMAPS matches
FQANs, which may stand in the same file, with fnmatch(3). A name that one of the file's readers would take for another
is refused, for no escape is read by all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

_LINE = re.compile(r'"([^"]*)" ([^\s,]+)')


class Reader(Enum):
    """Whom the file is for."""

    GRIDMAP = "gridmap"  # Globus, XRootD, ARC, dCache
    LCMAPS = "lcmaps"


# what no line can say
_REFUSED = {Reader.GRIDMAP: '"\\*', Reader.LCMAPS: '"\\*?['}
_REFUSED_LAST = "$+"


def refusal(name: str, reader: Reader) -> str | None:
    """Return why no line can say this name, or None."""
    found = next((character for character in name if character in _REFUSED[reader]), None)
    if found is not None:
        return f"a name with {found} in it is misread"
    if not name.isprintable() or not name.isascii():
        return "a name with other than printable ASCII characters is misread"
    if reader is Reader.GRIDMAP and name[-1:] in _REFUSED_LAST:
        return f"a name that ends in {name[-1]} is misread by XRootD"
    return None


def write(accounts: Mapping[str, str], reader: Reader) -> str:
    """Return the file for accounts by name. Raises ValueError for a name that must be refused."""
    for name in accounts:
        if (why := refusal(name, reader)) is not None:
            raise ValueError(why)
    return "".join(f'"{name}" {account}\n' for name, account in accounts.items())


def read(text: str) -> dict[str, str]:
    """Return the accounts by name; the first line of a name counts. Raises ValueError for a line of another form."""
    accounts: dict[str, str] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError("not a line of a grid-mapfile")
        accounts.setdefault(found[1], found[2])
    return accounts
