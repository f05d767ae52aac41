"""Many patterns, found by the RDNs in them that have no hole: no need to try each with each."""

from __future__ import annotations

from collections.abc import Sequence

from proxy_gen.mapfiles.patterns import NamePattern

# the attribute type and the value of each RDN, None for a value with a hole in it
_Shape = tuple[tuple[str, str | None], ...]
_Kinds = tuple[str, ...]
_Places = tuple[int, ...]


class PatternIndex:
    """Finds patterns by their positions in a sequence; those that are found may fit, all others do not."""

    def __init__(self, patterns: Sequence[NamePattern]) -> None:
        self._shapes = [_shape(pattern) for pattern in patterns]
        self._alike: dict[_Kinds, dict[_Places, list[int]]] = {}
        self._tables: dict[tuple[_Kinds, _Places, _Places], dict[_Shape, list[int]]] = {}
        for position, shape in enumerate(self._shapes):
            self._alike.setdefault(_kinds(shape), {}).setdefault(_literal(shape), []).append(position)

    def may_overlap(self, pattern: NamePattern) -> list[int]:
        """Return which may give a name that this one can give as well, in their order."""
        return self._found(_shape(pattern))

    def may_match(self, name: str) -> list[int]:
        """Return which may give a name in slash form, in their order."""
        first, *parts = name.split("/")
        cut = [part.partition("=") for part in parts]
        return [] if first else self._found(tuple((kind, value) for kind, _, value in cut))

    def _found(self, shape: _Shape) -> list[int]:
        kinds, literal = _kinds(shape), _literal(shape)
        found: list[int] = []
        for places in self._alike.get(kinds, {}):
            common = tuple(place for place in places if place in literal)
            found += self._table(kinds, places, common).get(tuple(shape[place] for place in common), ())
        return sorted(found)

    def _table(self, kinds: _Kinds, places: _Places, common: _Places) -> dict[_Shape, list[int]]:
        """Return patterns of one form by their values in some of the places that have no hole."""
        key = kinds, places, common
        if key not in self._tables:
            table = self._tables[key] = {}
            for position in self._alike[kinds][places]:
                values = tuple(self._shapes[position][place] for place in common)
                table.setdefault(values, []).append(position)
        return self._tables[key]


def _shape(pattern: NamePattern) -> _Shape:
    return tuple(
        (each.kind, None if each.holes else "".join(piece for piece in each.pieces if isinstance(piece, str)))
        for each in pattern.components
    )


def _kinds(shape: _Shape) -> _Kinds:
    return tuple(kind for kind, _ in shape)


def _literal(shape: _Shape) -> _Places:
    return tuple(place for place, (_, value) in enumerate(shape) if value is not None)
