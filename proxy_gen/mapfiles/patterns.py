"""Names with holes: what a template can give, so that what it maps, and what it must not, can be reasoned about.

A pattern takes in all names that its template can give, and a few that it cannot (a hole that is one blank); never
fewer. So two patterns that do not overlap never give one name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

from proxy_gen.attributes import attribute_type, short_name, upper_bound
from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName

_COUNTRY_LENGTH = 2
_PRINTABLE = tuple(map(chr, range(0x20, 0x7F)))


@dataclass(frozen=True)
class Hole:
    """The place of a claim: one character or more, each out of ``characters``."""

    claim: str
    characters: frozenset[str]


@dataclass(frozen=True)
class Account:
    """An account with at most one claim in it: ``prefix``, the claim's value, ``suffix``."""

    prefix: str
    claim: str | None = None
    suffix: str = ""

    def of(self, claims: Mapping[str, str]) -> str:
        """Return the account for these claims."""
        return self.prefix + ("" if self.claim is None else claims[self.claim] + self.suffix)


@dataclass(frozen=True)
class Component:
    """One RDN: its attribute type's short name, and its value."""

    kind: str
    pieces: tuple[str | Hole, ...]

    @cached_property
    def holes(self) -> tuple[Hole, ...]:
        """The holes, in their order."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Hole))

    @property
    def limit(self) -> int:
        """How many characters the value can have at most."""
        oid = attribute_type(self.kind)
        return _COUNTRY_LENGTH if self.kind == "C" or oid is None else upper_bound(oid)

    @property
    def room(self) -> int:
        """How many characters one hole can have at most."""
        return self.limit - sum(len(piece) if isinstance(piece, str) else 1 for piece in self.pieces) + 1

    def parses(self, value: str) -> Iterator[dict[str, str]]:
        """Yield each way in which the value fits, as values of the claims."""
        yield from _parses(self.pieces, value, {})


@dataclass(frozen=True)
class NamePattern:
    """A DN in slash form with holes in its values. A hole never holds a slash."""

    components: tuple[Component, ...]

    @classmethod
    def of(cls, pieces: Sequence[str | Hole]) -> NamePattern:
        """Build the pattern of literal pieces and holes.

        Attribute types are spelt as they are printed. Raises :class:`NameRefusedError` where a type is not literal,
        or a value can never be right.
        """
        components = [_component(part) for part in _split(pieces)]
        if not components:
            raise NameRefusedError("name_empty", "the name is empty")
        pattern = cls(tuple(components))
        if pattern.literal is not None:
            require_mintable(DistinguishedName.parse(pattern.literal))
        return pattern

    @cached_property
    def claims(self) -> frozenset[str]:
        """The claims that have holes."""
        return frozenset(hole.claim for component in self.components for hole in component.holes)

    @cached_property
    def literal(self) -> str | None:
        """The name, if there is no hole in it."""
        return None if self.claims else self.example({})

    def example(self, claims: Mapping[str, str]) -> str:
        """Return the name with the claims in their holes."""
        filled = (
            "".join(piece if isinstance(piece, str) else claims[piece.claim] for piece in component.pieces)
            for component in self.components
        )
        return "".join(f"/{c.kind}={value}" for c, value in zip(self.components, filled, strict=True))

    def matches(self, name: str) -> bool:
        """Tell whether the template can give this name."""
        return next(self.bindings(name), None) is not None

    def bindings(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the values of claims for which the template gives this name."""
        parts = name.split("/")
        kinds = [component.kind + "=" for component in self.components]
        if parts[0] or len(parts) != len(kinds) + 1:
            return
        if not all(part.startswith(kind) for part, kind in zip(parts[1:], kinds, strict=True)):
            return
        if not _is_mintable(name):
            return
        values = (part[len(kind) :] for part, kind in zip(parts[1:], kinds, strict=True))
        ways = [list(c.parses(value)) for c, value in zip(self.components, values, strict=True)]
        for way in product(*ways):
            merged = dict(item for bound in way for item in bound.items())
            if all(merged[claim] == value for bound in way for claim, value in bound.items()):
                yield merged

    def overlaps(self, other: NamePattern) -> bool:
        """Tell whether some name fits both; decided RDN by RDN, for no hole holds a slash."""
        if len(self.components) != len(other.components):
            return False
        pairs = zip(self.components, other.components, strict=True)
        return all(one.kind == another.kind and _meet(one.pieces, another.pieces) for one, another in pairs)

    def is_ambiguous(self, claim: str) -> bool:
        """Tell whether some name fits in two ways that differ in where this claim is."""
        with_it = [c for c in self.components if any(hole.claim == claim for hole in c.holes)]
        return all(_diverges(component.pieces, claim) for component in with_it)


def _split(pieces: Sequence[str | Hole]) -> list[list[str | Hole]]:
    parts: list[list[str | Hole]] = []
    for piece in pieces:
        texts = piece.split("/") if isinstance(piece, str) else [""]
        if not parts and (isinstance(piece, Hole) or texts[0]):
            raise NameRefusedError("name_malformed", "a name in slash form begins with a slash")
        if texts[0] and parts[-1] and isinstance(parts[-1][-1], str):
            parts[-1][-1] += texts[0]
        elif texts[0]:
            parts[-1].append(texts[0])
        parts.extend([text] for text in texts[1:])
        if isinstance(piece, Hole):
            parts[-1].append(piece)
    return parts


def _component(part: Sequence[str | Hole]) -> Component:
    first = part[0] if isinstance(part[0], str) else ""
    kind, equals, rest = first.partition("=")
    oid = attribute_type(kind.strip())
    if not equals or oid is None:
        raise NameRefusedError("name_malformed", "a component of the name has no literal attribute type")
    short = short_name(oid) or ""
    fit = _characters(short)
    pieces = [Hole(p.claim, p.characters & fit) if isinstance(p, Hole) else p for p in (rest, *part[1:]) if p]
    component = Component(short, tuple(pieces))
    if component.holes and (component.room < 1 or not all(hole.characters for hole in component.holes)):
        raise NameRefusedError("name_value_too_long", f"no claim fits into the value of {short}")
    return component


@lru_cache
def _characters(kind: str) -> frozenset[str]:
    """Return what characters a value of this type may have: those that make a name which may be signed."""
    return frozenset(c for c in _PRINTABLE if _is_mintable(f"/{kind}=a{c}" + ("" if kind == "C" else "a")))


@lru_cache(maxsize=10_000)  # each name is asked of every pattern
def _is_mintable(name: str) -> bool:
    try:
        parsed = DistinguishedName.parse(name)
        require_mintable(parsed)
    except NameRefusedError:
        return False
    return parsed.slash == name


def _parses(pieces: tuple[str | Hole, ...], value: str, bound: Mapping[str, str]) -> Iterator[dict[str, str]]:
    if not pieces:
        if not value:
            yield dict(bound)
        return
    first, rest = pieces[0], pieces[1:]
    if isinstance(first, str):
        if value.startswith(first):
            yield from _parses(rest, value[len(first) :], bound)
        return
    for end, character in enumerate(value, 1):
        if character not in first.characters:
            return
        if bound.get(first.claim, value[:end]) == value[:end]:
            yield from _parses(rest, value[end:], {**bound, first.claim: value[:end]})


@dataclass(frozen=True)
class _Token:
    """One character of a literal, or a hole, which takes one character or more."""

    characters: frozenset[str]
    claim: str | None


def _tokens(pieces: tuple[str | Hole, ...]) -> list[_Token]:
    tokens = []
    for piece in pieces:
        if isinstance(piece, str):
            tokens += [_Token(frozenset(character), None) for character in piece]
        else:
            tokens.append(_Token(piece.characters, piece.claim))
    return tokens


def _steps(one: list[_Token], other: list[_Token], at: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield where two readings of one text can stand behind a character that both can read at ``at``."""
    i, j = at
    if i == len(one) or j == len(other) or not one[i].characters & other[j].characters:
        return
    for next_i in (i, i + 1) if one[i].claim else (i + 1,):
        for next_j in (j, j + 1) if other[j].claim else (j + 1,):
            yield next_i, next_j


def _meet(one: tuple[str | Hole, ...], other: tuple[str | Hole, ...]) -> bool:
    left, right = _tokens(one), _tokens(other)
    seen, todo = {(0, 0)}, [(0, 0)]
    while todo:
        reached = set(_steps(left, right, todo.pop())) - seen
        seen |= reached
        todo += reached
    return (len(left), len(right)) in seen


def _diverges(pieces: tuple[str | Hole, ...], claim: str) -> bool:
    """Tell whether a text can be read twice so that at some character one reading is in the claim's hole alone."""
    tokens = _tokens(pieces)
    start = (0, 0, False)
    seen, todo = {start}, [start]
    while todo:
        i, j, diverged = todo.pop()
        for next_i, next_j in _steps(tokens, tokens, (i, j)):
            state = (next_i, next_j, diverged or (tokens[i].claim == claim) != (tokens[j].claim == claim))
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return (len(tokens), len(tokens), True) in seen
