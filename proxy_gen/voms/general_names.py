"""The GeneralNames (RFC 5280 section 4.2.1.6) that attribute certificates hold: directory names and URIs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.name import _ASN1Type

from proxy_gen.names import DistinguishedName
from proxy_gen.voms.structures import DirectoryName, NameAttribute

_DIRECTORY_NAME = b"\xa4"
_URI = b"\x86"
_SEQUENCE = b"\x30"
# as `cryptography` reads a certificate's names: the other types as UTF-8, whatever they are called
_WIDE_ENCODINGS = {_ASN1Type.BMPString: "utf-16-be", _ASN1Type.UniversalString: "utf-32-be"}


def directory_name(name: x509.Name) -> asn1.TLV:
    """Return a distinguished name, its bytes as they are."""
    return _tlv(_DIRECTORY_NAME, name.public_bytes())


def uri(text: str) -> asn1.TLV:
    """Return a URI."""
    return _tlv(_URI, text.encode("ascii"))


def read_directory_name(names: Sequence[asn1.TLV]) -> DistinguishedName:
    """Return the one directory name that is there. Raises ValueError for anything else."""
    der = asn1.encode_der(_only(names, _DIRECTORY_NAME))
    decoded = asn1.decode_der(DirectoryName, _SEQUENCE + der[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lengths: it is compared, not minted
        rdns = [x509.RelativeDistinguishedName(map(_attribute, rdn.as_list())) for rdn in decoded.rdns]
    return DistinguishedName(x509.Name(rdns))


def read_uri(names: Sequence[asn1.TLV]) -> str:
    """Return the one URI that is there. Raises ValueError for anything else."""
    text = bytes(_only(names, _URI).data).decode("ascii")
    if not text.isprintable():
        raise ValueError("a control character in a URI")
    return text


def same_name(one: DistinguishedName, other: DistinguishedName) -> bool:
    """Tell whether two names are one, as OpenSSL's ``X509_NAME_cmp`` does for VOMS: VOMS servers respell names."""
    if len(one.name.rdns) != len(other.name.rdns):
        return False  # told without folding a name of ten thousand components
    return one == other or one.canonical == other.canonical


def _only(names: Sequence[asn1.TLV], tag: bytes) -> asn1.TLV:
    if len(names) != 1 or names[0].tag_bytes != tag:
        raise ValueError("not one general name of the kind that must be here")
    return names[0]


def _attribute(attribute: NameAttribute) -> x509.NameAttribute[str | bytes]:
    (tag,) = attribute.value.tag_bytes
    kind, octets = _ASN1Type(tag), bytes(attribute.value.data)
    if kind is _ASN1Type.BitString:
        return x509.NameAttribute(attribute.type, octets, _type=kind, _validate=False)
    text = octets.decode(_WIDE_ENCODINGS.get(kind, "utf-8"))
    return x509.NameAttribute(attribute.type, text, _type=kind, _validate=False)


def _tlv(tag: bytes, content: bytes) -> asn1.TLV:
    length = len(content)
    if length < 0x80:  # noqa: PLR2004 - X.690 section 8.1.3, the short form
        octets = bytes([length])
    else:
        long = length.to_bytes((length.bit_length() + 7) // 8)
        octets = bytes([0x80 | len(long)]) + long
    return asn1.decode_der(asn1.TLV, tag + octets + content)
