"""Parents that IAM keeps for its users: proxies of the certificates that they have linked there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from cryptography import x509

from proxy_gen.errors import VerificationError
from proxy_gen.keys import SubjectKey
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from ttscache.broker.keys import digest, fingerprints
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.errors import ExchangeRefusedError, UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.upstream.managed_proxy import ManagedProxies

_RETRY_SECONDS = 60.0


class ManagedProxySigner:
    """Fetches a proxy with the session's access token, and looks at what came."""

    def __init__(
        self,
        issuers: Mapping[str, ManagedProxies],
        anchors: tuple[x509.Certificate, ...],
        clock: Callable[[], float],
    ) -> None:
        """``anchors`` are the CAs whose certificates users may have linked."""
        self._issuers = issuers
        self._trust = TrustAnchors.of(anchors)
        self._clock = clock
        self.generation = digest("iam-proxycert", fingerprints(anchors))

    @property
    def issuer(self) -> None:
        """See Parents: each user's certificate has its own."""
        return

    def limits(self) -> Mapping[str, float]:
        """See Parents."""
        return {}

    def owns(self, key: SubjectKey) -> bool:  # noqa: ARG002 - they are others' certificates
        """See Parents."""
        return False

    async def sign(self, order: MintingOrder, until: float, deadline: Deadline) -> Parent:
        """See Signer."""
        issuer = order.identity.issuer
        if order.session is None or order.session.access_token is None:
            raise ExchangeRefusedError(f"issuer '{issuer}' granted no access token for managed proxies")
        if order.session.access_ends_at <= self._clock():
            raise UpstreamUnavailableError(f"issuer '{issuer}' does not renew the session's token; try again")
        wanted = until - self._clock()
        credential = await self._issuers[issuer].fetch(order.session.access_token, wanted, deadline)
        try:
            verified = verify(credential.chain, self._trust, datetime.fromtimestamp(self._clock(), UTC))
        except VerificationError as error:
            raise UpstreamUnavailableError(
                f"issuer '{issuer}' answered with a proxy that does not verify ({error.code}): {error}",
                retry_after=_RETRY_SECONDS,
            ) from None
        if credential.key is None or verified.limited:
            raise UpstreamUnavailableError(
                f"issuer '{issuer}' answered with a proxy that nothing can be signed under", retry_after=_RETRY_SECONDS
            )
        # the CAs behind the end entity, if they were sent along, are the consumers' business
        depth = credential.chain.index(verified.end_entity)
        return Parent(credential.chain[: depth + 1], credential.key, until)
