"""Both textual forms of a name, against OpenSSL and Globus."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy_gen.attributes import attribute_type
from proxy_gen.credential import Credential
from proxy_gen.errors import NameRefusedError
from proxy_gen.keys import KeyKind
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import MAX_NAME_LENGTH, DistinguishedName
from tests.proxy_gen import der, libcrypto
from tests.proxy_gen.chains import HOUR, NOW, Delegation, authority, path
from tests.proxy_gen.forge import load
from tests.proxy_gen.keyring import key
from tests.proxy_gen.strategies import ANY_TEXT, FOREIGN_NAMES, SHORT_NAMES, mintable_names
from tests.tools.programs import need, run

CN = NameOID.COMMON_NAME.dotted_string

# the lengths of attributes are of no interest to the forms
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")


def foreign(name: bytes) -> DistinguishedName:
    return DistinguishedName(x509.Name.from_bytes(name))


@given(mintable_names())
@settings(max_examples=200, deadline=None)
def test_a_mintable_name_survives_both_forms(name: DistinguishedName) -> None:
    assert DistinguishedName.parse(name.slash) == name
    assert DistinguishedName.parse(name.rfc4514) == name


@given(mintable_names())
@settings(max_examples=200, deadline=None)
def test_a_mintable_name_is_printed_as_openssl_prints_it(name: DistinguishedName) -> None:
    assert name.slash == libcrypto.oneline(name.der)
    assert name.rfc4514 == libcrypto.rfc2253(name.der)


@given(FOREIGN_NAMES)
@example(der.name(der.Attribute(CN, der.T61, "é".encode())))
@example(der.name(der.Attribute(CN, der.BMP, "aé ".encode("utf-16-be"))))
@example(der.name([der.Attribute(CN, der.UTF8, b"a"), der.Attribute("2.5.4.10", der.UTF8, b"b")]))
@settings(max_examples=300, deadline=None)
def test_any_foreign_name_is_printed_as_openssl_prints_it(name: bytes) -> None:
    assert foreign(name).slash == libcrypto.oneline(name)
    assert foreign(name).rfc4514 == libcrypto.rfc2253(name)


@given(FOREIGN_NAMES)
@settings(max_examples=200, deadline=None)
def test_a_name_is_kept_byte_for_byte(name: bytes) -> None:
    assert foreign(name).der == name
    child = foreign(name).child("123")
    assert child.der == der.sequence(name[_header(name) :], _rdn(b"123"))


def _header(tlv: bytes) -> int:
    return 2 if tlv[1] < 0x80 else 2 + (tlv[1] & 0x7F)


def _rdn(common_name: bytes) -> bytes:
    return der.tlv(der.SET, der.Attribute(CN, der.UTF8, common_name).encoded)


@given(FOREIGN_NAMES, FOREIGN_NAMES)
@settings(max_examples=200, deadline=None)
def test_names_that_openssl_takes_as_equal_have_one_canonical_text(one: bytes, other: bytes) -> None:
    if libcrypto.same_name(one, other):
        assert foreign(one).canonical == foreign(other).canonical


def test_a_slash_in_a_value_is_not_another_component() -> None:
    two = DistinguishedName.from_pairs([(NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")])
    one = DistinguishedName.from_pairs([(NameOID.COMMON_NAME, "a/2.5.4.3=b")])
    assert one.canonical != two.canonical


@given(mintable_names(), st.data())
@settings(max_examples=100, deadline=None)
def test_respelt_names_have_one_canonical_text(name: DistinguishedName, data: st.DataObject) -> None:
    respelt = [
        (oid, "".join(data.draw(st.sampled_from([c.lower(), c.upper(), c + c if c == " " else c])) for c in value))
        for oid, value in name.pairs
    ]
    other = DistinguishedName.from_pairs(respelt)
    assert libcrypto.same_name(name.der, other.der)
    assert other.canonical == name.canonical


@given(mintable_names(), mintable_names())
@settings(max_examples=80, deadline=None)
def test_two_mintable_names_share_a_text_only_when_openssl_takes_them_as_equal(
    one: DistinguishedName, other: DistinguishedName
) -> None:
    assert (one.slash == other.slash) == (one == other)
    assert (one.rfc4514 == other.rfc4514) == (one == other)
    assert (one.canonical == other.canonical) == libcrypto.same_name(one.der, other.der)


@given(mintable_names())
@settings(max_examples=12, deadline=None)
def test_the_program_openssl_says_the_same(name: DistinguishedName) -> None:
    certificate = authority().issue_eec(name, key(KeyKind.P_256).public_key(), now=NOW, lifetime=HOUR)
    pem = Credential((certificate,)).to_pem()
    assert _openssl(pem, "compat") == name.slash
    assert _openssl(pem, "RFC2253") == name.rfc4514


def _openssl(pem: bytes, form: str) -> str:
    need("openssl")
    told = run(["openssl", "x509", "-noout", "-subject", "-nameopt", form], stdin=pem)
    assert told
    return told.text.removesuffix("\n").removeprefix("subject=").removeprefix(" ")


def test_globus_says_the_same(tmp_path: Path) -> None:
    need("grid-proxy-info")

    @given(mintable_names())
    @settings(max_examples=12, deadline=None)
    def identity_is_slash(name: DistinguishedName) -> None:
        made = path([Delegation()], identity=name)
        chain = tuple(load(certificate) for certificate in made.signed()[:2])
        file = tmp_path / "proxy.pem"
        file.touch(mode=0o600)
        file.write_bytes(Credential(chain, made.links[0].key).to_pem())
        told = run(["grid-proxy-info", "-file", file, "-identity"])
        assert told
        assert told.text.removesuffix("\n") == name.slash

    identity_is_slash()


@pytest.mark.parametrize(
    "text, slash",
    [
        ("/DC=ch/CN=Jane Doe", "/DC=ch/CN=Jane Doe"),
        ("CN=Jane Doe,DC=ch", "/DC=ch/CN=Jane Doe"),
        ("CN = Jane Doe , DC = ch", "/DC=ch/CN=Jane Doe"),
        ("cn=Jane,dc=ch", "/DC=ch/CN=Jane"),
        ("/E=j@x/CN=Jane", "/emailAddress=j@x/CN=Jane"),
        ("/Email=j@x/USERID=jane", "/emailAddress=j@x/UID=jane"),
        (r"CN=Doe\, Jane,O=A \"B\" \<C\>\; D", '/O=A "B" <C>; D/CN=Doe, Jane'),
        (r"CN=\ a\ ,O=b", "/O=b/CN= a "),
        (r"CN=\#a\=b#,O=x=y", "/O=x=y/CN=#a=b#"),
        (r"CN=caf\C3\A9", r"/CN=caf\xC3\xA9"),
        ("CN=café", r"/CN=caf\xC3\xA9"),
        ("/CN=a=b", "/CN=a=b"),
        ("/CN=Robot: x, y; z", "/CN=Robot: x, y; z"),
    ],
)
def test_what_is_read(text: str, slash: str) -> None:
    assert DistinguishedName.parse(text).slash == slash


@pytest.mark.parametrize(
    "text, code",
    [
        ("", "name_empty"),
        ("/", "name_malformed"),
        ("//CN=a", "name_malformed"),
        ("/CN=a/", "name_malformed"),
        ("/CN=host/example.org", "name_malformed"),
        ("CN", "name_malformed"),
        ("CN=a,", "name_malformed"),
        ("CN=a,,O=b", "name_malformed"),
        ("CN=#0C0161", "name_malformed"),
        ('CN="a"', "name_malformed"),
        ("CN=a;O=b", "name_malformed"),
        ("CN=a<b", "name_malformed"),
        ("CN=a>b", "name_malformed"),
        ("CN=a\\", "name_malformed"),
        (r"CN=a\z", "name_malformed"),
        (r"CN=a\4", "name_malformed"),
        (r"CN=a\4g", "name_malformed"),
        (r"CN=\FF", "name_malformed"),
        ("/O=\ud800", "name_malformed"),
        ("O=\ud800", "name_malformed"),
        ("/XX=a", "name_attribute_unknown"),
        ("/2.5.4.3=a", "name_attribute_unknown"),
        ("/CN=a/b=c", "name_attribute_unknown"),
        (r"/CN=a\x20b", "name_backslash"),
        ("CN=a+O=b", "name_multivalued"),
        ("/CN=" + "a" * MAX_NAME_LENGTH, "name_too_long"),
        ("/DC=caf\u00e9", "name_not_ascii"),
        ("/serialNumber=\u00e9", "name_not_ascii"),
        ("/serialNumber=a@b", "name_character"),
        ("/dnQualifier=a_b", "name_character"),
        ("/C=_a", "name_character"),
    ],
)
def test_what_is_not_read(text: str, code: str) -> None:
    with pytest.raises(NameRefusedError) as refused:
        DistinguishedName.parse(text)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


@given(
    st.one_of(
        ANY_TEXT, ANY_TEXT.map("/CN=".__add__), st.text(max_size=40), st.text(alphabet='CNO=,+\\/ #"aF0', max_size=30)
    )
)
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        name = DistinguishedName.parse(text)
    except NameRefusedError as error:
        assert error.code.startswith("name_")  # noqa: PT017 - to be read is well, too
        return
    assert x509.Name.from_bytes(name.der).public_bytes() == name.der
    assert name.slash == libcrypto.oneline(name.der)
    assert name.rfc4514 == libcrypto.rfc2253(name.der)


@given(st.lists(st.tuples(st.sampled_from(SHORT_NAMES), ANY_TEXT), max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_is_built_of_pairs_can_be_parsed_again(pairs: list[tuple[str, str]]) -> None:
    found = [(oid, value) for short, value in pairs if (oid := attribute_type(short)) is not None]
    try:
        name = DistinguishedName.from_pairs(found)
    except NameRefusedError:
        return
    assert DistinguishedName(x509.Name.from_bytes(name.der)).pairs == found


@given(mintable_names())
@settings(max_examples=50, deadline=None)
def test_a_value_reads_alike_whatever_its_string_type(name: DistinguishedName) -> None:
    attributes = [(oid.dotted_string, value) for oid, value in name.pairs]
    wide = der.name(*(der.Attribute(oid, der.BMP, value.encode("utf-16-be")) for oid, value in attributes))
    plain = der.name(*(der.Attribute(oid, der.UTF8, value.encode()) for oid, value in attributes))
    assert foreign(wide).pairs == foreign(plain).pairs == name.pairs
    assert foreign(wide).rfc4514 == foreign(plain).rfc4514 == name.rfc4514
    with pytest.raises(NameRefusedError, match="string type") as refused:
        require_mintable(foreign(wide))
    assert refused.value.code == "name_encoding"


def test_equality_is_of_the_encoding() -> None:
    utf8, printable = (foreign(der.name(der.Attribute(CN, tag, b"Jane"))) for tag in (der.UTF8, der.PRINTABLE))
    assert utf8 != printable
    assert utf8.slash == printable.slash
    assert utf8.canonical == printable.canonical
    assert {utf8, DistinguishedName.parse("/CN=Jane")} == {utf8}
    assert utf8 != "/CN=Jane"
    assert str(utf8) == "/CN=Jane"
    assert repr(utf8) == "DistinguishedName('/CN=Jane')"


def test_a_long_name_is_read_in_linear_time() -> None:
    for text in (
        "," * MAX_NAME_LENGTH,
        "\\" * MAX_NAME_LENGTH,
        "CN=" + " " * (MAX_NAME_LENGTH - 3),
        "/" * MAX_NAME_LENGTH,
    ):
        with pytest.raises(NameRefusedError):
            require_mintable(DistinguishedName.parse(text))
