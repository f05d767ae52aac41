"""What the mint is asked for, and what it signs under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from cryptography import x509

from proxy_gen.credential import chain_pem
from proxy_gen.keys import PrivateKey, SubjectKey
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import proxy_cert_info
from proxy_gen.proxy import ProxyIssuer
from proxy_gen.voms.fqan import Fqan
from ttscache.config.settings import ProxyProfile
from ttscache.model import Decision, Identity, Session
from ttscache.net.deadline import Deadline


@dataclass(frozen=True)
class MintingOrder:
    """A proxy to be made: for whom, in which session (None where the issuer has none), and how.

    ``limits`` are what bounds its life beside the certificates above it: name to end in POSIX seconds. ``fqans`` are
    what it carries, by attribute authority.
    """

    identity: Identity
    decision: Decision
    session: Session | None
    profile: ProxyProfile
    lifetime: int
    limited: bool
    limits: Mapping[str, float]
    fqans: Mapping[str, tuple[Fqan, ...]]

    @property
    def generation(self) -> str:
        """The session's generation; empty without one."""
        return "" if self.session is None else self.session.generation


@dataclass(frozen=True)
class Parent:
    """What proxies are signed under: a chain, leaf first, up to and with the end-entity certificate, and its key.

    ``asked_until`` is until when its signer was asked to let it live, in POSIX seconds: one that ends sooner ends as
    late as it may.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    asked_until: float = float("inf")

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that the next proxy stands under."""
        return self.chain[0]

    @cached_property
    def proxies(self) -> ProxyIssuer:
        """What signs proxies under it. Raises :class:`proxy_gen.errors.IssuanceError` for one that may not sign any."""
        return ProxyIssuer(self.certificate, self.key)

    @cached_property
    def chain_pem(self) -> bytes:
        """The chain as it stands in a credential file, behind the proxy."""
        return chain_pem(self.chain)

    @cached_property
    def end_entity(self) -> x509.Certificate:
        """The certificate whose name consumers map."""
        return next(c for c in self.chain if proxy_cert_info(c) is None)

    @cached_property
    def subject(self) -> str:
        """The DN of the certificate that the next proxy stands under, in slash form."""
        return (
            self.identity if self.certificate is self.end_entity else DistinguishedName(self.certificate.subject).slash
        )

    @cached_property
    def identity(self) -> str:
        """The end entity's DN in slash form."""
        return DistinguishedName(self.end_entity.subject).slash

    @cached_property
    def issuer(self) -> str:
        """The name of the CA that signed the end entity, in slash form."""
        return DistinguishedName(self.end_entity.issuer).slash

    @cached_property
    def begins_at(self) -> float:
        """When the whole chain is valid, in POSIX seconds."""
        return max(c.not_valid_before_utc for c in self.chain).timestamp()

    @cached_property
    def ends_at(self) -> float:
        """When the first of the chain ends, in POSIX seconds."""
        return min(c.not_valid_after_utc for c in self.chain).timestamp()


class Parents(Protocol):
    """Where the mint gets its parents from."""

    @property
    def generation(self) -> str:
        """What changes when parents of before are no longer to be used."""

    @property
    def issuer(self) -> str | None:
        """The name of the CA that signs the end entities from now on, in slash form; None where that depends."""

    def limits(self) -> Mapping[str, float]:
        """Return what bounds every parent's life: name to end in POSIX seconds."""

    def owns(self, key: SubjectKey) -> bool:
        """Tell whether a key is the signer's own, which nobody else may have certified."""

    async def parent(self, order: MintingOrder, deadline: Deadline) -> Parent:
        """Return a parent that lives as long as the order wants, or as long as it may. Raises TtsError."""

    async def drain(self) -> None:
        """Wait for what is under way."""
