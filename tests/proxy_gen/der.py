"""DER by hand (X.690): for names and certificates that no builder would make."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UTF8, NUMERIC, PRINTABLE, T61, VIDEOTEX, IA5 = 0x0C, 0x12, 0x13, 0x14, 0x15, 0x16
UTC_TIME, GENERALIZED_TIME, VISIBLE, GENERAL, UNIVERSAL, BMP = 0x17, 0x18, 0x1A, 0x1B, 0x1C, 0x1E
SEQUENCE, SET = 0x30, 0x31

TRUE = bytes([BOOLEAN, 1, 0xFF])


def tlv(tag: int, *contents: bytes) -> bytes:
    """Encode one value: tag, length, and the contents one after the other."""
    body = b"".join(contents)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*contents: bytes) -> bytes:
    return tlv(SEQUENCE, *contents)


def integer(value: int) -> bytes:
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OID, *(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(arc: int) -> bytes:
    septets = [arc & 0x7F]
    while arc := arc >> 7:
        septets.append(0x80 | arc & 0x7F)
    return bytes(reversed(septets))


def time(moment: datetime) -> bytes:
    """Encode a time as RFC 5280 section 4.1.2.5 has it; the year 1 stands for the year 0, which `datetime` lacks."""
    if moment.year == 1:
        return tlv(GENERALIZED_TIME, f"0000{moment:%m%d%H%M%SZ}".encode())
    if moment.year < 2050:
        return tlv(UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())
    return tlv(GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode())


@dataclass(frozen=True)
class Attribute:
    """An attribute of a name: type, ASN.1 string type, and the octets of the value."""

    oid: str
    tag: int
    octets: bytes

    @property
    def encoded(self) -> bytes:
        return sequence(oid(self.oid), tlv(self.tag, self.octets))


def name(*rdns: Attribute | Iterable[Attribute]) -> bytes:
    """Encode a name, root first; an RDN of several attributes is sorted as DER has it."""
    sets = [[rdn] if isinstance(rdn, Attribute) else list(rdn) for rdn in rdns]
    return sequence(*(tlv(SET, *sorted(attribute.encoded for attribute in rdn)) for rdn in sets))


def pem(label: str, octets: bytes) -> bytes:
    """Wrap octets as PEM (RFC 7468)."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(octets).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    """Encode an extension, whose value may be anything."""
    return sequence(oid(dotted), TRUE if critical else b"", tlv(OCTET_STRING, value))
