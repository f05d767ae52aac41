"""CRLs that say anything, signed by anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from proxy_gen.ca import CertificateAuthority, authority_key_identifier
from proxy_gen.keys import PrivateKey
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, HOUR, NOW
from tests.proxy_gen.forge import Extension, signed_by


@dataclass(frozen=True)
class Entry:
    """A revoked serial number, and the extensions of its entry."""

    serial: int
    extensions: tuple[Extension, ...] = ()

    @property
    def encoded(self) -> bytes:
        extensions = der.sequence(*(e.encoded for e in self.extensions)) if self.extensions else b""
        return der.sequence(der.integer(self.serial), der.time(NOW - HOUR), extensions)


@dataclass(frozen=True)
class DraftCrl:
    """What a CRL is to say; `dataclasses.replace` and the methods below change it."""

    issuer: bytes
    extensions: tuple[Extension, ...]
    this_update: datetime = NOW - HOUR
    next_update: datetime | None = NOW + DAY
    entries: tuple[Entry, ...] = ()
    version: int = 2
    hash: str = "sha256"

    @classmethod
    def of(cls, ca: CertificateAuthority) -> DraftCrl:
        """Start from what a CA's empty CRL says."""
        known = Extension.of(authority_key_identifier(ca.certificate))
        return cls(ca.certificate.subject.public_bytes(), (known, Extension("2.5.29.20", der.integer(1))))

    def listing(self, *serials: int) -> DraftCrl:
        return replace(self, entries=(*self.entries, *map(Entry, serials)))

    def having(self, *extensions: Extension) -> DraftCrl:
        """Set extensions, each in the place of one of its type or at the end."""
        new = {extension.oid: extension for extension in extensions}
        kept = tuple(new.pop(extension.oid, extension) for extension in self.extensions)
        return replace(self, extensions=(*kept, *new.values()))

    def also(self, extension: Extension) -> DraftCrl:
        """Append an extension, even a second one of its type."""
        return replace(self, extensions=(*self.extensions, extension))

    def sign(self, key: PrivateKey) -> bytes:
        extensions = der.sequence(*(e.encoded for e in self.extensions))
        return signed_by(
            key,
            self.hash,
            lambda algorithm: der.sequence(
                der.integer(self.version - 1) if self.version > 1 else b"",
                algorithm,
                self.issuer,
                der.time(self.this_update),
                der.time(self.next_update) if self.next_update else b"",
                der.sequence(*(entry.encoded for entry in self.entries)) if self.entries else b"",
                der.tlv(0xA0, extensions) if self.version > 1 else b"",
            ),
        )

    def pem(self, key: PrivateKey) -> bytes:
        return der.pem("X509 CRL", self.sign(key))
