"""Who asks: the token of a request, verified, within what its address may cost."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

from aiohttp import web

from ttscache.broker.credentials import Asker
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


async def asker_of(request: web.Request, services: Services, token: str, deadline: Deadline) -> Asker:
    """Return who presents this token from where. Raises TokenErrors, RateLimitedError, IssuerUnreachableError."""
    peer = _network(request.remote)
    identity = services.verifier.recall(token)
    if identity is None:
        services.memory.allowances.verification(peer)
        identity = await services.verifier.verify(token, deadline)
    return Asker(identity, token, peer)
