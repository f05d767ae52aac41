"""The VOs' attributes for a parent: attribute certificates, made or fetched once and carried by many proxies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy_gen.ca import CertificateAuthority
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from ttscache.broker.flights import Flights
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.net.deadline import Deadline

_MAX_IN_MEMORY = 2_000
# A VOMS server is slow at times; whoever waits for it keeps a deadline of its own.
_MAKE_SECONDS = 30.0
# What was made so short a time ago is not made anew because it is too short.
_SETTLED_SECONDS = 300.0


class AttributeSource(Protocol):
    """Who speaks for a VO: an authority of our own, or a VOMS server elsewhere."""

    @property
    def vo(self) -> str:
        """The VO."""

    @property
    def generation(self) -> str:
        """What changes when what was signed before is no longer to be used."""

    def files(self, authorities: tuple[CertificateAuthority, ...]) -> dict[str, bytes]:
        """Return its files of a VOMS trust directory; ``authorities`` are the local CAs that are to be trusted."""

    async def issue(self, parent: Parent, fqans: tuple[Fqan, ...], deadline: Deadline) -> AttributeCertificate:
        """Return an attribute certificate for the parent's end entity, verified. Raises TtsError."""


@dataclass(frozen=True)
class _Kept:
    certificate: AttributeCertificate
    begun: float


class Attributes:
    """The attribute authorities by their configured names."""

    def __init__(self, sources: Mapping[str, AttributeSource], clock: Callable[[], float]) -> None:
        self._sources = sources
        self._clock = clock
        self._flights = Flights("attributes")
        self._kept: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()

    def vo(self, name: str) -> str:
        """Return the VO that an authority speaks for, by its configured name."""
        return self._sources[name].vo

    def generation(self, name: str) -> str:
        """Return what changes when what an authority signed before is no longer to be used."""
        return self._sources[name].generation

    def files(self, authorities: tuple[CertificateAuthority, ...]) -> dict[str, bytes]:
        """Return the files of the VOMS trust directory with which consumers trust all of them."""
        return {
            name: content for source in self._sources.values() for name, content in source.files(authorities).items()
        }

    async def of(self, parent: Parent, order: MintingOrder, deadline: Deadline) -> tuple[AttributeCertificate, ...]:
        """Return what a proxy of this order carries, one certificate for each authority."""
        return tuple([await self._one(parent, name, order, deadline) for name in order.fqans])

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._flights.drain()

    async def _one(self, parent: Parent, name: str, order: MintingOrder, deadline: Deadline) -> AttributeCertificate:
        source, fqans = self._sources[name], order.fqans[name]
        key = (parent.issuer, parent.end_entity.serial_number, name, fqans)
        kept = self._kept.get(key)
        if kept is not None and self._long_enough(kept, order):
            self._kept.move_to_end(key)
            return kept.certificate
        made, _ = await self._flights.join(key, lambda: self._make(key, source, parent, fqans), deadline)
        return made

    async def _make(
        self, key: tuple[object, ...], source: AttributeSource, parent: Parent, fqans: tuple[Fqan, ...]
    ) -> AttributeCertificate:
        made = await source.issue(parent, fqans, Deadline.after(_MAKE_SECONDS))
        self._kept[key] = _Kept(made, self._clock())
        self._kept.move_to_end(key)
        if len(self._kept) > _MAX_IN_MEMORY:
            self._kept.popitem(last=False)
        return made

    def _long_enough(self, kept: _Kept, order: MintingOrder) -> bool:
        """Whether a certificate covers the proxy, or is young: a new one would hardly live longer."""
        now, end = self._clock(), kept.certificate.not_after.timestamp()
        if not kept.certificate.not_before.timestamp() <= now < end:
            return False
        if now + order.lifetime <= end:
            return True
        age = now - kept.begun
        of_use = order.profile.min_lifetime <= end - now or age < _SETTLED_SECONDS
        return 0 <= age < (end - kept.begun) / 2 and of_use
