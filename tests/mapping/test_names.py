"""Whatever claims come, a name keeps the structure that its template has, or it is refused."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from tests.mapping.people import identity, rule
from ttscache.errors import DnRefusedError
from ttscache.mapping.engine import decide

TEMPLATES = (
    "/DC=ch/DC=infn/O=ttscache/CN={a}/CN=u-{b}",
    "/O={a}/OU={b}/CN=robot",
    "/C=CH/O=x/emailAddress={a}/UID={b}",
    "/O=x/CN={a}",
    "/O=x/CN={a} {b}",
    "/O=x/CN={a}{b}",
    "/DC={a}/DC={b}",
)
# no character that may be in a value separates the claims
SEPARATED = ("/DC=ch/O=ttscache/CN={a}/CN=u-{b}", "/O={a}/OU={b}/CN=robot", "/O=x/CN=a-{a}/CN=b-{b}/CN=end")

nasty = st.text(
    st.one_of(
        st.sampled_from("abzAZ09 .-_@:'()"),
        st.sampled_from('/,+=\\"<>;#{}\x00\n\r\t\x7f\u202e\u00e9'),
        st.characters(),
    ),
    max_size=12,
)
near_names = st.sampled_from(
    [
        "proxy",
        "limited proxy",
        "12345",
        "x/CN=admin",
        "CN=x",
        "x,CN=y",
        "x+CN=y",
        "\\2F",
        "x" * 64,
        "x" * 300,
        " x",
        "x  y",
    ]
)
scalars = nasty | near_names | st.integers(-(10**30), 10**30) | st.booleans() | st.none() | st.floats()
claims = scalars | st.lists(scalars, max_size=2) | st.dictionaries(nasty, scalars, max_size=2)
likely = st.text(st.sampled_from("abcXYZ019 .-_@"), min_size=1, max_size=8)


def given_dn(template: str, a: object, b: object) -> str | None:
    try:
        return decide([rule(dn=template)], identity(a=a, b=b)).dn
    except DnRefusedError as refused:
        message = refused.message
    assert message.isprintable()
    assert message.isascii()
    return None


def types(dn: str) -> list[Any]:
    """The attribute types of a name; one RDN each."""
    name = DistinguishedName.parse(dn)
    assert all(len(list(rdn)) == 1 for rdn in name.name.rdns)
    return [oid for oid, _ in name.pairs]


@settings(max_examples=250)
@given(st.sampled_from(TEMPLATES), claims | likely, claims | likely)
@example(TEMPLATES[0], "x/CN=admin", "1")
@example(TEMPLATES[3], "limited proxy", "")
def test_the_structure_is_the_templates(template: str, a: object, b: object) -> None:
    dn = given_dn(template, a, b)
    if dn is None:
        return
    require_mintable(DistinguishedName.parse(dn))
    assert types(dn) == types(template.format(a="xx", b="xx"))
    assert dn == template.format(a=a, b=b)  # nothing is changed on the way


@settings(max_examples=250)
@given(st.sampled_from(SEPARATED), st.tuples(likely | claims, likely | claims), st.tuples(likely | claims, likely))
@example(SEPARATED[0], ("x/CN=u-y", "z"), ("x", "y/CN=u-z"))
def test_different_claims_never_give_one_name(
    template: str, one: tuple[object, object], other: tuple[object, object]
) -> None:
    assume(tuple(map(str, one)) != tuple(map(str, other)))
    first, second = given_dn(template, *one), given_dn(template, *other)
    assert first is None or first != second


@given(likely, likely)
def test_fit_claims_are_taken(a: str, b: str) -> None:
    clean = all(value == " ".join(value.split()) for value in (a, b))
    assert (given_dn("/O=x/CN={a}/CN={b}/CN=end", a, b) is not None) == clean
