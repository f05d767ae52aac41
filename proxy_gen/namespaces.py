"""Namespaces files of EUGridPMA (``HASH.namespaces``): which names a CA may sign, by regular expressions.

As caNl reads them: an expression must match the whole name, letter case does not matter; one PERMIT must match and no
DENY. A file that has no entry for the CA says nothing. The expressions are a subset that is matched in one pass:
characters, ``.``, classes in brackets, each with ``*``, ``+`` or ``?`` behind it, and ``^`` and ``$`` at the ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy_gen.errors import CredentialFileError
from proxy_gen.signing_policy import MAX_POLICY_BYTES, folded

_COMMENT = re.compile(rb"\A((?:[^\\#]|\\.)*)#.*\Z", re.DOTALL)
_ENTRY = re.compile(
    rb'\s*TO\s+ISSUER\s+(?:"((?:[^"\\]|\\.)*)"|SELF)\s+(PERMIT|DENY)\s+SUBJECT\s+"((?:[^"\\]|\\.)*)"\s*',
    re.DOTALL | re.IGNORECASE,
)
_VERSION = b"#NAMESPACES-VERSION:"
_SUPPORTED_VERSION = b"1.0"
_ATOM = re.compile(rb"(?:\\([^a-z0-9])|(\[\^?[^\]\\\[^]+\])|([^\\\[\](){}|^$*+?]))([*+?]?)", re.DOTALL)
_MAX_ATOMS = 1024
_ANY = frozenset(range(256))
_RANGE = re.compile(rb"(.)-(.)|(.)", re.DOTALL)


@dataclass(frozen=True)
class _Atom:
    """Octets that may stand here; ``optional``, or any number of them when it also ``repeats``."""

    octets: frozenset[int]
    optional: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class _Entry:
    """``issuer`` is a folded name, or None for the CA that the file belongs to."""

    issuer: bytes | None
    permit: bool
    pattern: tuple[_Atom, ...]


class Namespaces:
    """A parsed namespaces file."""

    def __init__(self, entries: list[_Entry]) -> None:
        self._entries = entries

    @classmethod
    def parse(cls, content: bytes) -> Namespaces:
        """Parse a file. Raises :class:`CredentialFileError` (``namespaces_malformed``)."""
        if len(content) > MAX_POLICY_BYTES:
            raise _malformed(f"it has more than {MAX_POLICY_BYTES} bytes")
        return cls([_entry(line) for line in _lines(content) if line.strip()])

    def permits(self, issuer: str, subject: str) -> bool:
        """Tell whether this CA may sign this name, both in slash form."""
        authority, name = folded(issuer.encode()), folded(subject.encode())
        entries = [entry for entry in self._entries if entry.issuer in (None, authority)]
        verdicts = {entry.permit for entry in entries if _matches(entry.pattern, name)}
        return not entries or verdicts == {True}


def namespaces_file(authorities: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """Return the file for (CA, what it signs), as :func:`proxy_gen.signing_policy.signing_policy_file`."""
    return b"\n".join(_section(subject, subjects) for subject, subjects in authorities)


def _section(subject: str, subjects: Iterable[str]) -> bytes:
    issuer = re.sub(r'([\\"#])', r"\\\1", subject)
    lines = [f'TO Issuer "{issuer}" \\\n  PERMIT Subject "{_as_regex(pattern)}"' for pattern in (subject, *subjects)]
    return ("\n".join(lines) + "\n").encode()


def _as_regex(pattern: str) -> str:
    stem = pattern.removesuffix("*")
    # a `#` would begin a comment, a `"` would end the expression
    return re.sub(r'([.^$*+?()\[\]{}|\\"#])', r"\\\1", stem) + (".*" if stem != pattern else "")


def _malformed(why: str) -> CredentialFileError:
    return CredentialFileError("namespaces_malformed", f"the CA's namespaces cannot be read: {why}")


def _lines(content: bytes) -> Iterator[bytes]:
    """Yield logical lines: without comments, and joined where a backslash is last."""
    joined = b""
    for line in content.splitlines():
        if line.startswith(_VERSION) and line.removeprefix(_VERSION).strip() != _SUPPORTED_VERSION:
            raise _malformed("it is of another version than 1.0")
        text = _COMMENT.sub(rb"\1", line)
        if text.endswith(b"\\") and not text.endswith(b"\\\\"):
            joined += text[:-1]
            continue
        yield joined + text
        joined = b""
    yield joined


def _entry(line: bytes) -> _Entry:
    found = _ENTRY.fullmatch(line)
    if found is None:
        raise _malformed('a line is not of the form TO Issuer "CA" PERMIT|DENY Subject "EXPRESSION"')
    issuer = None if found[1] is None else folded(re.sub(rb"\\(.)", rb"\1", found[1], flags=re.DOTALL))
    return _Entry(issuer, found[2].upper() == b"PERMIT", tuple(_atoms(folded(found[3]))))


def _atoms(expression: bytes) -> Iterator[_Atom]:
    position = 1 if expression.startswith(b"^") else 0
    end = len(expression) - (expression.endswith(b"$") and not expression.endswith(b"\\$"))
    if end > _MAX_ATOMS:
        raise _malformed(f"an expression has more than {_MAX_ATOMS} characters")
    while position < end:
        found = _ATOM.match(expression, position, end)
        if found is None:
            raise _malformed("an expression has more than characters, '.', '[...]', '*', '+' and '?'")
        position = found.end()
        octets = _octets(found)
        if found[4] == b"+":
            yield _Atom(octets)
        yield _Atom(octets, optional=found[4] != b"", repeats=found[4] in (b"*", b"+"))


def _octets(found: re.Match[bytes]) -> frozenset[int]:
    escaped, bracket, plain = found[1], found[2], found[3]
    if bracket is not None:
        return _class(bracket[1:-1])
    return _ANY if plain == b"." else frozenset(escaped or plain)


def _class(inside: bytes) -> frozenset[int]:
    negated = inside.startswith(b"^")
    octets: set[int] = set()
    for first, last, single in _RANGE.findall(inside[negated:]):
        octets |= set(range(first[0], last[0] + 1)) if first else {single[0]}
    return _ANY - octets if negated else frozenset(octets)


def _matches(pattern: tuple[_Atom, ...], name: bytes) -> bool:
    """Follow all ways through the pattern at once: the cost is at most its length times the name's."""
    places = _reached(pattern, {0})
    for octet in name:
        after = set()
        for place in places:
            if place < len(pattern) and octet in pattern[place].octets:
                after.add(place if pattern[place].repeats else place + 1)
        places = _reached(pattern, after)
    return len(pattern) in places


def _reached(pattern: tuple[_Atom, ...], places: set[int]) -> set[int]:
    """Add the places behind those that may stay empty."""
    reached = set()
    for start in places:
        place = start
        reached.add(place)
        while place < len(pattern) and pattern[place].optional and place + 1 not in reached:
            place += 1
            reached.add(place)
    return reached
