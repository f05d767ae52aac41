"""Credential files: a certificate, its key and the chain below the CA, in one PEM file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.errors import CredentialFileError, KeyRefusedError
from proxy_gen.keys import PrivateKey, PublicKey, certificate_key, load_private_key, private_pem

# A proxy with its chain is some 6 KiB, with attribute certificates of several VOs 20 KiB.
MAX_FILE_BYTES = 256 * 1024
# OpenSSL verifies no longer chains by default; nobody delegates so deep.
MAX_CHAIN = 32
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n[^-]*-----END \1-----")
# the second is what OpenSSL reads as well
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE")
# in the block's label (PKCS#8), or its header (PKCS#1)
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)
# RFC 5280 section 4.1.2.2 has 20 octets; what is far beyond could not even be printed
_MAX_SERIAL_BITS = 1024
_KEY_LABELS = (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY")


@dataclass(frozen=True)
class Credential:
    """A chain, leaf first, up to the end-entity certificate (the CA may follow), and the leaf's key if it is here."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey | None = None

    def __post_init__(self) -> None:
        if not self.chain:
            raise CredentialFileError("credential_empty", "no certificate is in the credential")
        if self.key is not None and self.key.public_key() != _leaf_key(self.chain[0]):
            raise CredentialFileError("key_mismatch", "the private key is not the key of the first certificate")

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that the holder acts with."""
        return self.chain[0]

    def to_pem(self) -> bytes:
        """Return the file in the order that all consumers read: leaf, its key, then the chain, each once."""
        above = [certificate for certificate in self.chain if certificate != self.leaf]
        return credential_file(self.leaf.public_bytes(serialization.Encoding.PEM), self.key, chain_pem(above))

    @classmethod
    def parse(cls, pem: bytes) -> Credential:
        """Parse a credential file: certificates in their order, at most one key, wherever it stands.

        Raises :class:`CredentialFileError`: ``credential_too_large``, ``credential_empty``,
        ``credential_malformed``, ``key_malformed``, ``key_encrypted``, ``key_weak``, ``key_mismatch``.
        """
        if len(pem) > MAX_FILE_BYTES:
            raise CredentialFileError("credential_too_large", f"the file has more than {MAX_FILE_BYTES} bytes")
        if _ENCRYPTED.search(pem):
            raise CredentialFileError("key_encrypted", "the private key is encrypted; a proxy's is not")
        certificates, keys = _blocks(pem)
        if len(certificates) > MAX_CHAIN:
            raise CredentialFileError("credential_too_large", f"more than {MAX_CHAIN} certificates are in the file")
        if len(keys) > 1:
            raise CredentialFileError("credential_malformed", "more than one private key is in the file")
        if not certificates:
            raise CredentialFileError("credential_empty", "no PEM certificate is in the file")
        return cls(tuple(_certificate(block) for block in certificates), _key(keys[0]) if keys else None)


def credential_file(leaf: bytes, key: PrivateKey | None, above: bytes) -> bytes:
    """Put a file together: the leaf's PEM, its key, and the PEM of the chain above it, in which the leaf is not."""
    return leaf + (b"" if key is None else private_pem(key)) + above


def chain_pem(chain: Iterable[x509.Certificate]) -> bytes:
    """Return the PEM of certificates in their order, each once: XRootD refuses one that is there twice."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in dict.fromkeys(chain))


def _blocks(pem: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the PEM blocks of certificates and of keys."""
    certificates, keys = [], []
    blocks = list(_BLOCK.finditer(pem))
    if len(blocks) != pem.count(b"-----BEGIN "):  # a file cut short is not a shorter chain
        raise CredentialFileError("credential_malformed", "a PEM block in the file has no end or no sound begin")
    for block in blocks:
        label = block.group(1)
        if label in _CERTIFICATE_LABELS:
            certificates.append(block.group(0).replace(b"X509 CERTIFICATE-----", b"CERTIFICATE-----"))
        elif label in _KEY_LABELS:
            keys.append(block.group(0))
        elif label.endswith(b"CERTIFICATE"):  # to leave it out would make another chain
            raise CredentialFileError("credential_malformed", "a certificate in the file is in a form not taken")
    return certificates, keys


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.public_key()
        # decoded on first use; a malformed one must be found here
        certificate.subject, certificate.issuer, certificate.extensions  # noqa: B018
        certificate.not_valid_before_utc, certificate.not_valid_after_utc  # noqa: B018
    except Exception:  # noqa: BLE001 - the parser's errors are of many types, and each means the same here
        raise CredentialFileError("credential_malformed", "a certificate in the file is malformed") from None
    if certificate.serial_number.bit_length() > _MAX_SERIAL_BITS:
        raise CredentialFileError("credential_malformed", "a certificate in the file has an outsized serial number")
    return certificate


def _key(pem: bytes) -> PrivateKey:
    try:
        return load_private_key(pem)
    except KeyRefusedError as error:
        raise CredentialFileError(error.code, str(error)) from None


def _leaf_key(leaf: x509.Certificate) -> PublicKey:
    try:
        return certificate_key(leaf)
    except KeyRefusedError as error:
        raise CredentialFileError(error.code, str(error)) from None
