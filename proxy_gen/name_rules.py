"""What a name may be when we put our signature under it.

Consumers differ on the names refused here (they print, compare or map them differently), and two people must never
end with one name. Nothing is transliterated silently.
"""

from __future__ import annotations

from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID

from proxy_gen.attributes import short_name, upper_bound
from proxy_gen.errors import NameRefusedError
from proxy_gen.names import MAX_NAME_LENGTH, DistinguishedName

_COUNTRY_LENGTH = 2
# the last CN of a GT2 proxy: a subject that ends so is taken for a proxy of somebody else
_RESERVED_COMMON_NAMES = frozenset({"proxy", "limited proxy", "restricted proxy"})
_REFUSED_CHARACTERS = {
    "/": "Globus and XRootD print it as the start of another component",
    "+": "it is printed as a multi-valued RDN by some",
    "\\": "it is printed as an escape by some",
}


def require_mintable(name: DistinguishedName) -> None:
    """Raise :class:`NameRefusedError`, with a code for the reason, unless every consumer reads ``name`` alike."""
    if not name.known_mintable:
        _require_mintable(name)
        name.known_mintable = True


def _require_mintable(name: DistinguishedName) -> None:
    if not name.name.rdns:
        raise NameRefusedError("name_empty", "the name is empty")
    if any(len(rdn) > 1 for rdn in name.name.rdns):
        raise NameRefusedError("name_multivalued", "a name with several values in one RDN is not taken")
    pairs = name.pairs
    for oid, value in pairs:
        short = short_name(oid)
        if short is None:
            raise NameRefusedError("name_attribute_unknown", f"unknown attribute type {oid.dotted_string} in a name")
        require_value(short, value, limit=upper_bound(oid))
        if oid == NameOID.COUNTRY_NAME and not (len(value) == _COUNTRY_LENGTH and value.isalpha()):
            raise NameRefusedError("name_country", "C must be two letters")
    if "\\" in name.slash:
        # BMPString and UniversalString hold ASCII text in octets that are not ASCII
        raise NameRefusedError("name_encoding", "the name has a string type that consumers print as octets")
    if len(name.slash) > MAX_NAME_LENGTH:
        raise NameRefusedError("name_too_long", f"the name has more than {MAX_NAME_LENGTH} characters")
    _require_last_common_name(*pairs[-1])


def require_value(short: str, value: str, *, limit: int) -> None:
    """Raise :class:`NameRefusedError` unless ``value`` may stand in a component of type ``short``."""
    if not value.strip():
        raise NameRefusedError("name_value_empty", f"the value of {short} is empty")
    if len(value) > limit:
        raise NameRefusedError("name_value_too_long", f"the value of {short} has more than {limit} characters")
    if not value.isascii():
        raise NameRefusedError("name_not_ascii", f"the value of {short} has non-ASCII characters")
    if not value.isprintable():
        raise NameRefusedError("name_control_character", f"the value of {short} has control characters")
    for character, why in _REFUSED_CHARACTERS.items():
        if character in value:
            raise NameRefusedError("name_character", f"the value of {short} holds '{character}': {why}")
    if value != " ".join(value.split(" ")) or value != value.strip() or "  " in value:
        raise NameRefusedError(
            "name_white_space", f"the value of {short} begins or ends with a space, or has several in a row"
        )


def _require_last_common_name(oid: ObjectIdentifier, value: str) -> None:
    if oid != NameOID.COMMON_NAME:
        return
    if value.isdigit():
        raise NameRefusedError("name_digits", "a last CN of digits only is taken for a proxy's and stripped by ARC")
    if value.lower() in _RESERVED_COMMON_NAMES:
        raise NameRefusedError("name_reserved", f"the last CN '{value}' is reserved for proxies")
