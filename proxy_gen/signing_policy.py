"""Signing policies (``HASH.signing_policy``): which names a CA may sign, in the EACL form of Globus.

They are read as Globus reads them, which is not as its documentation says: letter case does not matter, nor how an
e-mail address is spelt; of several ``*`` only the last one stands for anything, and for at least one character; ``?``
stands for itself. Where a file makes Globus permit everything (a condition that it cannot parse), it is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proxy_gen.errors import CredentialFileError

# those of the IGTF have a few kB
MAX_POLICY_BYTES = 64 * 1024
# one token, blank or comment; within single quotes a backslash protects the next character
_TOKEN = re.compile(rb"\s+|#[^\n]*|'((?:[^'\\]|\\.)*)'(?!\S)|([^\s#'][^\s]*)", re.DOTALL)
_PROTECTED = re.compile(rb"\\(.)", re.DOTALL)
_QUOTED_PATTERNS = re.compile(rb'[ \t]*(?:"[^"\n]*"[ \t]*)+')
_QUOTED_PATTERN = re.compile(rb'"([^"\n]*)"')
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.|\Z)", re.DOTALL)
_SPELLING = re.compile(rb"/(uid|e|email)=")
_SPELLINGS = {b"uid": b"/userid=", b"e": b"/emailaddress=", b"email": b"/emailaddress="}
_ANYBODY = b"access_id_ANYBODY"
_PRINCIPALS = frozenset(
    {b"access_id_CA", b"access_id_USER", b"access_id_GROUP", b"access_id_HOST", b"access_id_APPLICATION"}
)
_RIGHTS = (b"pos_rights", b"neg_rights")
_SIGN = [b"globus", b"CA:sign"]


@dataclass
class _Right:
    """A right with its conditions: patterns one of which must match, or None for a condition that never holds."""

    positive: bool
    to_sign: bool
    conditions: list[tuple[bytes, ...] | None] = field(default_factory=list)

    def holds(self, name: bytes) -> bool:
        return all(patterns is not None and any(_matches(p, name) for p in patterns) for patterns in self.conditions)


@dataclass
class _Section:
    """The rights of one CA; ``authority`` is its folded name, or None for any CA."""

    authority: bytes | None
    rights: list[_Right] = field(default_factory=list)


class SigningPolicy:
    """A parsed signing policy."""

    def __init__(self, sections: list[_Section]) -> None:
        self._sections = sections

    @classmethod
    def parse(cls, content: bytes) -> SigningPolicy:
        """Parse a file. Raises :class:`CredentialFileError` (``signing_policy_malformed``)."""
        if len(content) > MAX_POLICY_BYTES:
            raise _malformed(f"it has more than {MAX_POLICY_BYTES} bytes")
        if b"\0" in content:  # C's strings end there
            raise _malformed("it has an octet 0")
        if not content.endswith(b"\n"):
            raise _malformed("it does not end with a newline; Globus refuses it")
        return cls(_Parser(list(_tokens(content))).sections())

    def permits(self, issuer: str, subject: str) -> bool:
        """Tell whether this CA may sign this name, both in slash form."""
        authority, name = folded(issuer.encode()), subject.encode()
        section = next((s for s in self._sections if s.authority in (None, authority)), None)
        granted, denied = False, False
        for right in section.rights if section else ():
            if not right.to_sign:
                continue
            holds = right.holds(name)
            if right.positive:
                granted |= holds
            elif not granted:
                return False  # Globus stops at a negative right that stands first, whatever its conditions
            else:
                denied |= holds
        return granted and not denied


def folded(name: bytes) -> bytes:
    """Return a name in slash form as Globus compares it: without letter case, with one spelling of e-mail and UID."""
    return _SPELLING.sub(lambda found: _SPELLINGS[found[1]], name.lower())


def signing_policy_file(authorities: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """Return the file for (CA, what it signs) in slash form; there, a trailing ``*`` stands for anything.

    Each CA may sign its own name.
    """
    return b"\n".join(_section(subject, subjects) for subject, subjects in authorities)


def _section(subject: str, subjects: Iterable[str]) -> bytes:
    patterns = " ".join(f'"{_escaped(pattern)}"' for pattern in (subject, *subjects))
    lines = [
        f"access_id_CA   X509    '{_protected(subject)}'",
        "pos_rights     globus  CA:sign",
        f"cond_subjects  globus  '{_protected(patterns)}'",
    ]
    return ("\n".join(lines) + "\n").encode()


def _escaped(pattern: str) -> str:
    return pattern.replace("\\", "\\\\").replace('"', "\\x22")


def _protected(text: str) -> str:
    return re.sub(r"([\\'])", r"\\\1", text)


def _malformed(why: str) -> CredentialFileError:
    return CredentialFileError("signing_policy_malformed", f"the CA's signing policy cannot be read: {why}")


def _tokens(content: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        found = _TOKEN.match(content, position)
        if found is None:
            raise _malformed("a quoted text has no end, or something is behind its end")
        position = found.end()
        if found[1] is not None:
            yield _PROTECTED.sub(rb"\1", found[1])
        elif found[2] is not None:
            yield found[2]


class _Parser:
    """Entries, each of principals, then rights, each right with the conditions behind it."""

    def __init__(self, tokens: list[bytes]) -> None:
        self._tokens = tokens[::-1]
        self._by_principal: dict[tuple[bytes, ...], _Section] = {}

    def sections(self) -> list[_Section]:
        while self._tokens:
            section = self._principals()
            while self._tokens and self._tokens[-1] in _RIGHTS:
                section.rights += self._rights()
        return [
            s
            for principal, s in self._by_principal.items()
            if principal[:2] == (b"access_id_CA", b"X509") or principal == (_ANYBODY,)
        ]

    def _principals(self) -> _Section:
        """Read principals; of several in a row, Globus gives the rights to the last."""
        section = self._principal()
        while self._tokens and self._tokens[-1] not in _RIGHTS:
            section = self._principal()
        if not self._tokens:
            raise _malformed("rights are missing")
        return section

    def _principal(self) -> _Section:
        kind = self._next()
        if kind == _ANYBODY:
            return self._by_principal.setdefault((kind,), _Section(None))
        if kind not in _PRINCIPALS:
            raise _malformed("access_id_CA, pos_rights, neg_rights or a condition was expected")
        authority, value = self._next(), folded(self._next())
        return self._by_principal.setdefault((kind, authority, value), _Section(value))

    def _rights(self) -> list[_Right]:
        rights = []
        while self._tokens and self._tokens[-1] in _RIGHTS:
            positive = self._next() == _RIGHTS[0]
            rights.append(_Right(positive=positive, to_sign=[self._next(), self._next()] == _SIGN))
        conditions = []
        while self._tokens and self._tokens[-1].startswith(b"cond_"):
            conditions.append(self._condition())
        for right in rights:
            right.conditions += conditions
        return rights

    def _condition(self) -> tuple[bytes, ...] | None:
        kind, authority, value = self._next(), self._next(), self._next()
        patterns = _patterns(value)
        return patterns if (kind, authority) == (b"cond_subjects", b"globus") else None

    def _next(self) -> bytes:
        if not self._tokens:
            raise _malformed("it ends too early")
        return self._tokens.pop()


def _patterns(value: bytes) -> tuple[bytes, ...]:
    if b'"' not in value:
        return (_unescaped(value.lstrip(b" \t")),)
    if not _QUOTED_PATTERNS.fullmatch(value):
        # Globus permits any name then
        raise _malformed("the patterns of a condition are not quoted, each on its own, within one line")
    return tuple(map(_unescaped, _QUOTED_PATTERN.findall(value)))


def _unescaped(pattern: bytes) -> bytes:
    if b"\n" in pattern:
        raise _malformed("a pattern has more than one line")
    return _ESCAPE.sub(_character, pattern)


def _character(escape: re.Match[bytes]) -> bytes:
    if escape[1] == b"x":
        raise _malformed("a pattern has \\x without two hexadecimal digits")
    return bytes.fromhex(escape[1][1:].decode()) if len(escape[1]) > 1 else escape[1]


def _matches(pattern: bytes, name: bytes) -> bool:
    if folded(pattern) == folded(name):
        return True
    star = pattern.rfind(b"*")
    behind = len(pattern) - star - 1
    if star < 0 or len(name) <= star + behind:
        return False
    # positions are those of the spelling as it stands: Globus folds it only afterwards
    return folded(pattern) == folded(name[:star] + b"*" + name[len(name) - behind :])
