"""Who asks: the token of a request, verified, within what its address may cost."""

from __future__ import annotations

from aiohttp import web

from ttscache.broker.credentials import Asker
from ttscache.net.deadline import Deadline
from ttscache.server.services import Services

# of a unix socket: all its callers are on this machine
_NO_ADDRESS = "unix"


async def asker_of(request: web.Request, services: Services, token: str, deadline: Deadline) -> Asker:
    """Return who presents this token from where. Raises TokenErrors, RateLimitedError, IssuerUnreachableError."""
    peer = request.remote or _NO_ADDRESS
    identity = services.verifier.recall(token)
    if identity is None:
        services.allowances.verification(peer)
        identity = await services.verifier.verify(token, deadline)
    return Asker(identity, token, peer)
