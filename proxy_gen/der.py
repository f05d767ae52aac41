"""What of DER (X.690) a certificate is put together from, and PEM around it.

`cryptography` builds each certificate from nothing. Of thousands of proxies under one certificate only a few fields
differ, so :mod:`proxy_gen.proxy` encodes those and keeps the rest as octets: in less than half the time.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat import asn1

BIT_STRING, OCTET_STRING, UTF8_STRING, UTC_TIME, GENERALIZED_TIME = 0x03, 0x04, 0x0C, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_INTEGER = 0x02
_TRUE = b"\x01\x01\xff"
# X.690 section 8.1.3: from this length on, the first octet counts the octets of the length
_LONG_FORM = 0x80
# RFC 5280 section 4.1.2.5: in these years a time is a UTCTime, whose year has two digits
_UTC_TIME_YEARS = range(1950, 2050)
_PEM_LINE = 64  # RFC 7468 section 2


def tlv(tag: int, *contents: bytes) -> bytes:
    """Encode one value: tag, length, and the contents one after the other."""
    content = b"".join(contents)
    size = len(content)
    if size < _LONG_FORM:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + content


def content_of(value: bytes) -> bytes:
    """Return what :func:`tlv` put behind the length."""
    header = 2 if value[1] < _LONG_FORM else 2 + (value[1] & ~_LONG_FORM)
    return value[header:]


def sequence(*contents: bytes) -> bytes:
    """Encode a SEQUENCE of what is encoded already."""
    return tlv(SEQUENCE, *contents)


def integer(value: int) -> bytes:
    """Encode an INTEGER that is not negative: its first bit, the sign, is 0."""
    return tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(identifier: x509.ObjectIdentifier) -> bytes:
    """Encode an OBJECT IDENTIFIER."""
    return asn1.encode_der(identifier)


@lru_cache(maxsize=1000)  # what is signed within a second begins together, and much ends together
def time(moment: datetime) -> bytes:
    """Encode a Time of a certificate (RFC 5280 section 4.1.2.5), without its fraction of a second."""
    utc = moment.astimezone(UTC)
    # to delete from ISO 8601 takes half the time of `strftime`, and its years have four digits everywhere
    digits = utc.isoformat(timespec="seconds").encode().removesuffix(b"+00:00").translate(None, delete=b"-T:")
    if utc.year in _UTC_TIME_YEARS:
        return tlv(UTC_TIME, digits[2:], b"Z")
    return tlv(GENERALIZED_TIME, digits, b"Z")


def extension(value: x509.ExtensionType, *, critical: bool) -> bytes:
    """Encode an Extension (RFC 5280 section 4.1); FALSE is the default of ``critical``, which DER leaves out."""
    return sequence(oid(value.oid), _TRUE if critical else b"", tlv(OCTET_STRING, value.public_bytes()))


def pem(label: str, der: bytes) -> bytes:
    """Wrap octets as PEM (RFC 7468)."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + _PEM_LINE] for start in range(0, len(text), _PEM_LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----\n"]).encode()
