"""What names may be minted: each refusal with its own code, and a message that says why."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.attributes import attribute_type, short_name, upper_bound
from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable, require_value
from proxy_gen.names import DistinguishedName
from tests.proxy_gen import der
from tests.proxy_gen.strategies import ANY_TEXT, FOREIGN_NAMES, SHORT_NAMES, is_mintable

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")


def of(*pairs: tuple[str, str]) -> DistinguishedName:
    return DistinguishedName.from_pairs([(oid, v) for short, v in pairs if (oid := attribute_type(short)) is not None])


LONG = of(*[("OU", "x" * 60)] * 9)
MULTIVALUED = DistinguishedName(
    x509.Name.from_bytes(
        der.name([der.Attribute("2.5.4.3", der.UTF8, b"a"), der.Attribute("2.5.4.10", der.UTF8, b"b")])
    )
)
UNKNOWN_TYPE = DistinguishedName(x509.Name.from_bytes(der.name(der.Attribute("1.2.3", der.UTF8, b"a"))))
WIDE = DistinguishedName(x509.Name.from_bytes(der.name(der.Attribute("2.5.4.3", der.BMP, b"\0a"))))

REFUSED = [
    (of(), "name_empty", "the name is empty"),
    (MULTIVALUED, "name_multivalued", "several values"),
    (UNKNOWN_TYPE, "name_attribute_unknown", r"1\.2\.3"),
    (of(("CN", "")), "name_value_empty", "CN is empty"),
    (of(("O", "  "), ("CN", "a")), "name_value_empty", "O is empty"),
    (of(("CN", "a" * 65)), "name_value_too_long", "more than 64"),
    (of(("DC", "a" * 64)), "name_value_too_long", "more than 63"),
    (of(("UID", "a" * 257)), "name_value_too_long", "more than 256"),
    (of(("CN", "Zoë")), "name_not_ascii", "CN has non-ASCII"),
    (of(("CN", "a\nb")), "name_control_character", "control"),
    (of(("CN", "a\x7f")), "name_control_character", "control"),
    (of(("CN", "a\0b")), "name_control_character", "control"),
    (of(("CN", "a/b")), "name_character", "'/'"),
    (of(("CN", "a+b")), "name_character", r"'\+'"),
    (of(("CN", "a\\b")), "name_character", "escape"),
    (of(("CN", " a")), "name_white_space", "begins or ends"),
    (of(("CN", "a ")), "name_white_space", "begins or ends"),
    (of(("CN", "a  b")), "name_white_space", "several in a row"),
    (of(("C", "CHE"), ("CN", "a")), "name_country", "two letters"),
    (of(("C", "1A"), ("CN", "a")), "name_country", "two letters"),
    (LONG, "name_too_long", "more than 512"),
    (WIDE, "name_encoding", "string type"),
    (of(("O", "x"), ("CN", "123456")), "name_digits", "stripped by ARC"),
    (of(("O", "x"), ("CN", "proxy")), "name_reserved", "'proxy'"),
    (of(("O", "x"), ("CN", "Limited Proxy")), "name_reserved", "'Limited Proxy'"),
    (of(("O", "x"), ("CN", "restricted proxy")), "name_reserved", "reserved"),
]


@pytest.mark.parametrize("name, code, message", REFUSED)
def test_refused(name: DistinguishedName, code: str, message: str) -> None:
    with pytest.raises(NameRefusedError, match=message) as refused:
        require_mintable(name)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def test_each_reason_has_a_message_of_its_own() -> None:
    said: dict[str, set[str]] = {}
    for name, code, _ in REFUSED:
        with pytest.raises(NameRefusedError) as refused:
            require_mintable(name)
        said.setdefault(code, set()).add(str(refused.value))
    messages = [message for found in said.values() for message in found]
    assert len(messages) == len(set(messages))


@pytest.mark.parametrize(
    "text",
    [
        "/DC=ch/DC=cern/OU=Organic Units/OU=Users/CN=jdoe/CN=123456/CN=Jane Doe",
        "/C=CH/O=x/CN=proxy server",
        "/CN=proxy/CN=Jane",
        "/CN=123/O=x",
        "/CN=Robot - x (y), z; \"q\" 'r' #1 <a@b.c> = *",
        "/CN=" + "a" * 64,
        "/DC=ch/UID=jane/emailAddress=jane@example.org",
    ],
)
def test_taken(text: str) -> None:
    require_mintable(DistinguishedName.parse(text))


@given(FOREIGN_NAMES)
@settings(max_examples=300, deadline=None)
def test_what_is_taken_of_any_name_is_plain(name: bytes) -> None:
    found = DistinguishedName(x509.Name.from_bytes(name))
    if is_mintable(found):
        assert found.slash.isascii()
        assert found.slash.isprintable()
        assert "\\" not in found.slash
        assert DistinguishedName.parse(found.slash).pairs == found.pairs


@given(st.sampled_from(SHORT_NAMES), ANY_TEXT)
@settings(max_examples=300, deadline=None)
def test_a_value_that_is_taken_is_taken_in_a_name(short: str, value: str) -> None:
    oid = attribute_type(short)
    assert oid is not None
    try:
        require_value(short, value, limit=upper_bound(oid))
        name = of((short, value), ("O", "x"))
    except NameRefusedError:
        return
    assert is_mintable(name) or short == "C"


def test_attribute_types_have_one_name_each() -> None:
    for short in SHORT_NAMES:
        oid = attribute_type(short.swapcase())
        assert oid is not None
        assert short_name(oid) == short
    assert attribute_type("email") == attribute_type("E") == NameOID.EMAIL_ADDRESS
    assert attribute_type("userid") == NameOID.USER_ID
    assert attribute_type("nonsense") is None
    assert short_name(NameOID.BUSINESS_CATEGORY) is None
