"""What templates can give: matching, overlap and ambiguity, against trying everything."""

from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy_gen.errors import NameRefusedError
from proxy_gen.mapfiles.patterns import Account, NamePattern
from tests.proxy_gen.mapfiles.names import LETTERS, USER, WIDE, hole, pattern, small_patterns

ALL = ["".join(text) for length in range(1, 7) for text in product("ab-", repeat=length)]


def names_of(which: NamePattern) -> set[str]:
    return {text for text in ALL if next(which.components[0].parses(text), None) is not None}


@given(small_patterns, small_patterns)
def test_overlap_is_decided_as_trying_everything_does(one: NamePattern, other: NamePattern) -> None:
    # a claim that stands twice is one value, which overlap does not look at
    assume(all(len(which.claims) == len(which.components[0].holes) for which in (one, other)))
    assert one.overlaps(other) == other.overlaps(one) == bool(names_of(one) & names_of(other))


@given(small_patterns)
def test_ambiguity_is_found_as_trying_everything_finds_it(which: NamePattern) -> None:
    assume(len(which.claims) == len(which.components[0].holes))
    for claim in which.claims:
        ways = [{found[claim] for found in which.components[0].parses(text)} for text in ALL]
        if any(len(values) > 1 for values in ways):
            assert which.is_ambiguous(claim)


@pytest.mark.parametrize(
    "pieces, ambiguous",
    [
        (("/CN=", hole("u")), False),
        (("/CN=", hole("n", WIDE), " ", hole("u")), False),
        (("/CN=", hole("n", WIDE), "-", hole("u")), True),
        (("/CN=", hole("n", WIDE), hole("u")), True),
        (("/CN=", hole("n", WIDE), "/CN=u-", hole("u")), False),
        (("/CN=", hole("n", WIDE), hole("u"), "/UID=", hole("u")), False),
    ],
    ids=["alone", "blank between", "its own character between", "nothing between", "another RDN", "told elsewhere"],
)  # fmt: skip
def test_ambiguity(pieces: tuple[str, ...], ambiguous: bool) -> None:  # noqa: FBT001 - an expected value
    assert pattern(*pieces).is_ambiguous("u") is ambiguous


@pytest.mark.parametrize(
    "one, other, overlap",
    [
        (("/CN=jane",), ("/CN=jane",), True),
        (("/CN=jane",), ("/CN=Jane",), False),
        (("/CN=jane",), ("/CN=", hole()), True),
        (("/CN=jane doe",), ("/CN=", hole()), False),
        (("/CN=", hole(), "/CN=x"), ("/CN=", hole()), False),
        (("/CN=u-", hole()), ("/CN=v-", hole()), False),
        (("/CN=u", hole()), ("/CN=", hole(), "v"), True),
        (("/CN=", hole()), ("/O=", hole()), False),
        (("/CN=", hole("u", LETTERS)), ("/CN=", hole("v", frozenset("c"))), False),
        (("/CN=", hole(), "-x"), ("/CN=", hole(), "-y"), False),
    ],
)
def test_overlap(one: tuple[str, ...], other: tuple[str, ...], overlap: bool) -> None:  # noqa: FBT001 - as above
    assert pattern(*one).overlaps(pattern(*other)) is overlap


def test_names_are_spelt_as_they_are_printed() -> None:
    assert pattern("/dc=ch/E=", hole("m"), "/userid=", hole()).example({"m": "x", "u": "y"}) == (
        "/DC=ch/emailAddress=x/UID=y"
    )


def test_a_claim_that_stands_twice_is_one_value() -> None:
    twice = pattern("/CN=", hole(), "/UID=", hole())
    assert twice.matches("/CN=a/UID=a")
    assert not twice.matches("/CN=a/UID=b")


@pytest.mark.parametrize(
    "name",
    ["/CN=", "/CN=a/CN=b", "/CN=7", "/CN=proxy", "/CN=Limited Proxy", "/CN= a", "/CN=a  b", "/CN=" + "x" * 65,
     "/O=a", "CN=a", "/CN=a\n", "/CN=\u00fc", "/CN=a,b", "x/CN=a", ""],
)  # fmt: skip
def test_names_that_a_template_never_gives(name: str) -> None:
    assert not pattern("/CN=", hole("n", WIDE)).matches(name)


def test_a_hole_has_only_what_its_attribute_type_can_hold() -> None:
    country = pattern("/C=", hole("c", WIDE), "/O=x")
    assert country.matches("/C=ch/O=x")
    assert not country.matches("/C=c7/O=x")
    assert not country.matches("/C=che/O=x")
    assert pattern("/serialNumber=", hole("n", WIDE), "/O=x").components[0].holes[0].characters < WIDE


@pytest.mark.parametrize(
    "pieces",
    [("CN=x",), (hole(),), ("/", hole(), "=x"), ("/CN",), ("/nosuch=", hole()), (), ("/CN=a/b",),
     ("/CN=" + "x" * 64, hole())],
    ids=["no slash", "no literal", "type is a claim", "no value", "unknown type", "nothing", "slash", "no room"],
)  # fmt: skip
def test_refused_templates(pieces: tuple[str, ...]) -> None:
    with pytest.raises(NameRefusedError):
        pattern(*pieces)


@given(
    st.dictionaries(st.sampled_from("nu"), st.text(st.sampled_from(sorted(USER)), min_size=1, max_size=9), min_size=2)
)
def test_what_is_filled_in_is_found_again(claims: dict[str, str]) -> None:
    which = pattern("/O=x/CN=", hole("n"), " ", hole(), "/CN=u-", hole())
    assert list(which.bindings(which.example(claims))) == [claims]
    assert Account("p-", "u", "-s").of(claims) == f"p-{claims['u']}-s"
