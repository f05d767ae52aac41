"""Credentials for tests: good ones as our library makes them, and bad ones that it would not."""

from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, PrivateKey, generate_key, public_der, require_strong, signature_hash
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind, issue_proxy
from proxy_gen.trust import TrustedAuthority, trust_directory

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_RING = 3
_KEYS: dict[KeyKind, deque[PrivateKey]] = {}


def authority(dn: str, kind: KeyKind = KeyKind.P_256) -> CertificateAuthority:
    """Make a CA that has existed for a month, so that what it signed can be of yesterday."""
    subject = DistinguishedName.parse(dn)
    return CertificateAuthority.create(subject, kind, now=datetime.now(UTC) - 30 * DAY, lifetime=60 * DAY)


def write_trust(directory: Path, *trusted: TrustedAuthority) -> Path:
    """Write a trust directory that every user may read."""
    directory.mkdir()
    directory.chmod(0o755)
    for name, content in trust_directory(trusted).items():
        (directory / name).write_bytes(content)
    return directory


def end_entity(
    ca: CertificateAuthority,
    dn: str,
    kind: KeyKind = KeyKind.P_256,
    *,
    now: datetime | None = None,
    lifetime: timedelta = DAY,
) -> Credential:
    """Make somebody's certificate and key."""
    key = generate_key(kind)
    moment = now or datetime.now(UTC)
    certificate = ca.issue_eec(DistinguishedName.parse(dn), key.public_key(), now=moment, lifetime=lifetime)
    return Credential((certificate,), key)


def delegate(
    parent: Credential,
    proxy: ProxyKind = ProxyKind.FULL,
    *,
    path_length: int | None = None,
    key: KeyKind = KeyKind.RSA_2048,
    now: datetime | None = None,
    lifetime: timedelta = HOUR,
) -> Credential:
    """Make a proxy below a certificate or another proxy, with its chain."""
    own = another_key(key, parent)
    certificate = issue_proxy(
        parent.leaf,
        key_of(parent),
        own.public_key(),
        now=now or datetime.now(UTC),
        lifetime=lifetime,
        kind=proxy,
        path_length=path_length,
    )
    return Credential((certificate, *parent.chain), own)


def another_key(kind: KeyKind, parent: Credential) -> PrivateKey:
    """Return one of a few keys that is not the parent's: to make a thousand RSA keys would be what takes the time."""
    if kind not in _KEYS:
        _KEYS[kind] = deque(generate_key(kind) for _ in range(_RING))
    ring = _KEYS[kind]
    ring.rotate()
    if public_der(ring[0].public_key()) == public_der(key_of(parent).public_key()):
        ring.rotate()
    return ring[0]


def key_of(credential: Credential) -> PrivateKey:
    """Return the key of a credential that has one."""
    assert credential.key is not None
    return credential.key


def write_private(file: Path, pem: bytes, *, mode: int = 0o600) -> Path:
    """Write a credential file, never readable by others before its mode says so."""
    file.touch(mode=0o600)
    file.write_bytes(pem)
    file.chmod(mode)
    return file


def tampered(credential: Credential) -> Credential:
    """Return a credential whose leaf has one bit of its signature turned over."""
    der = bytearray(credential.leaf.public_bytes(Encoding.DER))
    der[-1] ^= 1  # the signature is the last field; its last octet is the low end of a number in RSA and ECDSA
    return Credential((x509.load_der_x509_certificate(bytes(der)), *credential.chain[1:]), credential.key)


def resigned(
    certificate: x509.Certificate,
    issuer_key: PrivateKey,
    *added: x509.ExtensionType,
    critical: bool = True,
    without: type[x509.ExtensionType] | None = None,
    subject: DistinguishedName | None = None,
    key: rsa.RSAPublicKey | None = None,
) -> x509.Certificate:
    """Sign a certificate's content anew: extensions added or in place of its own, without one, renamed, rekeyed."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.name if subject else certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(key or require_strong(certificate.public_key()))
        .serial_number(certificate.serial_number)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
    )
    gone = {extension.oid for extension in added} | ({without.oid} if without else set())
    for extension in certificate.extensions:
        if extension.oid not in gone:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    for value in added:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(issuer_key, signature_hash(issuer_key))
