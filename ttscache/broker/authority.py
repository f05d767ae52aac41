"""What the broker needs of whoever signs end-entity certificates, and what it publishes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.ca import CertificateAuthority
from proxy_gen.trust import TrustedAuthority, trust_directory
from ttscache.broker.codec import decode_fields, encode_fields
from ttscache.errors import StoreUnavailableError
from ttscache.store.base import ABSENT, ConflictError, Store

# Consumers fetch it daily or so; a week bridges an outage of ours.
_CRL_LIFETIME = timedelta(days=7)
_CRL_RENEW_BEFORE = timedelta(days=6)  # so a new one every day
_KEEP_SECONDS = 10 * 365 * 86400.0


@dataclass(frozen=True)
class Published:
    """What consumers must trust. ``files`` are those of a trust directory."""

    certificate_pem: bytes
    crl_der: bytes
    files: dict[str, bytes]
    issued_at: datetime
    renew_at: datetime
    ends_at: datetime


class Publisher:
    """Publishes the CA certificate and its CRL, whose number and content live in the store."""

    def __init__(
        self, authority: CertificateAuthority, subjects: tuple[str, ...], store: Store, clock: Callable[[], float]
    ) -> None:
        self._authority = authority
        self._subjects = subjects
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._published: Published | None = None

    async def published(self) -> Published:
        """Return what is to be trusted now, with a CRL that is good for days. Raises StoreUnavailableError."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        async with self._lock:
            current = self._published
            if current is None or not current.issued_at <= now < current.renew_at:
                try:
                    current = self._published = await self._publish(now)
                except StoreUnavailableError:
                    if current is None or not current.issued_at <= now < current.ends_at:
                        raise
                    # old, but still what consumers may rely on
            return current

    async def _publish(self, now: datetime) -> Published:
        crl = await self._current_crl(now)
        trusted = TrustedAuthority(self._authority.certificate, self._subjects, crl)
        return Published(
            certificate_pem=self._authority.certificate_pem(),
            crl_der=crl.public_bytes(serialization.Encoding.DER),
            files=trust_directory([trusted]),
            issued_at=crl.last_update_utc,
            renew_at=_end_of(crl) - _CRL_RENEW_BEFORE,
            ends_at=_end_of(crl),
        )

    async def _current_crl(self, now: datetime) -> x509.CertificateRevocationList:
        """Return the stored CRL, or sign the next: of several replicas the one whose write came first."""
        key = f"crl/{self._authority.certificate.serial_number:x}"
        while True:
            record = await self._store.get(key)
            fields: dict[str, Any] = {"number": 0} if record is None else decode_fields(record.value)
            if record is not None:
                stored = x509.load_der_x509_crl(bytes.fromhex(fields["der"]))
                if stored.last_update_utc <= now < _end_of(stored) - _CRL_RENEW_BEFORE:
                    return stored
            number = fields["number"] + 1
            crl = self._authority.crl([], number=number, now=now, lifetime=_CRL_LIFETIME)
            value = encode_fields({"number": number, "der": crl.public_bytes(serialization.Encoding.DER).hex()})
            version = ABSENT if record is None else record.version
            try:
                await self._store.put(key, value, expires_at=self._clock() + _KEEP_SECONDS, if_version=version)
            except ConflictError:
                continue
            return crl


def _end_of(crl: x509.CertificateRevocationList) -> datetime:
    if crl.next_update_utc is None:
        raise ValueError("every CRL of ours says when the next comes")
    return crl.next_update_utc
