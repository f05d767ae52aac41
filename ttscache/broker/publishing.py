"""What consumers must trust: the CAs above the end entities with their CRLs, and who may speak for the VOs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives import serialization

from proxy_gen.ca import CertificateAuthority
from proxy_gen.trust import TrustedAuthority, trust_directory
from ttscache.broker.flights import Flights
from ttscache.net.deadline import Deadline


@dataclass(frozen=True)
class Published:
    """What is to be trusted. ``files`` are those of a trust directory; ``revision`` is of the source.

    ``certificates_pem`` begins with the CA that signs now, whose CRL ``crl_der`` is (None where no CRL is known here).
    """

    certificates_pem: bytes
    crl_der: bytes | None
    files: dict[str, bytes]
    revision: int
    issued_at: float
    renew_at: float
    ends_at: float


@dataclass(frozen=True)
class Anchors:
    """CAs with their CRLs, the one that signs now first; when to look again, and until when they may be relied on."""

    authorities: tuple[TrustedAuthority, ...]
    renew_at: float
    ends_at: float


class AnchorSource(Protocol):
    """Where the CAs come from."""

    def local(self) -> tuple[CertificateAuthority, ...]:
        """Return those of the CAs that are our own."""

    async def revision(self) -> int:
        """Return another number whenever something was revoked since, here or by another process."""

    async def anchors(self) -> Anchors:
        """Return what is to be trusted now. Raises UnavailableError."""


class Publisher:
    """Publishes what one authority's proxies need, and remembers it for as long as it may."""

    def __init__(
        self,
        source: AnchorSource,
        voms_files: Callable[[tuple[CertificateAuthority, ...]], dict[str, bytes]],
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._voms_files = voms_files
        self._clock = clock
        self._flights = Flights("publish")
        self._published: Published | None = None

    async def published(self, deadline: Deadline) -> Published:
        """Return what is to be trusted now, with CRLs that are good for days.

        What may still be relied on is renewed behind. Raises UnavailableError.
        """
        revision = await self._source.revision()
        publish = partial(self._publish, revision)  # a flight of its own: one from before a revocation is not joined
        now, current = self._clock(), self._published
        if current is not None and current.revision == revision and current.issued_at <= now < current.ends_at:
            if now >= current.renew_at:
                self._flights.start(revision, publish)
            return current
        return (await self._flights.join(revision, publish, deadline))[0]

    def voms_files(self) -> dict[str, bytes]:
        """Return the files of a VOMS trust directory."""
        return self._voms_files(self._source.local())

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._flights.drain()

    async def _publish(self, revision: int) -> Published:
        anchors = await self._source.anchors()
        first = anchors.authorities[0]
        self._published = Published(
            certificates_pem=_pem(anchors.authorities),
            crl_der=None if first.crl is None else first.crl.public_bytes(serialization.Encoding.DER),
            files=trust_directory(anchors.authorities),
            revision=revision,
            issued_at=self._clock(),
            renew_at=anchors.renew_at,
            ends_at=anchors.ends_at,
        )
        return self._published


def _pem(authorities: Sequence[TrustedAuthority]) -> bytes:
    return b"".join(each.certificate.public_bytes(serialization.Encoding.PEM) for each in authorities)
