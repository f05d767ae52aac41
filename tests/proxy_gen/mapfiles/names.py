"""Patterns and names to try."""

from hypothesis import strategies as st

from proxy_gen.mapfiles.patterns import Hole, NamePattern

LETTERS = frozenset("ab")
WIDE = frozenset(map(chr, range(0x20, 0x7F))) - frozenset('/,+=\\"<>;#')
USER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def hole(claim: str = "u", characters: frozenset[str] = USER) -> Hole:
    return Hole(claim, characters)


def pattern(*pieces: str | Hole) -> NamePattern:
    return NamePattern.of(pieces)


# Three tokens at most, each of which takes a character or more: if two of these overlap, they do within six characters.
_small_holes = st.builds(Hole, st.sampled_from("uvw"), st.sampled_from([LETTERS, frozenset("a"), frozenset("b-")]))
_small_values = st.lists(st.one_of(st.sampled_from("ab-"), _small_holes), min_size=1, max_size=3)
small_patterns = _small_values.map(lambda pieces: pattern("/CN=", *pieces))

# values with everything that is special somewhere
odd_text = st.text(st.sampled_from("aZ09 .-_'()[]*?{}|^$&!~%@:,;=\"<>#"), min_size=1, max_size=12)
