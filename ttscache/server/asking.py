"""Who asks: the token of a request, verified, within what its address may cost."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

from aiohttp import web

from ttscache.broker.reception import Asker
from ttscache.net.deadline import Deadline
from ttscache.server.services import Services

# of a unix socket: all its callers are on this machine
_NO_ADDRESS = "unix"
_IPV6_NETWORK_BITS = 64  # RFC 4291 section 2.5.1


@lru_cache(maxsize=10_000)
def _network(address: str | None) -> str:
    """Return what is limited: an address, of IPv6 the network of 64 bits in which one host has any number of them."""
    if address is None or ":" not in address:
        return address or _NO_ADDRESS
    return str(ip_network((address.partition("%")[0], _IPV6_NETWORK_BITS), strict=False))


async def asker_of(
    request: web.Request, services: Services, token: str, deadline: Deadline, also_for: str = ""
) -> Asker:
    """Return who presents this token from where, a pod as the session that it acts by.

    ``also_for`` is an audience that does beside the configured ones at this endpoint. Raises TokenErrors,
    RateLimitedError, IssuerUnreachableError; of a pod as :meth:`Workloads.acting`, and SubjectRevokedError where its
    service account is revoked.
    """
    peer = _network(request.remote)
    identity = services.verifier.recall(token, also_for)
    if identity is None:
        services.memory.allowances.verification(peer)
        identity = await services.verifier.verify(token, deadline, also_for)
    if identity.pod is not None:
        peer = identity.pod.uid
        await services.reception.require_welcome(identity)
    return Asker(await services.workloads.acting(identity, token, deadline), token, peer)
