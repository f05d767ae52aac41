"""The attribute types of distinguished names, under the short names that OpenSSL and Globus print."""

from __future__ import annotations

from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID

# OpenSSL's short names (crypto/objects/objects.txt). They are what both textual forms use, for consumers compare text.
_SHORT_NAMES: dict[str, ObjectIdentifier] = {
    "CN": NameOID.COMMON_NAME,
    "SN": NameOID.SURNAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "street": NameOID.STREET_ADDRESS,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "title": NameOID.TITLE,
    "postalCode": NameOID.POSTAL_CODE,
    "GN": NameOID.GIVEN_NAME,
    "initials": NameOID.INITIALS,
    "generationQualifier": NameOID.GENERATION_QUALIFIER,
    "dnQualifier": NameOID.DN_QUALIFIER,
    "pseudonym": NameOID.PSEUDONYM,
    "UID": NameOID.USER_ID,
    "DC": NameOID.DOMAIN_COMPONENT,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
# Other spellings met in real grid-mapfiles; they are read, never printed.
_ALIASES = {"E": "emailAddress", "EMAIL": "emailAddress", "USERID": "UID"}

_BY_OID = {oid: short for short, oid in _SHORT_NAMES.items()}
_BY_TEXT = {short.upper(): oid for short, oid in _SHORT_NAMES.items()} | {
    alias: _SHORT_NAMES[short] for alias, short in _ALIASES.items()
}

# Upper bounds on values, in characters (RFC 5280 appendix A.1). 64 where it names none that is tighter.
_UPPER_BOUNDS = {
    NameOID.EMAIL_ADDRESS: 255,
    NameOID.USER_ID: 256,
    NameOID.DOMAIN_COMPONENT: 63,
    NameOID.LOCALITY_NAME: 128,
    NameOID.STATE_OR_PROVINCE_NAME: 128,
    NameOID.STREET_ADDRESS: 128,
}
_DEFAULT_UPPER_BOUND = 64


def short_name(oid: ObjectIdentifier) -> str | None:
    """Return OpenSSL's short name of an attribute type, or None where it is not one of ours."""
    return _BY_OID.get(oid)


def attribute_type(text: str) -> ObjectIdentifier | None:
    """Return the attribute type that a short name (in any letter case) or an alias stands for."""
    return _BY_TEXT.get(text.upper())


def upper_bound(oid: ObjectIdentifier) -> int:
    """Return how many characters a value of this type may have."""
    return _UPPER_BOUNDS.get(oid, _DEFAULT_UPPER_BOUND)
