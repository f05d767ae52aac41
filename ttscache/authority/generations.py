"""The generations of the local CA: rotation with overlap.

A new CA is made with a beginning in the future. It is published at once and issues from then on, so that consumers
have fetched it by the time that they meet what it signed. The old one stays published until its last end-entity
certificate has ended. Each has a name of its own: XRootD looks only at the first CA of a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy_gen.ca import BACKDATE, CertificateAuthority


@dataclass(frozen=True)
class Generations:
    """All CAs that there are, the oldest first; at least one."""

    all: tuple[CertificateAuthority, ...]

    @classmethod
    def of(cls, authorities: Sequence[CertificateAuthority]) -> Generations:
        """Sort them by their beginning."""
        return cls(tuple(sorted(authorities, key=begins_at)))

    def issuing(self, now: float) -> CertificateAuthority:
        """Return the one that signs at ``now`` (POSIX seconds): the youngest that has begun, else the oldest."""
        begun = [authority for authority in self.all if begins_at(authority) <= now]
        return begun[-1] if begun else self.all[0]

    def trusted(self, now: float, longest: float) -> tuple[CertificateAuthority, ...]:
        """Return those that consumers must trust, the issuing one first.

        Those to come are among them, and those before until what they signed has ended, which lived ``longest``
        seconds at most.
        """
        issuing = self.issuing(now)
        place = self.all.index(issuing)
        ended = [
            old
            for old, successor in zip(self.all[:place], self.all[1:], strict=False)
            if now < begins_at(successor) + longest
        ]
        return (issuing, *self.all[place + 1 :], *reversed(ended))


def begins_at(authority: CertificateAuthority) -> float:
    """Return when a CA begins to issue, in POSIX seconds: its certificate is valid a little before."""
    return (authority.certificate.not_valid_before_utc + BACKDATE).timestamp()
