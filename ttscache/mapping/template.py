"""Templates such as ``/DC=ch/O=site/CN={preferred_username}/CN=u-{sub}``: literals with claims between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_PIECE = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")
# names of claims as they occur: `sub`, `preferred_username`, `wlcg.ver`, `https://ns/claim`
_CLAIM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,99}\Z")
_MAX_VALUE = 256


class TemplateError(ValueError):
    """A template that cannot be parsed; the message says why."""


class ClaimUnfitError(Exception):
    """The claim ``name`` cannot be put into the template; ``why`` says what is wrong with it, not its value."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"claim '{name}' {why}")
        self.name = name
        self.why = why


@dataclass(frozen=True)
class Literal:
    """Text that stands as it is."""

    text: str


@dataclass(frozen=True)
class Placeholder:
    """The place of a claim."""

    claim: str


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    pieces: tuple[Literal | Placeholder, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse a template. Raises :class:`TemplateError`."""
        pieces: list[Literal | Placeholder] = []
        for claim, literal, stray in _PIECE.findall(text):
            if stray:
                raise TemplateError(f"a '{stray}' without its partner")
            if literal:
                pieces.append(Literal(literal))
            elif _CLAIM.match(claim):
                pieces.append(Placeholder(claim))
            else:
                raise TemplateError(f"'{{{claim}}}' names no claim")
        return cls(tuple(pieces))

    @property
    def literal_prefix(self) -> str:
        """The text before the first claim."""
        first = self.pieces[0] if self.pieces else Literal("")
        return first.text if isinstance(first, Literal) else ""

    def fill(self, claims: Mapping[str, Any], unfit: Callable[[str], str | None]) -> str:
        """Return the text with the claims in their places.

        ``unfit`` returns why a value must not stand there, or None. Raises :class:`ClaimUnfitError`.
        """
        return "".join(
            piece.text if isinstance(piece, Literal) else _value(piece.claim, claims, unfit) for piece in self.pieces
        )


def _value(name: str, claims: Mapping[str, Any], unfit: Callable[[str], str | None]) -> str:
    value = claims.get(name)
    if value is None:
        raise ClaimUnfitError(name, "is missing from the token")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ClaimUnfitError(name, "is not a string")
    text = str(value)
    if not text.strip():
        raise ClaimUnfitError(name, "is empty")
    if len(text) > _MAX_VALUE:
        raise ClaimUnfitError(name, f"has more than {_MAX_VALUE} characters")
    why = unfit(text)
    if why is not None:
        raise ClaimUnfitError(name, why)
    return text
