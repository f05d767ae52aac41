r"""HTCondor's CERTIFICATE_MAPFILE: ``METHOD name account`` a line, the first match wins.

What ``name`` is depends on CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS. Where that is false it is a regular expression (PCRE),
found anywhere in the DN, and slashes around it are part of it. Where it is true it is a literal, unless it stands
between slashes. So there is no line that means the same in both modes, and each has a form of its own here; all are
anchored, and every character that is not a letter or a digit is escaped.

Readings of a backslash that two versions of HTCondor's parser do not share are not used: a quotation mark and a
backslash are written by their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from proxy_gen.mapfiles.patterns import Account, Component, Hole, NamePattern
from proxy_gen.names import MAX_NAME_LENGTH

# `\0` is the whole name, and a group is referred to by one digit
_MAX_GROUPS = 9
_MAX_ACCOUNT = 63
# PCRE compiles to 64 KiB at most, and HTCondor drops a line that comes to more (letters do from 32,761 of them on):
# everybody on it would be nobody
_MAX_EXPRESSION = 16_000
_BY_NUMBER = frozenset('"\\')
_RESERVED_LAST = ("proxy", "limited proxy", "restricted proxy")


class Form(Enum):
    """Which HTCondor reads the file."""

    REGEX = "condor"  # CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS = false, the default of pools
    HASH = "condor-hash"  # CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS = true, the default of HTCondor-CE
    GSI = "condor-gsi"  # before HTCondor 9.3


@dataclass(frozen=True)
class Entry:
    """A line: the names of ``pattern`` but those of ``excluded`` have ``account``."""

    pattern: NamePattern
    account: Account
    excluded: frozenset[str] = frozenset()


def write(entries: Iterable[Entry], form: Form) -> str:
    """Return the file."""
    return "".join(line(entry, form) + "\n" for entry in entries)


def line(entry: Entry, form: Form) -> str:
    """Return one line."""
    expression, account = _Expression(entry).whole()
    if form is Form.HASH:
        return f"SSL /{expression}/ {account}"
    return f'{"GSI" if form is Form.GSI else "SSL"} "{expression}" {account}'


def refusal(entry: Entry) -> str | None:
    """Return why no line can say this, or None."""
    account = entry.account
    if account.prefix.startswith("."):
        return "HTCondor has no pool accounts"
    why = None if account.claim is None else _account_refusal(entry, account.claim)
    if why is None and len(_Expression(entry).whole()[0]) > _MAX_EXPRESSION:
        return (
            f"with the {len(entry.excluded)} names that are not its own, its expression is longer than HTCondor takes"
        )
    return why


def _account_refusal(entry: Entry, claim: str) -> str | None:
    if claim not in entry.pattern.claims:
        return f"the account's claim '{claim}' is not in the DN"
    if entry.pattern.is_ambiguous(claim):
        return f"where the claim '{claim}' begins and ends in the DN cannot be told"
    if len(_Expression(entry).groups) > _MAX_GROUPS:
        return f"the DN has more than {_MAX_GROUPS} claims to remember"
    return None


class _Expression:
    """The regular expression of an entry. A claim that the account needs, or that stands twice, is a group."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        claims = [hole.claim for component in entry.pattern.components for hole in component.holes]
        wanted = {claim for claim in claims if claims.count(claim) > 1} | {entry.account.claim}
        self.groups = [claim for claim in dict.fromkeys(claims) if claim in wanted]
        self._met: set[str] = set()

    def _places(self, claim: str) -> list[tuple[Component, Hole]]:
        components = self._entry.pattern.components
        return [(component, hole) for component in components for hole in component.holes if hole.claim == claim]

    def whole(self) -> tuple[str, str]:
        """Return the expression, and the account with a reference to its group."""
        *others, last = self._entry.pattern.components
        body = "".join(self._component(component) for component in others) + self._component(last, last=True)
        account = self._entry.account
        reference = "" if account.claim is None else f"\\{self.groups.index(account.claim) + 1}{account.suffix}"
        long = sum(len(component.kind) + 2 + component.limit for component in (*others, last)) > MAX_NAME_LENGTH
        before = f"(?!.{{{MAX_NAME_LENGTH + 1}}})" if long else ""
        return f"^{before}{_none_of(self._entry.excluded)}{body}$", account.prefix + reference

    def _component(self, component: Component, *, last: bool = False) -> str:
        start = _escaped(f"/{component.kind}=")
        if not component.holes:
            return start + _escaped(component.pieces[0] if isinstance(component.pieces[0], str) else "")
        spaced = any(" " in hole.characters for hole in component.holes)
        before = r"(?!\ )(?![^\/]*\ \ )" if spaced else ""
        if len(component.holes) > 1:
            before += rf"(?![^\/]{{{component.limit + 1}}})"
        if last and component.kind == "CN":
            before += _not_of_a_proxy(component)
        pieces = component.pieces
        body = "".join(self._piece(component, index) for index in range(len(pieces)))
        return start + before + body + (r"(?<!\ )" if spaced else "")

    def _piece(self, component: Component, index: int) -> str:
        piece = component.pieces[index]
        if isinstance(piece, str):
            return _escaped(piece)
        if piece.claim not in self.groups:
            return _class(piece) + f"{{1,{component.room}}}"
        if piece.claim in self._met:
            return f"(?:\\{self.groups.index(piece.claim) + 1})"  # set apart from digits that follow it
        self._met.add(piece.claim)
        # what stands twice must be right in both places
        places = self._places(piece.claim)
        length = min(place.room for place, _ in places)
        characters = _class(Hole(piece.claim, frozenset.intersection(*(hole.characters for _, hole in places))))
        account = self._entry.account
        if piece.claim != account.claim:
            return f"({characters}{{1,{length}}})"
        length = min(length, _MAX_ACCOUNT - len(account.prefix) - len(account.suffix))
        rest = "".join(_loose(later) for later in component.pieces[index + 1 :]) + r"(?=\/|$)"
        return f"{_no_account(account, rest)}({characters}{{1,{length}}})"


def _none_of(names: frozenset[str]) -> str:
    """Return the assertion that keeps out these names; what they begin with stands there once."""
    if not names:
        return ""
    ordered = sorted(names)
    start = _common_start(ordered[0], ordered[-1])
    return f"(?!{_escaped(start)}(?:{'|'.join(_escaped(name[len(start) :]) for name in ordered)})$)"


def _common_start(one: str, other: str) -> str:
    length = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if length is None else length]


def _no_account(account: Account, rest: str) -> str:
    """Return the assertions that keep out what is no account; ``rest`` is what follows in the RDN."""
    asserted = "" if account.prefix else r"(?=[A-Za-z0-9\_])"
    if (account.prefix + account.suffix).isdigit() or not account.prefix + account.suffix:
        asserted += f"(?![0-9]+{rest})"
    if "root".startswith(account.prefix) and "root".endswith(account.suffix):
        left = "root"[len(account.prefix) : 4 - len(account.suffix)]
        asserted += f"(?!{left}{rest})" if left else ""
    return asserted


def _not_of_a_proxy(component: Component) -> str:
    """Return the assertion that keeps out last CNs that are never signed: a proxy's own."""
    literal = "".join(piece for piece in component.pieces if isinstance(piece, str)).lower()
    alternatives = [f"(?i:{_escaped(word)})" for word in _RESERVED_LAST if set(literal) <= set(word)]
    if not literal.strip("0123456789"):
        alternatives.append("[0-9]+")
    return f"(?!(?:{'|'.join(alternatives)})$)" if alternatives else ""


def _loose(piece: str | Hole) -> str:
    return _escaped(piece) if isinstance(piece, str) else _class(piece) + "+"


def _escaped(text: str) -> str:
    return "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if character.isalnum():
        return character
    return f"\\x{ord(character):02x}" if character in _BY_NUMBER else "\\" + character


def _class(hole: Hole) -> str:
    """Return the character class, runs as ranges."""
    runs: list[list[int]] = []
    for code in sorted(map(ord, hole.characters)):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "[" + "".join(_range(chr(first), chr(last)) for first, last in runs) + "]"


def _range(first: str, last: str) -> str:
    one, other = _escaped_character(first), _escaped_character(last)
    return one if first == last else one + ("-" if ord(last) - ord(first) > 1 else "") + other


class Reader:
    """Reads a file as HTCondor does, and maps names with it. Lines that HTCondor may drop are dropped."""

    def __init__(self, text: str, *, assume_hash: bool) -> None:
        read = (_read_line(raw, assume_hash) for raw in text.splitlines() if raw and not raw.startswith("#"))
        self._lines = [line for line in read if line is not None]

    def map(self, method: str, name: str) -> str | None:
        """Return the account of a name that was authenticated by a method, or None."""
        wanted = method.casefold()
        for line_method, expression, account in self._lines:
            if line_method != wanted:
                continue
            if isinstance(expression, str):
                if expression == name:
                    return _substituted(account, [name])
            elif found := expression.search(name):
                # PCRE counts groups up to the last that took part
                last = max((index for index, group in enumerate(found.groups(), 1) if group is not None), default=0)
                return _substituted(account, [found[0], *(group or "" for group in found.groups()[:last])])
        return None


def _read_line(raw: str, assume_hash: bool) -> tuple[str, str | re.Pattern[str], str] | None:  # noqa: FBT001 - a private helper
    characters = iter(raw)
    method = _field(characters, '"')[0].casefold()
    name, end = _field(characters, '"/' if assume_hash else '"')
    account, _ = _field(characters, '"')
    if end != "/" and assume_hash:
        return method, name, account
    return None if len(name) > _MAX_EXPRESSION else (method, re.compile(name, re.ASCII), account)


def _field(characters: Iterator[str], quotes: str) -> tuple[str, str]:
    """Return a field, and the quote that it stood in."""
    first = next((c for c in characters if c not in " \t"), "")
    end = first if first and first in quotes else ""
    field = "" if end else first
    for character in characters:
        if character == end or (not end and character in " \t"):
            break
        if end and character == "\\":
            following = next(characters, "")
            field += following if following in (end, "\\") else "\\" + following
        else:
            field += character
    return field, end


def _substituted(account: str, groups: Sequence[str]) -> str:
    return re.sub(
        r"\\([0-9])", lambda found: groups[int(found[1])] if int(found[1]) < len(groups) else found[0], account
    )
