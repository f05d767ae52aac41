"""Minting: the end-entity certificate (EEC) of a mapped DN, kept and reused, and proxies below it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential as CredentialFile
from proxy_gen.csr import csr_public_key
from proxy_gen.errors import CsrRefusedError, IssuanceError, KeyRefusedError
from proxy_gen.keys import KeyKind, PrivateKey, PublicKey, generate_key, kind_of
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind
from proxy_gen.pool import KeyPool
from proxy_gen.proxy import issue_proxy
from ttscache.broker.codec import EndEntity, decode_end_entity, encode_end_entity
from ttscache.broker.flights import Flights
from ttscache.broker.keys import end_entity_key
from ttscache.broker.leases import leased
from ttscache.broker.lifetimes import Grant, grant
from ttscache.config.settings import Profile
from ttscache.errors import CsrInvalidError, CsrWeakKeyError, RecordUnreadableError, SignerUnavailableError
from ttscache.model import Credential, Decision, Identity
from ttscache.net.deadline import Deadline
from ttscache.store.base import Store

_log = logging.getLogger(__name__)

# EEC keys cost nothing, a proxy's RSA key costs 40 ms.
_EEC_KEY = KeyKind.P_256
# An EEC serves several lifetimes of proxies; its key never leaves the daemon.
_EEC_LIFETIMES = 2
_LEASE_SECONDS = 30.0
_MAX_IN_MEMORY = 2_000


@dataclass(frozen=True)
class MintingOrder:
    """A proxy to be made: for whom, in which session (its generation; empty without one), and how.

    ``limits`` are what bounds its life beside the certificates above it: name to end in POSIX seconds.
    """

    identity: Identity
    decision: Decision
    generation: str
    profile: Profile
    lifetime: int
    limited: bool
    limits: Mapping[str, float]


class Mint:
    """Makes proxies under one authority."""

    def __init__(
        self,
        authority: CertificateAuthority,
        store: Store,
        pools: Mapping[KeyKind, KeyPool],
        clock: Callable[[], float],
    ) -> None:
        self._authority = authority
        self._store = store
        self._pools = pools
        self._clock = clock
        self._flights = Flights()
        self._entities: OrderedDict[str, EndEntity] = OrderedDict()
        self.authority = authority.subject.slash
        self.authority_id = f"{authority.certificate.serial_number:x}"

    async def proxy_for_new_key(self, order: MintingOrder, deadline: Deadline) -> Credential:
        """Return a proxy with a key that is made here."""
        self._granted(order, self._now())  # refused before a key is made for it
        entity = await self._end_entity(order, deadline)
        key = await self._new_key(order.profile.key)
        return self._proxy(order, entity, key.public_key(), key)

    async def proxy_for_csr(self, order: MintingOrder, csr: bytes, deadline: Deadline) -> Credential:
        """Return a proxy for the key of a CSR, of which subject and extensions are ignored.

        Raises :class:`CsrInvalidError`, :class:`CsrWeakKeyError`.
        """
        public_key = _accepted_key(csr, order.profile)
        if public_key == self._authority.public_key:
            raise CsrInvalidError("the CSR's key is the CA's own")
        entity = await self._end_entity(order, deadline)
        return self._proxy(order, entity, public_key, None)

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._flights.drain()

    async def _new_key(self, kind: KeyKind) -> PrivateKey:
        pool = self._pools.get(kind)
        ready = pool.take_ready() if pool is not None else None
        if ready is not None:
            return ready
        make = pool.take if pool is not None else lambda: generate_key(kind)
        return await asyncio.to_thread(make)

    async def _end_entity(self, order: MintingOrder, deadline: Deadline) -> EndEntity:
        identity = order.identity
        key = end_entity_key(identity.issuer, identity.subject, order.generation, order.decision.dn, self.authority_id)
        known = self._entities.get(key)
        if known is not None and self._long_enough(known, order):
            self._entities.move_to_end(key)
            return known
        while True:
            entity, is_ours = await self._flights.join(("eec", key), lambda: self._load_or_issue(key, order), deadline)
            # a flight that was joined may have been another profile's, with a shorter need
            if is_ours or self._long_enough(entity, order):
                return entity

    async def _load_or_issue(self, key: str, order: MintingOrder) -> EndEntity:
        async with leased(self._store, key, seconds=_LEASE_SECONDS, deadline=Deadline.after(_LEASE_SECONDS)):
            entity = await self._load(key)
            if entity is None or not self._long_enough(entity, order):
                entity = self._issue(order)
                expires_at = entity.certificate.not_valid_after_utc.timestamp()
                await self._store.put(key, encode_end_entity(entity), expires_at=expires_at)
        self._entities[key] = entity
        if len(self._entities) > _MAX_IN_MEMORY:
            self._entities.popitem(last=False)
        return entity

    async def _load(self, key: str) -> EndEntity | None:
        try:
            record = await self._store.get(key)
            return None if record is None else decode_end_entity(record.value)
        except RecordUnreadableError:
            _log.warning("record_unreadable", extra={"kind": "eec"})
            return None  # it can be made again

    def _issue(self, order: MintingOrder) -> EndEntity:
        key = generate_key(_EEC_KEY)
        lifetime = timedelta(seconds=_EEC_LIFETIMES * order.profile.max_lifetime)
        subject = DistinguishedName.parse(order.decision.dn)
        try:
            certificate = self._authority.issue_eec(subject, key.public_key(), now=self._now(), lifetime=lifetime)
        except IssuanceError as error:
            raise SignerUnavailableError(f"the CA cannot sign: {error}", retry_after=60.0) from None
        return EndEntity(certificate, key)

    def _long_enough(self, entity: EndEntity, order: MintingOrder) -> bool:
        """Whether the EEC covers the proxy, or reaches as far as the CA does."""
        now = self._clock()
        certificate = entity.certificate
        covers = certificate.not_valid_after_utc.timestamp() >= now + order.lifetime
        at_the_end = certificate.not_valid_after_utc >= self._authority.certificate.not_valid_after_utc
        begun = certificate.not_valid_before_utc.timestamp() <= now
        return begun and (covers or at_the_end)

    def _proxy(
        self, order: MintingOrder, entity: EndEntity, public_key: PublicKey, key: PrivateKey | None
    ) -> Credential:
        now = self._now()
        granted = self._granted(order, now)
        try:
            proxy = issue_proxy(
                entity.certificate,
                entity.key,
                public_key,
                now=now,
                lifetime=timedelta(seconds=granted.not_after - now.timestamp()),
                kind=ProxyKind.LIMITED if order.limited else ProxyKind.FULL,
            )
        except IssuanceError as error:
            if error.code == "key_is_issuer":
                raise CsrInvalidError("the CSR's key is one of the daemon's own") from None
            raise SignerUnavailableError(f"the proxy cannot be signed: {error}") from None
        credential = Credential(
            pem=CredentialFile((proxy, entity.certificate), key).to_pem(),
            subject=f"{order.decision.dn}/CN={proxy.serial_number}",
            identity=order.decision.dn,
            account=order.decision.account,
            issuer=self.authority,
            not_before=proxy.not_valid_before_utc.timestamp(),
            not_after=proxy.not_valid_after_utc.timestamp(),
            fqans=(),
            serial=proxy.serial_number,
            eec_serial=entity.certificate.serial_number,
            profile=order.profile.name,
            shortened_by=granted.shortened_by,
        )
        _log_issue(order, credential)
        return credential

    def _granted(self, order: MintingOrder, now: datetime) -> Grant:
        ca_end = self._authority.certificate.not_valid_after_utc.timestamp()
        return grant(order.profile, order.lifetime, now.timestamp(), {**order.limits, "ca": ca_end})

    def _now(self) -> datetime:
        # whole seconds, as X.509 has them: so an end that is computed is the end that is signed
        return datetime.fromtimestamp(int(self._clock()), UTC)


def _log_issue(order: MintingOrder, credential: Credential) -> None:
    _log.info(
        "credential_issued",
        extra={
            "issuer": order.identity.issuer,
            "subject": order.identity.subject,
            "rule": order.decision.rule,
            "dn": credential.identity,
            "account": credential.account,
            "profile": credential.profile,
            "serial": str(credential.serial),
            "eec_serial": str(credential.eec_serial),
            "not_after": credential.not_after,
        },
    )


def _accepted_key(csr: bytes, profile: Profile) -> PublicKey:
    try:
        key = csr_public_key(csr)
    except CsrRefusedError as error:
        raise CsrInvalidError(str(error)) from None
    except KeyRefusedError as error:
        if error.code == "key_weak":
            raise CsrWeakKeyError(str(error)) from None
        raise CsrInvalidError(str(error)) from None
    if kind_of(key) is not profile.key:
        raise CsrInvalidError(f"profile '{profile.name}' is for keys of kind {profile.key.value}; the CSR's is another")
    return key
