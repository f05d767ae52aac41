"""XRootD's files: the VOMS map, the authorization database, and the name map of its SciTokens plug-in.

Privileges of the authorization database are those of XRootD 5: its words for what an operation needs are in
``XrdAccPrivs.hh``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy_gen.voms.fqan import Fqan

_VOMS_LINE = re.compile(r'"((?:/[A-Za-z0-9_.=-]+)+)" (\S+)')
# what XrdOucStream, and the substitutions of XrdAcc, leave as it is
_PLAIN_PATH = re.compile(r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.+:~-]+)+/?")
_READ, _MODIFY = frozenset("rl"), frozenset("rlwidn")


def write_voms(accounts: Mapping[Fqan, str]) -> str:
    """Return the VOMS map for accounts by FQAN."""
    return "".join(f'"{fqan.long}" {account}\n' for fqan, account in accounts.items())


class VomsReader:
    """Reads a VOMS map as XRootD does: of a proxy's FQANs, in their order, the first that is in the file counts."""

    def __init__(self, text: str) -> None:
        self._accounts: dict[str, str] = {}
        for line in text.splitlines():
            found = _VOMS_LINE.fullmatch(line)
            if found is None:
                raise ValueError("not a line of a VOMS map")
            self._accounts.setdefault(found[1], found[2])

    def map(self, fqans: Sequence[str]) -> str | None:
        """Return the account of a proxy with these FQANs, or None."""
        forms = (Fqan.parse(fqan).long for fqan in fqans)
        return next((self._accounts[form] for form in forms if form in self._accounts), None)


def is_plain_path(path: str) -> bool:
    """Tell whether a path can stand in the authorization database as it is."""
    return _PLAIN_PATH.fullmatch(path) is not None


@dataclass(frozen=True)
class Access:
    """The paths that an account may read and those that it may change, which it must be able to read as well."""

    read: frozenset[str] = frozenset()
    modify: frozenset[str] = frozenset()

    def __or__(self, other: Access) -> Access:
        """Return what both together allow."""
        return Access(self.read | other.read, self.modify | other.modify)


def write_authdb(accesses: Mapping[str, Access]) -> str:
    """Return the authorization database for accesses by account.

    XrdAcc compares paths as bare prefixes, so that ``/store`` would open ``/store2``: each gets a slash at its end.
    The first path of a line that fits counts alone, so the longest comes first and has what the shorter ones have.
    """
    lines = []
    for account, access in accesses.items():
        paths = sorted({_below(path) for path in access.read | access.modify}, key=lambda path: (-len(path), path))
        words = [f"{path} {_letters(path, access)}" for path in paths]
        lines.append(f"u {account} {' '.join(words)}\n")
    return "".join(lines)


def _letters(path: str, access: Access) -> str:
    modifies = any(path.startswith(_below(wider)) for wider in access.modify)
    return "".join(sorted(_MODIFY if modifies else _READ))


def _below(path: str) -> str:
    return path.rstrip("/") + "/"


class AuthdbReader:
    """Reads lines for users as XrdAcc does."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for line in text.splitlines():
            kind, account, *words = line.split()
            if kind != "u" or len(words) % 2 or account in self._lines:
                raise ValueError("not a line of a user's, or his second")
            self._lines[account] = list(zip(words[::2], map(frozenset, words[1::2]), strict=True))

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that have a line."""
        return tuple(self._lines)

    def paths(self, account: str) -> tuple[str, ...]:
        """The paths on an account's line."""
        return tuple(path for path, _ in self._lines.get(account, ()))

    def privileges(self, account: str, path: str) -> frozenset[str]:
        """Return the letters of what the account may do at a path."""
        granted = self._lines.get(account, [])
        return next((letters for prefix, letters in granted if path.startswith(prefix)), frozenset())


@dataclass(frozen=True)
class TokenEntry:
    """An entry of the name map: tokens with this subject and this group, None for any, have the account."""

    account: str
    sub: str | None = None
    group: str | None = None


def write_scitokens(entries: Iterable[TokenEntry]) -> str:
    """Return the name map of one issuer."""
    rows = [
        {key: value for key, value in (("sub", e.sub), ("group", e.group), ("result", e.account)) if value is not None}
        for e in entries
    ]
    return json.dumps(rows, indent=1) + "\n"


class TokenReader:
    """Reads a name map as XRootD does: the first entry that fits counts."""

    def __init__(self, text: str) -> None:
        self._rows = json.loads(text)

    def map(self, sub: str, groups: Iterable[str]) -> str | None:
        """Return the account of a token, or None. ``groups`` as they stand in its `wlcg.groups`."""
        present = set(groups)
        for row in self._rows:
            if row.get("sub", sub) == sub and ("group" not in row or row["group"] in present):
                account: str = row["result"]
                return account
        return None
