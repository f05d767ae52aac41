"""A VO's attributes from its own server: asked in the end entity's name, and verified before they are carried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from proxy_gen.ca import CertificateAuthority
from proxy_gen.errors import AttributeCertificateError, VerificationError
from proxy_gen.trust import TrustAnchors
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.verify import verify_attribute_certificate
from proxy_gen.voms.vomsdir import VomsTrust
from ttscache.broker.keys import digest, fingerprints
from ttscache.broker.orders import Parent
from ttscache.config.settings import RemoteVoms
from ttscache.errors import FqanRefusedError, UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.upstream.voms_server import VomsServer

# whatever is wrong with an answer is wrong for a while
_RETRY_SECONDS = 60.0


class RemoteAttributes:
    """One VO's server, and whose signature counts for the VO."""

    def __init__(self, settings: RemoteVoms, server: VomsServer, clock: Callable[[], float]) -> None:
        self.vo = settings.vo
        trusted = (settings.lsc.hex(), fingerprints(settings.anchors))
        self.generation = digest(settings.vo, settings.url, settings.host, str(settings.lifetime), *trusted)
        self._settings = settings
        self._server = server
        self._clock = clock
        self._files = {f"{settings.vo}/{settings.host}.lsc": settings.lsc}
        self._voms = VomsTrust.from_files(self._files)
        self._trust = TrustAnchors.of(settings.anchors)

    def files(self, authorities: tuple[CertificateAuthority, ...]) -> dict[str, bytes]:  # noqa: ARG002 - it is others'
        """See AttributeSource."""
        return dict(self._files)

    async def issue(self, parent: Parent, fqans: tuple[Fqan, ...], deadline: Deadline) -> AttributeCertificate:
        """See AttributeSource."""
        der = await self._server.generate(parent.chain, parent.key, fqans, int(self._settings.lifetime), deadline)
        now = datetime.fromtimestamp(self._clock(), UTC)
        try:
            certificate = AttributeCertificate.parse(der)
            verify_attribute_certificate(certificate, parent.end_entity, self._voms, self._trust, now)
        except (AttributeCertificateError, VerificationError) as error:
            raise UpstreamUnavailableError(
                f"the VOMS server of '{self._settings.vo}' answered with an attribute certificate that nobody would "
                f"take ({error.code}): {error}",
                retry_after=_RETRY_SECONDS,
            ) from None
        self._require_asked(certificate, fqans)
        return certificate

    def _require_asked(self, certificate: AttributeCertificate, fqans: tuple[Fqan, ...]) -> None:
        """What was asked for must be there, and first. Servers add the holder's other groups, but may add no role."""
        vo, given = self._settings.vo, certificate.fqans
        missing = [fqan.short for fqan in fqans if fqan not in given]
        if missing:
            raise FqanRefusedError(f"the VO '{vo}' does not give the holder {', '.join(missing)}")
        if certificate.vo != vo or given[: len(fqans)] != fqans or any(fqan.role for fqan in given[len(fqans) :]):
            raise UpstreamUnavailableError(
                f"the VOMS server of '{vo}' answered with something else than was asked for", retry_after=_RETRY_SECONDS
            )
