"""Server certificates, for the loopback address by default, which the CA under test has no business to issue."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificateIssuerPublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_encipherment=True,
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
# XRootD and MyProxy are clients too, with the same certificate
_PURPOSES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
_LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True)
class HostCredential:
    """A server's certificate and key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def dn(self) -> str:
        """The subject in slash form, as `MYPROXY_SERVER_DN` wants it."""
        return "".join(f"/{rdn.rfc4514_string()}" for rdn in self.certificate.subject.rdns)

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write `hostcert.pem` and `hostkey.pem`, the key for its owner only."""
        certificate, key = directory / "hostcert.pem", directory / "hostkey.pem"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return certificate, key


def issue_host(
    ca_certificate: x509.Certificate,
    ca_key: CertificateIssuerPrivateKeyTypes,
    *,
    now: datetime | None = None,
    lifetime: timedelta = timedelta(days=1),
    names: Sequence[str] = (_LOCALHOST,),
) -> HostCredential:
    """Issue a server certificate for names beside the people of a CA (same name space; the first name is its CN).

    It is as old as it will become, for clients whose clock is set back.
    """
    moment = now or datetime.now(UTC)
    key = rsa.generate_private_key(65537, 2048)
    above = [rdn for rdn in ca_certificate.subject.rdns if rdn.rfc4514_string()[:3] != "CN="]
    subject = x509.Name([*above, x509.RelativeDistinguishedName([_common_name(names[0])])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(moment - lifetime, ca_certificate.not_valid_before_utc))
        .not_valid_after(min(moment + lifetime, ca_certificate.not_valid_after_utc))
    )
    for extension, critical in _extensions(key.public_key(), ca_key.public_key(), names):
        builder = builder.add_extension(extension, critical=critical)
    digest = None if isinstance(ca_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return HostCredential(builder.sign(ca_key, digest), key)


def _common_name(value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(x509.NameOID.COMMON_NAME, value)


def _alternatives(names: Sequence[str]) -> Iterator[x509.GeneralName]:
    yield from map(x509.DNSName, names)
    if _LOCALHOST in names:
        yield x509.IPAddress(IPv4Address("127.0.0.1"))


def _extensions(
    own: rsa.RSAPublicKey, issuer: CertificateIssuerPublicKeyTypes, names: Sequence[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_USAGE, True),
        (_PURPOSES, False),
        (x509.SubjectAlternativeName(list(_alternatives(names))), False),
        (x509.SubjectKeyIdentifier.from_public_key(own), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
    ]
