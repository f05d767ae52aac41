"""Where what is published comes from: the local CA, OpenBao's PKI engine, or files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from proxy_gen.ca import CertificateAuthority
from proxy_gen.trust import TrustedAuthority
from ttscache.authority.generations import Generations
from ttscache.broker.codec import decode_fields, encode_fields
from ttscache.broker.keys import digest
from ttscache.broker.publishing import Anchors
from ttscache.broker.revocations import Revocations
from ttscache.net.deadline import Deadline
from ttscache.store.base import ABSENT, ConflictError, Store
from ttscache.upstream.openbao import PkiEngine

# Consumers fetch it daily or so; a week bridges an outage of ours.
_CRL_LIFETIME = timedelta(days=7)
_CRL_RENEW_BEFORE = timedelta(days=6)  # so a new one every day
_KEEP_SECONDS = 10 * 365 * 86400.0
# A rotation changes what is to be trusted at a time of its own.
_LOOK_AGAIN_SECONDS = 600.0
_ENGINE_SECONDS = 10.0
# a CA that is not ours signs whatever it signs
_ANY_SUBJECT = ("/*",)


class LocalAnchors:
    """The local CA's generations, with CRLs whose numbers and content live in the store.

    ``subjects`` are the names that it signs; ``longest`` is how many seconds an end-entity certificate may live.
    """

    def __init__(
        self,
        generations: Generations,
        subjects: tuple[str, ...],
        longest: float,
        store: Store,
        clock: Callable[[], float],
        revocations: Revocations,
    ) -> None:
        self._revocations = revocations
        self._generations = generations
        self._subjects = subjects
        self._longest = longest
        self._store = store
        self._clock = clock

    def local(self) -> tuple[CertificateAuthority, ...]:
        """See AnchorSource."""
        return self._generations.trusted(self._clock(), self._longest)

    async def revision(self) -> int:
        """See AnchorSource."""
        return await self._revocations.latest()

    async def anchors(self) -> Anchors:
        """See AnchorSource."""
        now = self._clock()
        trusted, lists = [], []
        for authority in self.local():
            # that of a CA to come as well: whoever has fetched it then can tell that nothing is revoked
            crl = await self._current_crl(authority, now)
            trusted.append(TrustedAuthority(authority.certificate, self._subjects, crl))
            lists.append(crl)
        ends_at = min(_end_of(crl).timestamp() for crl in lists)
        renew_at = min(now + _LOOK_AGAIN_SECONDS, ends_at - _CRL_RENEW_BEFORE.total_seconds())
        return Anchors(tuple(trusted), max(renew_at, now), ends_at)

    async def _current_crl(self, authority: CertificateAuthority, seconds: float) -> x509.CertificateRevocationList:
        """Return the stored CRL, or sign the next: of several replicas the one whose write came first."""
        now = datetime.fromtimestamp(seconds, UTC)
        revoked = await self._revocations.certificates(authority.subject.slash)
        entries = sorted((each.serial, datetime.fromtimestamp(each.at, UTC)) for each in revoked)
        key = f"crl/{authority.certificate.serial_number:x}"
        while True:
            record = await self._store.get(key)
            fields: dict[str, Any] = {"number": 0} if record is None else decode_fields(record.value)
            if record is not None:
                stored = x509.load_der_x509_crl(bytes.fromhex(fields["der"]))
                listed = {each.serial_number for each in stored}
                lists_all = all(serial in listed for serial, _ in entries)
                if lists_all and stored.last_update_utc <= now < _end_of(stored) - _CRL_RENEW_BEFORE:
                    return stored
            number = fields["number"] + 1
            crl = authority.crl(entries, number=number, now=now, lifetime=_CRL_LIFETIME)
            value = encode_fields({"number": number, "der": crl.public_bytes(serialization.Encoding.DER).hex()})
            version = ABSENT if record is None else record.version
            try:
                await self._store.put(key, value, expires_at=seconds + _KEEP_SECONDS, if_version=version)
            except ConflictError:
                continue
            return crl


class EngineAnchors:
    """The CA and the CRL of OpenBao's PKI engine, and for a while the CAs that it had before.

    ``longest`` is how many seconds an end-entity certificate may live; so long a CA is remembered in the store.
    """

    def __init__(
        self,
        engine: PkiEngine,
        subjects: tuple[str, ...],
        longest: float,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._subjects = subjects
        self._longest = longest
        self._store = store
        self._clock = clock

    def local(self) -> tuple[CertificateAuthority, ...]:
        """See AnchorSource."""
        return ()

    async def revision(self) -> int:
        """See AnchorSource: what is revoked there is not known here."""
        return 0

    async def anchors(self) -> Anchors:
        """See AnchorSource."""
        state = await self._engine.state(Deadline.after(_ENGINE_SECONDS))
        issuing, *above = state.authorities
        former = await self._former(state.authorities)
        # of the CAs above it others know what they sign, and publish their CRLs
        trusted = [TrustedAuthority(issuing, self._subjects, state.crl)]
        trusted += [TrustedAuthority(each, _ANY_SUBJECT) for each in (*above, *former)]
        return Anchors(tuple(trusted), self._clock() + _LOOK_AGAIN_SECONDS, _end_of(state.crl).timestamp())

    async def _former(self, current: tuple[x509.Certificate, ...]) -> list[x509.Certificate]:
        """Remember the CAs that the engine has now, and return those that it had until what they signed may last."""
        now, key = self._clock(), f"authorities/{digest(self._engine.url)}"
        while True:
            record = await self._store.get(key)
            seen: dict[str, float] = {} if record is None else decode_fields(record.value)["seen"]
            kept = {pem: at for pem, at in seen.items() if now - at < self._longest}
            kept |= {each.public_bytes(serialization.Encoding.PEM).decode(): now for each in current}
            if kept.keys() != seen.keys() or any(now - at > _LOOK_AGAIN_SECONDS for at in seen.values()):
                version = ABSENT if record is None else record.version
                try:
                    await self._store.put(
                        key, encode_fields({"seen": kept}), expires_at=now + _KEEP_SECONDS, if_version=version
                    )
                except ConflictError:
                    continue
            found = (x509.load_pem_x509_certificate(pem.encode()) for pem in kept)
            return [each for each in found if each not in current]


class FixedAnchors:
    """CAs from a file, which others publish CRLs of."""

    def __init__(self, certificates: tuple[x509.Certificate, ...]) -> None:
        self._certificates = certificates

    def local(self) -> tuple[CertificateAuthority, ...]:
        """See AnchorSource."""
        return ()

    async def revision(self) -> int:
        """See AnchorSource: what is revoked there is not known here."""
        return 0

    async def anchors(self) -> Anchors:
        """See AnchorSource."""
        trusted = tuple(TrustedAuthority(each, _ANY_SUBJECT) for each in self._certificates)
        return Anchors(trusted, float("inf"), float("inf"))


def _end_of(crl: x509.CertificateRevocationList) -> datetime:
    """Return when the next CRL is due; one that does not say is due now."""
    return crl.next_update_utc or crl.last_update_utc
