"""Opens what signs: the configured authority, and the VOs' attribute authorities."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proxy_gen.names import DistinguishedName
from ttscache.authority import local
from ttscache.authority.generations import Generations
from ttscache.broker.anchors import EngineAnchors, FixedAnchors, LocalAnchors
from ttscache.broker.attributes import Attributes, AttributeSource
from ttscache.broker.local_attributes import LocalAttributes, attribute_authority_name
from ttscache.broker.local_signer import LocalSigner
from ttscache.broker.managed import ManagedProxySigner
from ttscache.broker.openbao_signer import OpenBaoSigner
from ttscache.broker.orders import Parents
from ttscache.broker.parents import LONGEST_LIFETIMES, KeptParents
from ttscache.broker.publishing import AnchorSource
from ttscache.broker.readiness import Status
from ttscache.broker.remote_attributes import RemoteAttributes
from ttscache.broker.revocations import Revocations
from ttscache.broker.robot import RobotParents
from ttscache.config.secrets import SecretError, SecretReference
from ttscache.config.settings import (
    LocalAuthority,
    LocalVoms,
    OpenBaoAuthority,
    RemoteVoms,
    RobotAuthority,
    Settings,
)
from ttscache.errors import ConfigurationError, SignerUnavailableError, UnavailableError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.store.base import Store
from ttscache.upstream.managed_proxy import ManagedProxies
from ttscache.upstream.openbao import PkiEngine
from ttscache.upstream.voms_server import VomsServer

_log = logging.getLogger(__name__)
_SOON_SECONDS = 86400.0


@dataclass(frozen=True)
class Authority:
    """An opened authority: what the mint signs under, what is published of it, and how it is."""

    parents: Parents
    source: AnchorSource
    status: Callable[[Deadline], Awaitable[Status]]


def open_local(settings: Settings) -> Generations | None:
    """Load the local CA, making it when it is not there; None for other authorities. Raises ConfigurationError.

    With a store that replicas share it must be there: two that start at once would make two.
    """
    wanted = settings.authority
    if not isinstance(wanted, LocalAuthority):
        return None
    if settings.store.redis is not None:
        found = local.load(wanted.directory)
        if found is None:
            hint = "make it once with `ttscache ca init` and give it to all replicas"
            raise ConfigurationError((f"authority.dir: there is no CA in {wanted.directory}; {hint}",))
        return found
    generations, made = local.load_or_create(
        wanted.directory,
        wanted.subject,
        wanted.key,
        now=datetime.now(UTC),
        lifetime=timedelta(seconds=wanted.lifetime),
    )
    if made:
        _log.info("authority_made", extra={"subject": wanted.subject.slash})
    return generations


def open_authority(
    settings: Settings,
    generations: Generations | None,
    store: Store,
    revocations: Revocations,
    fetcher: Callable[..., Fetcher],
) -> Authority:
    """Open the configured authority; ``generations`` are the local CA's. ``fetcher`` returns one for a CA file."""
    wanted = settings.authority
    if generations is not None:
        return _local(settings, generations, store, revocations)
    if isinstance(wanted, OpenBaoAuthority):
        token = _token(wanted.token)
        engine = PkiEngine(wanted.url, wanted.mount, wanted.role, token, fetcher(wanted.ca_file))
        source = EngineAnchors(engine, settings.signable_subjects, _longest(settings), store, time.time)
        parents = KeptParents(OpenBaoSigner(engine, time.time), store, time.time, revocations.is_revoked)
        return Authority(parents, source, _asking(source))
    if isinstance(wanted, RobotAuthority):
        robot = RobotParents(wanted.credential)
        return Authority(robot, FixedAnchors(wanted.anchors), _until(lambda: min(robot.limits().values())))
    if isinstance(wanted, LocalAuthority):
        raise TypeError("the local CA is loaded before")
    issuers = {
        c.identity.name: ManagedProxies(c.identity.name, c.identity.url, fetcher(c.identity.ca_file))
        for c in settings.issuers
    }
    signer = ManagedProxySigner(issuers, wanted.anchors, time.time)
    parents = KeptParents(signer, store, time.time, revocations.is_revoked)
    return Authority(parents, FixedAnchors(wanted.anchors), _until(lambda: float("inf")))


def open_attributes(settings: Settings, generations: Generations | None, fetcher: Callable[..., Fetcher]) -> Attributes:
    """Open the attribute authorities."""

    def source(wanted: LocalVoms | RemoteVoms) -> AttributeSource:
        if isinstance(wanted, LocalVoms):
            return LocalAttributes(wanted, generations, time.time)
        server = VomsServer(wanted.vo, wanted.url, wanted.anchors, fetcher(wanted.ca_file))
        return RemoteAttributes(wanted, server, time.time)

    return Attributes({name: source(wanted) for name, wanted in settings.voms.items()}, time.time)


def reserved_names(settings: Settings, generations: Generations | None) -> tuple[DistinguishedName, ...]:
    """Return the names that no identity may have: a certificate of such a name speaks for a VO, or is a CA's."""
    if generations is None:
        return ()
    authorities = (authority.subject for authority in generations.all)
    return (*authorities, *_own_attribute_authorities(settings, generations))


def _local(settings: Settings, generations: Generations, store: Store, revocations: Revocations) -> Authority:
    signer = LocalSigner(generations, time.time)
    source = LocalAnchors(
        generations, _signable(settings, generations), _longest(settings), store, time.time, revocations
    )
    parents = KeptParents(signer, store, time.time, revocations.is_revoked)
    return Authority(parents, source, _until(lambda: min(signer.limits().values())))


def _longest(settings: Settings) -> float:
    """Return how many seconds what proxies stand under may live."""
    return float(LONGEST_LIFETIMES * max(profile.max_lifetime for profile in settings.profiles.values()))


def _signable(settings: Settings, generations: Generations) -> tuple[str, ...]:
    """Return the names that the local CA signs: those of the rules, and its attribute authorities'."""
    names = {name.slash for name in _own_attribute_authorities(settings, generations)}
    return (*settings.signable_subjects, *sorted(names))


def _own_attribute_authorities(settings: Settings, generations: Generations) -> Iterator[DistinguishedName]:
    for each in settings.voms.values():
        if isinstance(each, LocalVoms) and each.credential is None:
            for authority in generations.all:
                yield attribute_authority_name(authority, each.host)


def _token(reference: SecretReference) -> Callable[[], str]:
    def read() -> str:
        try:
            return reference.read()
        except SecretError as error:
            _log.warning("token_unreadable", extra={"reason": str(error)})  # of the daemon's own files
            raise SignerUnavailableError("the PKI engine's token cannot be read", retry_after=60.0) from None

    return read


def _until(end: Callable[[], float]) -> Callable[[Deadline], Awaitable[Status]]:
    """Return the status of what is good until a time, in POSIX seconds."""

    async def status(_: Deadline) -> Status:
        left = end() - time.time()
        if left <= 0:
            return Status.DOWN
        return Status.DEGRADED if left < _SOON_SECONDS else Status.OK

    return status


def _asking(source: EngineAnchors) -> Callable[[Deadline], Awaitable[Status]]:
    async def status(deadline: Deadline) -> Status:
        try:
            async with asyncio.timeout(deadline.remaining):
                await source.anchors()
        except (UnavailableError, TimeoutError):
            return Status.DEGRADED  # what is signed already goes on serving
        return Status.OK

    return status
