"""Names for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy_gen.attributes import attribute_type, upper_bound
from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from tests.proxy_gen import der

SHORT_NAMES = [
    "CN",
    "SN",
    "serialNumber",
    "C",
    "L",
    "ST",
    "street",
    "O",
    "OU",
    "title",
    "postalCode",
    "GN",
    "initials",
    "generationQualifier",
    "dnQualifier",
    "pseudonym",
    "UID",
    "DC",
    "emailAddress",
]

# every printable character of ASCII, those that one of the forms treats in its own way more often
_PRINTABLE = st.one_of(
    st.sampled_from("abcXYZ019"),
    st.sampled_from(""" ,;"<>=#'()*?$@_-.:&%!~^`|[]{}"""),
    st.characters(min_codepoint=0x20, max_codepoint=0x7E),
)


def values(short: str) -> st.SearchStrategy[str]:
    if short == "C":
        return st.text(st.sampled_from("CHDEfr"), min_size=2, max_size=2)
    oid = attribute_type(short)
    assert oid is not None
    return st.text(_PRINTABLE, min_size=1, max_size=min(upper_bound(oid), 40))


PAIRS = st.lists(
    st.sampled_from(SHORT_NAMES).flatmap(lambda s: st.tuples(st.just(s), values(s))), min_size=1, max_size=6
)


def is_mintable(name: DistinguishedName) -> bool:
    try:
        require_mintable(name)
    except NameRefusedError:
        return False
    return True


def _name_or_none(pairs: list[tuple[str, str]]) -> DistinguishedName | None:
    oids = [(attribute_type(short), value) for short, value in pairs]
    try:
        return DistinguishedName.from_pairs([(oid, value) for oid, value in oids if oid is not None])
    except NameRefusedError:
        return None


@st.composite
def mintable_names(draw: st.DrawFn) -> DistinguishedName:
    """Names that the CA would put its signature under."""
    name = draw(PAIRS.map(_name_or_none).filter(lambda found: found is not None and is_mintable(found)))
    assert name is not None
    return name


# any text at all, with what folding and escaping must get right more often
ANY_TEXT = st.text(
    st.one_of(
        st.sampled_from('aAzZ /+,=#\\"<>;'),
        st.sampled_from("\t\n\v\f\r\x00\x1f\x7f"),
        st.sampled_from("\u00e9\u00c9\u00a0\u2003\u0130\u03a3\ufb01\U0001f600"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)
_PRINTABLE_STRING = st.text(st.sampled_from("aAzZ09 '()+,-./:=?"), max_size=12)


def _encoded(tag: int) -> st.SearchStrategy[bytes]:
    if tag in (der.PRINTABLE, der.NUMERIC):
        return _PRINTABLE_STRING.map(str.encode)
    if tag == der.BMP:
        return st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12).map(
            lambda text: text.encode("utf-16-be")
        )
    if tag == der.UNIVERSAL:
        return ANY_TEXT.map(lambda text: text.encode("utf-32-be"))
    return ANY_TEXT.map(str.encode)


@st.composite
def attributes(draw: st.DrawFn) -> der.Attribute:
    """Attributes of all types that have a name, and one that has none, in all string types that OpenSSL reads."""
    oids = [oid.dotted_string for short in SHORT_NAMES if (oid := attribute_type(short)) is not None]
    tag = draw(st.sampled_from([der.UTF8, der.PRINTABLE, der.NUMERIC, der.T61, der.IA5, der.UNIVERSAL, der.BMP]))
    return der.Attribute(draw(st.sampled_from([*oids, "1.3.6.1.4.1.99999.1"])), tag, draw(_encoded(tag)))


# names that a foreign CA may have made: multi-valued RDNs, all string types
FOREIGN_NAMES = st.lists(
    st.lists(attributes(), min_size=1, max_size=2, unique_by=lambda attribute: attribute.oid), max_size=4
).map(lambda rdns: der.name(*rdns))
