"""Distinguished names in both textual forms.

The same name has two forms, and mixing them up has broken real sites: the *slash form* of OpenSSL's
``X509_NAME_oneline`` (``/DC=ch/DC=cern/CN=Jane``, root first), which the grid's map files use, and RFC 4514 in
OpenSSL's dialect (``CN=Jane,DC=cern,DC=ch``, most specific first). :class:`DistinguishedName` prints both exactly as
OpenSSL does for any parsed name (types that :mod:`proxy_gen.attributes` does not name are printed by their number);
it parses only what it prints unambiguously and refuses the rest with a reason.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import cached_property

from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from proxy_gen.attributes import attribute_type, short_name
from proxy_gen.der import content_of
from proxy_gen.errors import NameRefusedError

# A name longer than this is no name of a person or a service; consumers keep it in buffers of 1 KiB and less.
MAX_NAME_LENGTH = 512
_PRINTABLE_ASCII = range(0x20, 0x7F)
# what `X509_NAME_oneline` prints as it is: nearly every value
_PLAIN = re.compile(r"[ -*,-.0-~]*")
_RFC2253_SPECIAL = frozenset(',+"\\<>;')
# what RFC 4514 section 2.4 lets a backslash stand before; `=` is read although OpenSSL does not print it escaped
_ESCAPABLE = _RFC2253_SPECIAL | frozenset("=# ")
_HEX = frozenset("0123456789abcdefABCDEF")
# string types whose content octets are not the UTF-8 of their text; OpenSSL's oneline prints the octets
_WIDE_ENCODINGS = {_ASN1Type.BMPString: "utf-16-be", _ASN1Type.UniversalString: "utf-32-be"}
# string types whose octets OpenSSL reads as Latin-1, while `cryptography` reads UTF-8
_LATIN_1_TYPES = frozenset({_ASN1Type.T61String, _ASN1Type.IA5String})
# the types that OpenSSL folds when it makes a name canonical (ASN1_MASK_CANON); others are hashed as they are
_FOLDED_TYPES = frozenset(
    {
        _ASN1Type.UTF8String,
        _ASN1Type.BMPString,
        _ASN1Type.UniversalString,
        _ASN1Type.PrintableString,
        _ASN1Type.T61String,
        _ASN1Type.IA5String,
        _ASN1Type.VisibleString,
    }
)
_ASCII_SPACE = " \t\n\v\f\r"
# members by names of their own, for until Python 3.12 an enumeration looks each up by a call
_UTF8_STRING, _PRINTABLE_STRING_TYPE = _ASN1Type.UTF8String, _ASN1Type.PrintableString
# X.680 section 41.4
_PRINTABLE_STRING = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")


class DistinguishedName:
    """An X.501 name, kept as the very value that was parsed, so that it is encoded again byte for byte.

    Two are equal when their DER encodings are; :attr:`canonical` is what OpenSSL compares.
    """

    def __init__(self, name: x509.Name) -> None:
        self.name = name
        self.known_mintable = False  # name_rules remembers its good verdict here: a name does not change

    @classmethod
    def parse(cls, text: str) -> DistinguishedName:
        """Parse either textual form; a leading slash tells them apart.

        Raises :class:`NameRefusedError` for what is not a name, and for a name that the two forms cannot both say
        (multi-valued RDNs, a slash in a value, attribute types without a short name).
        """
        if len(text) > MAX_NAME_LENGTH:
            raise NameRefusedError("name_too_long", f"the name has more than {MAX_NAME_LENGTH} characters")
        pairs = _parse_slash(text) if text.startswith("/") else _parse_rfc4514(text)
        return cls.from_pairs(pairs)

    @classmethod
    def from_pairs(cls, pairs: list[tuple[x509.ObjectIdentifier, str]]) -> DistinguishedName:
        """Build a name from (attribute type, value) pairs, root first, one per RDN.

        Strings are encoded as RFC 5280 has it: UTF8String, but IA5String for DC and e-mail, PrintableString for C.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the lengths that it warns of are refused by name_rules
            return cls(x509.Name([_attribute(oid, value) for oid, value in pairs]))

    @property
    def pairs(self) -> list[tuple[x509.ObjectIdentifier, str]]:
        """The (attribute type, value) pairs, root first."""
        return [(attribute.oid, text_of(attribute)) for attribute in self.name]

    @cached_property
    def der(self) -> bytes:
        """The DER encoding."""
        return self.name.public_bytes()

    @cached_property
    def slash(self) -> str:
        r"""The slash form, as ``X509_NAME_oneline`` and Globus print it; octets outside printable ASCII as ``\xHH``."""
        return "".join("/" + "+".join(map(_oneline_attribute, rdn)) for rdn in self.name.rdns)

    @cached_property
    def rfc4514(self) -> str:
        r"""The form of ``openssl x509 -nameopt RFC2253``: most specific first, non-ASCII as ``\HH`` octets."""
        rdns = ("+".join(_rfc2253_attribute(a) for a in reversed(list(rdn))) for rdn in reversed(self.name.rdns))
        return ",".join(rdns)

    @cached_property
    def canonical(self) -> bytes:
        """What is equal for names that OpenSSL takes for the same (``x509_name_canon`` in crypto/x509/x_name.c).

        The RDNs one after the other, without the outer SEQUENCE; strings are UTF8String, in lower case, with runs of
        white space folded.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # lengths do not matter here
            folded = (x509.Name([x509.RelativeDistinguishedName(map(_fold, rdn))]) for rdn in self.name.rdns)
            return b"".join(content_of(rdn.public_bytes()) for rdn in folded)

    def child(self, common_name: str) -> DistinguishedName:
        """Return this name, byte for byte, with one more RDN: a proxy's subject (RFC 3820 section 3.4)."""
        rdn = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        return DistinguishedName(x509.Name([*self.name.rdns, rdn]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DistinguishedName) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __str__(self) -> str:
        return self.slash

    def __repr__(self) -> str:
        return f"DistinguishedName({self.slash!r})"


def text_of(attribute: x509.NameAttribute[str | bytes]) -> str:
    """Return an attribute's value as OpenSSL reads it; a bit string in hexadecimal."""
    value = attribute.value
    if isinstance(value, bytes):
        return value.hex()
    return value.encode().decode("latin-1") if attribute._type in _LATIN_1_TYPES else value


def _attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    """Return an attribute whose value can be encoded in its string type: `cryptography` writes it unchecked."""
    try:
        value.encode()
        attribute = x509.NameAttribute(oid, value, _validate=False)
    except UnicodeEncodeError:
        raise NameRefusedError("name_malformed", "a value has half of a surrogate pair") from None
    if attribute._type is _UTF8_STRING:
        return attribute
    short = short_name(oid) or oid.dotted_string
    if not value.isascii():
        raise NameRefusedError("name_not_ascii", f"the value of {short} has non-ASCII characters")
    if attribute._type is _PRINTABLE_STRING_TYPE and not _PRINTABLE_STRING.issuperset(value):
        raise NameRefusedError("name_character", f"the value of {short} has characters that its string type has not")
    return attribute


def _fold(attribute: x509.NameAttribute[str | bytes]) -> x509.NameAttribute[str | bytes]:
    if attribute._type not in _FOLDED_TYPES or not isinstance(attribute.value, str):
        return attribute
    text = re.sub(f"[{_ASCII_SPACE}]+", " ", text_of(attribute).strip(_ASCII_SPACE))
    lowered = "".join(character.lower() if character.isascii() else character for character in text)
    return x509.NameAttribute(attribute.oid, lowered, _type=_ASN1Type.UTF8String, _validate=False)


def _octets(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    if isinstance(attribute.value, bytes):
        return attribute.value[1:]  # the first octet of a bit string counts the unused bits
    return attribute.value.encode(_WIDE_ENCODINGS.get(attribute._type, "utf-8"))


def _oneline_attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    if not isinstance(value, str) or not _PLAIN.fullmatch(value) or attribute._type in _WIDE_ENCODINGS:
        value = "".join(map(_oneline_octet, _octets(attribute)))
    return f"{short_name(attribute.oid) or attribute.oid.dotted_string}={value}"


def _oneline_octet(octet: int) -> str:
    if octet in b"/+":
        return "\\" + chr(octet)  # so that a value never looks like another component (OpenSSL 3)
    return chr(octet) if octet in _PRINTABLE_ASCII else f"\\x{octet:02X}"


def _rfc2253_attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    short = short_name(attribute.oid)
    if short is None or isinstance(attribute.value, bytes):
        # the value of a type without a name is its DER in hexadecimal (RFC 4514 section 2.4)
        wrapped = x509.Name([x509.RelativeDistinguishedName([attribute])]).public_bytes()
        value_der = _value_der(wrapped)
        return f"{short or attribute.oid.dotted_string}=#{value_der.hex().upper()}"
    return f"{short}={_rfc2253_value(text_of(attribute))}"


def _value_der(name_der: bytes) -> bytes:
    """Return the attribute value's own DER out of a Name with one attribute: SEQUENCE{SET{SEQUENCE{OID, value}}}."""
    rest = name_der
    for _ in range(3):
        rest = content_of(rest)
    oid_length = 2 + rest[1]  # an object identifier of a name attribute is far below 128 octets
    return rest[oid_length:]


def _rfc2253_value(value: str) -> str:
    out = []
    for position, character in enumerate(value):
        outer_space = character == " " and position in (0, len(value) - 1)
        hash_sign = character == "#" and position == 0 and len(value) > 1  # alone, OpenSSL prints it bare
        if character in _RFC2253_SPECIAL or outer_space or hash_sign:
            out.append("\\" + character)
        elif ord(character) in _PRINTABLE_ASCII:
            out.append(character)
        else:
            out.extend(f"\\{octet:02X}" for octet in character.encode())
    return "".join(out)


def _pair(component: str) -> tuple[x509.ObjectIdentifier, str]:
    key, equals, value = component.partition("=")
    if not equals:
        raise NameRefusedError(
            "name_malformed", f"'{_shown(component)}' is not of the form TYPE=value; a value cannot hold a slash"
        )
    oid = attribute_type(key.strip())
    if oid is None:
        raise NameRefusedError("name_attribute_unknown", f"unknown attribute type '{_shown(key)}' in a name")
    return oid, value


def _shown(text: str) -> str:
    """Return a piece of a bad name as it can stand in a one-line message."""
    return ascii(text[:40])[1:-1]


def _parse_slash(text: str) -> list[tuple[x509.ObjectIdentifier, str]]:
    if "\\" in text:
        # `\xHH` is how OpenSSL prints an octet that it cannot show; it does not say whether the backslash was real
        raise NameRefusedError("name_backslash", "a name in slash form cannot hold a backslash")
    return [_pair(component) for component in text[1:].split("/")]


def _parse_rfc4514(text: str) -> list[tuple[x509.ObjectIdentifier, str]]:
    if not text:
        raise NameRefusedError("name_empty", "the name is empty")
    pairs = []
    for component in _split_rdns(text):
        oid, raw = _pair(component.lstrip(" "))
        pairs.append((oid, _unescape(raw)))
    return pairs[::-1]


def _split_rdns(text: str) -> Iterator[str]:
    start = position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == ",":
            yield text[start:position]
            start = position + 1
        elif character == "+":
            raise NameRefusedError("name_multivalued", "a name with several values in one RDN is not taken")
        elif character in '"<>;':
            raise NameRefusedError("name_malformed", f"an unescaped {character} in a name")
        position += 1
    yield text[start:]


def _unescape(raw: str) -> str:
    """Undo RFC 4514 section 2.4: drop white space around the value that no backslash protects, resolve escapes."""
    raw = raw.lstrip(" ")
    if raw.startswith("#") and raw.rstrip(" ") != "#":
        raise NameRefusedError("name_malformed", "a value in hexadecimal DER is not taken")
    octets = bytearray()
    end = 0  # up to where the value reaches: behind its last character that is not a bare space
    position = 0
    while position < len(raw):
        if raw[position] == "\\":
            piece, position = _escape(raw, position + 1)
            octets += piece
            end = len(octets)
            continue
        octets += raw[position].encode(errors="surrogatepass")
        if raw[position] != " ":
            end = len(octets)
        position += 1
    try:
        return octets[:end].decode()
    except UnicodeDecodeError:
        raise NameRefusedError("name_malformed", "a value is not UTF-8") from None


def _escape(raw: str, position: int) -> tuple[bytes, int]:
    """Return the octets that the escape at ``position`` (behind its backslash) stands for, and where it ends."""
    if raw[position : position + 1] in _ESCAPABLE and raw[position : position + 1]:
        return raw[position].encode(), position + 1
    pair = raw[position : position + 2]
    if len(pair) == 2 and _HEX.issuperset(pair):  # noqa: PLR2004 - two hexadecimal digits are one octet
        return bytes.fromhex(pair), position + 2
    raise NameRefusedError("name_malformed", "a backslash in a name stands before no character that it can escape")
