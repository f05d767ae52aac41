"""What applying would change, field by field. Pure: two objects in, differences out; secrets are never shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from k8s_manifests.objects import Key, Object

# what the server keeps for itself
_OURS_NOT = frozenset(
    {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "deletionTimestamp"}
)
_HIDDEN = "(hidden)"
# nothing of the charts' is like this; what somebody put into `values` against all advice is not repeated
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",
    re.DOTALL,
)
_ABSENT = object()


class Act(Enum):
    """What is done with an object."""

    CREATE = "+"
    CHANGE = "~"
    REPLACE = "!"
    DELETE = "-"
    KEEP = "="


@dataclass(frozen=True)
class Difference:
    """One field: its path as people write it, and its values in one line each; empty where it is absent."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """What is done with one object, and which fields are other than before."""

    act: Act
    key: Key
    differences: tuple[Difference, ...] = ()
    why: str = ""


def step_for(live: Object | None, planned: Object, key: Key) -> Step:
    """Return what applying does, from what is there and what the server says would be there."""
    if live is None:
        return Step(Act.CREATE, key)
    found = tuple(differences(live, planned))
    return Step(Act.CHANGE if found else Act.KEEP, key, found)


def differences(live: Object, planned: Object) -> Iterator[Difference]:
    """Yield the fields in which two states of an object differ, without the status and what the server counts."""
    hide = planned.get("kind") == "Secret"
    for name in sorted(set(live) | set(planned)):
        if name == "status":
            continue
        before, after = live.get(name, _ABSENT), planned.get(name, _ABSENT)
        if name == "metadata":
            before, after = _without_noise(before), _without_noise(after)
        yield from _compared(name, before, after, hide=hide and name in ("data", "stringData"))


def _without_noise(metadata: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(metadata, Mapping):
        return metadata
    return {name: value for name, value in metadata.items() if name not in _OURS_NOT}


def _compared(path: str, before: Any, after: Any, *, hide: bool) -> Iterator[Difference]:  # noqa: ANN401 - JSON
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(set(before) | set(after)):
            inner = f"{path}.{name}" if re.fullmatch(r"[\w-]+", name) else f'{path}["{name}"]'
            yield from _compared(inner, before.get(name, _ABSENT), after.get(name, _ABSENT), hide=hide)
    elif _named(before) and _named(after):
        old, new = {item["name"]: item for item in before}, {item["name"]: item for item in after}
        for name in dict.fromkeys((*old, *new)):
            yield from _compared(f"{path}[{name}]", old.get(name, _ABSENT), new.get(name, _ABSENT), hide=hide)
        if list(old) != list(new) and set(old) == set(new):
            yield Difference(path, ", ".join(old), ", ".join(new))
    elif hide:
        yield Difference(path, _HIDDEN if before is not _ABSENT else "", _HIDDEN if after is not _ABSENT else "")
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield from _lines(path, before, after)
    else:
        yield Difference(path, _shown(before), _shown(after))


def _named(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether a list is one of things with names, all different: containers, volumes, ports, variables."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return False
    names = [item.get("name") if isinstance(item, Mapping) else None for item in value]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _lines(path: str, before: str, after: str) -> Iterator[Difference]:
    """Yield the lines of a text that go and come."""
    old, new = redacted(before).splitlines(), redacted(after).splitlines()
    if old == new:  # they differ in how lines end, or in what is hidden
        yield Difference(path, _shown(before), _shown(after))
    told = list(difflib.unified_diff(old, new, lineterm="", n=0))
    for line in told[2:]:  # two lines name the files
        if line.startswith("-"):
            yield Difference(path, line[1:], "")
        elif line.startswith("+"):
            yield Difference(path, "", line[1:])


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is _ABSENT:
        return ""
    return redacted(value if isinstance(value, str) and value else repr(value))


def redacted(text: str) -> str:
    """Return a text without what looks like a private key or a token."""
    return _SECRET.sub(_HIDDEN, text)
