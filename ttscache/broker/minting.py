"""Minting: proxies below what an authority gives to stand under, with the VOs' attributes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from proxy_gen.credential import credential_file
from proxy_gen.csr import csr_public_key
from proxy_gen.errors import CsrRefusedError, IssuanceError, KeyRefusedError
from proxy_gen.keys import KeyKind, PrivateKey, SubjectKey, generate_key, kind_of
from proxy_gen.pci import ProxyKind
from proxy_gen.pool import KeyPool
from proxy_gen.voms.certificate import AttributeCertificate
from ttscache.broker.attributes import Attributes
from ttscache.broker.lifetimes import Grant, grant
from ttscache.broker.orders import MintingOrder, Parent, Parents
from ttscache.broker.ownership import Owners
from ttscache.config.settings import ProxyProfile
from ttscache.errors import CsrInvalidError, CsrWeakKeyError, SignerUnavailableError
from ttscache.model import Credential
from ttscache.net.bulkhead import Bulkhead
from ttscache.net.deadline import Deadline

_log = logging.getLogger(__name__)
# With a tenth of a second for an RSA key on a slow core, who comes later waits longer than a request may take.
_MOST_WAITING_FOR_KEYS = 500


class Mint:
    """Makes proxies under one authority."""

    def __init__(
        self,
        parents: Parents,
        attributes: Attributes,
        owners: Owners,
        pools: Mapping[KeyKind, KeyPool],
        clock: Callable[[], float],
    ) -> None:
        self.parents = parents
        self.attributes = attributes
        self._owners = owners
        self._pools = pools
        self._making = Bulkhead(os.cpu_count() or 1, _MOST_WAITING_FOR_KEYS)
        self._clock = clock

    async def proxy_for_new_key(self, order: MintingOrder, deadline: Deadline) -> Credential:
        """Return a proxy with a key that is made here."""
        _granted(order, self._now(), self.parents.limits(), {})  # refused before a key is made for it
        parent = await self._parent(order, deadline)
        attributes = await self.attributes.of(parent, order, deadline)
        key = await self._new_key(order.profile.key, deadline)
        return self._proxy(order, parent, attributes, SubjectKey.of(key.public_key()), key)

    def accepted_key(self, csr: bytes, profile: ProxyProfile) -> SubjectKey:
        """Return the key of a CSR, of which subject and extensions are ignored.

        Raises :class:`CsrInvalidError`, :class:`CsrWeakKeyError`.
        """
        public_key = _accepted_key(csr, profile)
        if self.parents.owns(public_key):
            raise CsrInvalidError("the CSR's key is the CA's own")
        return public_key

    async def proxy_for_key(self, order: MintingOrder, public_key: SubjectKey, deadline: Deadline) -> Credential:
        """Return a proxy for a caller's key, which was accepted."""
        parent = await self._parent(order, deadline)
        attributes = await self.attributes.of(parent, order, deadline)
        return self._proxy(order, parent, attributes, public_key, None)

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self.parents.drain()
        await self.attributes.drain()

    async def _parent(self, order: MintingOrder, deadline: Deadline) -> Parent:
        """Return the order's parent. The DN is the identity's own from here on; one that it brings along as well."""
        await self._owners.require(order.decision, order.identity)
        parent = await self.parents.parent(order, deadline)
        if order.decision.dn is None:
            await self._owners.require(replace(order.decision, dn=parent.identity), order.identity)
        return parent

    async def _new_key(self, kind: KeyKind, deadline: Deadline) -> PrivateKey:
        pool = self._pools.get(kind)
        ready = pool.take_ready() if pool is not None else None
        if ready is not None:
            return ready
        make = pool.take if pool is not None else lambda: generate_key(kind)
        async with self._making.place(deadline):
            return await asyncio.to_thread(make)

    def _proxy(
        self,
        order: MintingOrder,
        parent: Parent,
        attributes: tuple[AttributeCertificate, ...],
        public_key: SubjectKey,
        key: PrivateKey | None,
    ) -> Credential:
        now = self._now()
        own = self.parents.limits()
        granted = _granted(order, now, own, _limits(parent, attributes, own))
        try:
            proxy = parent.proxies.issue(
                public_key,
                now=now,
                lifetime=timedelta(seconds=granted.not_after - now.timestamp()),
                kind=ProxyKind.LIMITED if order.limited else ProxyKind.FULL,
                attribute_certificates=attributes,
            )
        except IssuanceError as error:
            if error.code == "key_is_issuer":
                raise CsrInvalidError("the CSR's key is one of the daemon's own") from None
            raise SignerUnavailableError(f"the proxy cannot be signed: {error}") from None
        credential = Credential(
            pem=credential_file(proxy.pem, key, parent.chain_pem),
            subject=f"{parent.subject}/CN={proxy.serial}",
            identity=parent.identity,
            account=order.decision.account,
            issuer=parent.issuer,
            not_before=proxy.not_before.timestamp(),
            not_after=proxy.not_after.timestamp(),
            fqans=tuple(fqan.short for each in attributes for fqan in each.fqans),
            serial=proxy.serial,
            eec_serial=parent.end_entity.serial_number,
            profile=order.profile.name,
            shortened_by=granted.shortened_by,
        )
        _log_issue(order, credential)
        return credential

    def _now(self) -> datetime:
        # whole seconds, as X.509 has them: so an end that is computed is the end that is signed
        return datetime.fromtimestamp(int(self._clock()), UTC)


def _granted(order: MintingOrder, now: datetime, own: Mapping[str, float], limits: Mapping[str, float]) -> Grant:
    """Return until when a proxy may live. ``own`` are the limits of what signs, which must not have ended."""
    for name, end in own.items():
        if end <= now.timestamp():
            raise SignerUnavailableError(f"what signs has ended ({name}); it must be renewed", retry_after=300.0)
    return grant(order.profile, order.lifetime, now.timestamp(), {**order.limits, **own, **limits})


def _limits(
    parent: Parent, attributes: tuple[AttributeCertificate, ...], known: Mapping[str, float]
) -> dict[str, float]:
    """Return what bounds the proxy by what it stands under and what it carries."""
    limits = {f"voms:{each.vo}": each.not_after.timestamp() for each in attributes}
    if parent.ends_at not in known.values():  # a parent that ends with its CA is not another reason
        limits["parent"] = parent.ends_at
    return limits


def _log_issue(order: MintingOrder, credential: Credential) -> None:
    _log.info(
        "credential_issued",
        extra={
            "issuer": order.identity.issuer,
            "subject": order.identity.subject,
            "pod": order.identity.pod_name,
            "rule": order.decision.rule,
            "dn": credential.identity,
            "account": credential.account,
            "fqans": credential.fqans,
            "profile": credential.profile,
            "serial": str(credential.serial),
            "eec_serial": str(credential.eec_serial),
            "not_after": credential.not_after,
        },
    )


def _accepted_key(csr: bytes, profile: ProxyProfile) -> SubjectKey:
    try:
        key = csr_public_key(csr)
    except CsrRefusedError as error:
        raise CsrInvalidError(str(error)) from None
    except KeyRefusedError as error:
        if error.code == "key_weak":
            raise CsrWeakKeyError(str(error)) from None
        raise CsrInvalidError(str(error)) from None
    if kind_of(key.key) is not profile.key:
        raise CsrInvalidError(f"profile '{profile.name}' is for keys of kind {profile.key.value}; the CSR's is another")
    return key
