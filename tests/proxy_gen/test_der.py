"""The DER of single fields: as the other writer, the tests' own, and `cryptography` have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from proxy_gen import der
from tests.proxy_gen import der as reference
from tests.proxy_gen.chains import authority


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1 << 20])
def test_a_length_has_one_form(size: int) -> None:
    octets = bytes(size)
    encoded = der.tlv(der.OCTET_STRING, octets[: size // 2], octets[size // 2 :])
    assert encoded == asn1.encode_der(octets) == reference.tlv(reference.OCTET_STRING, octets)
    assert der.content_of(encoded) == octets


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 32_767, 32_768, (1 << 159) - 1, 1 << 152, 1 << 151])
def test_a_number_has_a_sign(number: int) -> None:
    assert der.integer(number) == asn1.encode_der(number)


@given(st.integers(0, 1 << 160))
def test_numbers(number: int) -> None:
    assert der.integer(number) == asn1.encode_der(number)


@pytest.mark.parametrize(
    "text, encoded",
    [
        ("1950-01-01T00:00:00", b"\x17\x0d500101000000Z"),
        ("2026-02-03T04:05:06.999999", b"\x17\x0d260203040506Z"),
        ("2049-12-31T23:59:59", b"\x17\x0d491231235959Z"),
        ("2050-01-01T00:00:00", b"\x18\x0f20500101000000Z"),
        ("9999-12-31T23:59:59", b"\x18\x0f99991231235959Z"),
        ("1949-12-31T23:59:59", b"\x18\x0f19491231235959Z"),
        ("0999-01-01T00:00:00", b"\x18\x0f09990101000000Z"),
    ],
)
def test_a_time(text: str, encoded: bytes) -> None:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    assert der.time(moment) == encoded
    assert der.time(moment.astimezone(timezone(timedelta(hours=-3)))) == encoded


@given(st.binary(min_size=1, max_size=300))
def test_pem_of_any_length(octets: bytes) -> None:
    assert der.pem("DATA", octets) == reference.pem("DATA", octets)


def test_pem_as_cryptography_writes_it() -> None:
    certificate = authority().certificate
    assert der.pem("CERTIFICATE", certificate.public_bytes(Encoding.DER)) == certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("critical", [True, False])
def test_an_extension(critical: bool) -> None:  # noqa: FBT001
    value = x509.BasicConstraints(ca=True, path_length=300)
    expected = reference.extension(value.oid.dotted_string, value.public_bytes(), critical=critical)
    assert der.extension(value, critical=critical) == expected
