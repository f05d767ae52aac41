"""Patterns found by what is literal in them."""

from hypothesis import given
from hypothesis import strategies as st

from proxy_gen.mapfiles.pattern_index import PatternIndex
from proxy_gen.mapfiles.patterns import Hole, NamePattern
from tests.proxy_gen.mapfiles.names import hole, pattern

_VALUES: list[tuple[str | Hole, ...]] = [("a",), ("b",), (hole("u"),), ("a", hole("v")), (hole("w"), "b")]
patterns = st.lists(st.tuples(st.sampled_from(["/CN=", "/OU="]), st.sampled_from(_VALUES)), min_size=1, max_size=3).map(
    lambda parts: pattern(*(piece for kind, value in parts for piece in (kind, *value)))
)


@given(st.lists(patterns, max_size=8), patterns)
def test_nothing_that_fits_is_missed(many: list[NamePattern], one: NamePattern) -> None:
    index = PatternIndex(many)
    found = index.may_overlap(one)
    assert found == sorted(set(found))
    assert {at for at, other in enumerate(many) if other.overlaps(one)} <= set(found)
    name = one.example(dict.fromkeys("uvw", "ab"))
    assert {at for at, other in enumerate(many) if other.matches(name)} <= set(index.may_match(name))


def test_what_differs_where_neither_has_a_hole_is_not_found() -> None:
    many = [pattern("/O=x/CN=", value) for value in ("a", "b", hole(), hole("v"))] + [pattern("/O=y/CN=", hole())]
    index = PatternIndex(many)
    assert index.may_match("/O=x/CN=a") == [0, 2, 3]
    assert index.may_overlap(many[2]) == [0, 1, 2, 3]
    assert index.may_overlap(many[4]) == [4]
    for name in ("", "CN=a", "x/O=x/CN=a", "/O=x", "/O=x/CN=a/CN=b", "/CN=a/O=x"):
        assert index.may_match(name) == []
