"""End-entity certificates from the local CA, through the generations that a rotation makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from proxy_gen.ca import CertificateAuthority
from proxy_gen.errors import IssuanceError
from proxy_gen.keys import KeyKind, SubjectKey, generate_key, public_der
from proxy_gen.names import DistinguishedName
from ttscache.authority.generations import Generations
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.errors import SignerUnavailableError
from ttscache.net.deadline import Deadline

# EEC keys of this kind cost nothing, and all consumers take them.
EEC_KEY = KeyKind.P_256


class LocalSigner:
    """Signs with the generation whose turn it is."""

    def __init__(self, generations: Generations, clock: Callable[[], float]) -> None:
        self._generations = generations
        self._clock = clock
        self._own_keys = frozenset(public_der(authority.public_key) for authority in generations.all)

    @property
    def generation(self) -> str:
        """See Parents."""
        return f"{self._issuing.certificate.serial_number:x}"

    @property
    def issuer(self) -> str:
        """See Parents."""
        return self._issuing.subject.slash

    def limits(self) -> Mapping[str, float]:
        """See Parents."""
        return {"ca": self._issuing.certificate.not_valid_after_utc.timestamp()}

    def owns(self, key: SubjectKey) -> bool:
        """See Parents."""
        return key.der in self._own_keys

    async def sign(self, order: MintingOrder, until: float, deadline: Deadline) -> Parent:  # noqa: ARG002 - at once
        """See Signer."""
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        key = generate_key(EEC_KEY)
        try:
            certificate = self._issuing.issue_eec(
                DistinguishedName.parse(str(order.decision.dn)),
                key.public_key(),
                now=now,
                lifetime=timedelta(seconds=until - now.timestamp()),
            )
        except IssuanceError as error:
            raise SignerUnavailableError(f"the CA cannot sign: {error}", retry_after=60.0) from None
        return Parent((certificate,), key, until)

    @property
    def _issuing(self) -> CertificateAuthority:
        return self._generations.issuing(self._clock())
