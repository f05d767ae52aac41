"""End-entity certificates from OpenBao's PKI engine: the CA's key never is where the daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from cryptography import x509

from proxy_gen.csr import make_csr
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import PublicKey, SubjectKey, certificate_key, generate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from ttscache.broker.keys import digest
from ttscache.broker.local_signer import EEC_KEY
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.errors import SignerUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.upstream.openbao import PkiEngine

_RETRY_SECONDS = 60.0


class OpenBaoSigner:
    """Has the engine sign, and looks at what it signed."""

    def __init__(self, engine: PkiEngine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self.generation = digest("openbao", engine.url, engine.role)

    @property
    def issuer(self) -> None:
        """See Parents: the engine decides."""
        return

    def limits(self) -> Mapping[str, float]:
        """See Parents: what the engine signs ends in time."""
        return {}

    def owns(self, key: SubjectKey) -> bool:  # noqa: ARG002 - its key is not known here
        """See Parents."""
        return False

    async def sign(self, order: MintingOrder, until: float, deadline: Deadline) -> Parent:
        """See Signer."""
        key = generate_key(EEC_KEY)
        subject = DistinguishedName.parse(str(order.decision.dn))
        csr = make_csr(key, subject.name)
        certificate = await self._engine.sign(csr, int(until - self._clock()), deadline)
        await self._require_as_asked(certificate, subject, key.public_key(), deadline)
        return Parent((certificate,), key, until)

    async def _require_as_asked(
        self, certificate: x509.Certificate, subject: DistinguishedName, key: PublicKey, deadline: Deadline
    ) -> None:
        """Take no word for it: the name, the key, and a chain that consumers would take."""
        state = await self._engine.state(deadline)
        try:
            now = datetime.fromtimestamp(self._clock(), UTC)
            verify([certificate], TrustAnchors.of(state.authorities), now)
            named = DistinguishedName(certificate.subject).slash == subject.slash
            if not named or certificate_key(certificate) != key:
                raise SignerUnavailableError(
                    "the PKI engine signed another name or key than it was sent; see the role's settings",
                    retry_after=_RETRY_SECONDS,
                )
        except ProxyGenError as error:
            raise SignerUnavailableError(
                f"the PKI engine signed what no consumer would take ({error.code}): {error}", retry_after=_RETRY_SECONDS
            ) from None
