"""How the rooms are filled at this moment: what administrators and monitoring are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from proxy_gen.keys import KeyKind
from proxy_gen.pool import KeyPool
from ttscache.broker.issuers import ExchangingIssuer
from ttscache.broker.renewals import Renewals
from ttscache.broker.sessions import Sessions
from ttscache.model import SessionState


class Figures:
    """Counts of this process; the store may hold more."""

    def __init__(
        self,
        sessions: Sessions,
        renewals: Renewals,
        issuers: Mapping[str, ExchangingIssuer],
        pools: Mapping[KeyKind, KeyPool],
    ) -> None:
        self._sessions = sessions
        self._renewals = renewals
        self._issuers = issuers
        self._pools = pools

    def sessions(self) -> Mapping[str, int]:
        """Return how many sessions are in memory, by state."""
        counted = Counter(self._sessions.state_of(session).value for session in self._sessions.records.held())
        return {state.value: counted[state.value] for state in SessionState}

    def key_pools(self) -> Mapping[str, int]:
        """Return how many keys are ready, by kind."""
        return {kind.value: len(pool) for kind, pool in self._pools.items()}

    def renewals_planned(self) -> int:
        """Return how much is planned to be renewed behind."""
        return self._renewals.planned

    def waiting(self) -> Mapping[str, int]:
        """Return how many wait for their turn at each issuer."""
        return {name: issuer.places.waiting for name, issuer in self._issuers.items()}

    def circuits(self) -> Mapping[str, bool]:
        """Tell whether the last call to each issuer's token endpoint did not fail."""
        return {name: issuer.endpoint.circuit.closed for name, issuer in self._issuers.items()}
