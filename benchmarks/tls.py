"""A new TLS connection for each proxy from the cache, against a bare aiohttp server that sends the same bytes."""

from __future__ import annotations

import ssl
from functools import partial

from benchmarks.costs import cost
from benchmarks.figures import Figure, Goal, compared
from benchmarks.load import Send, fetch_once, request_for
from benchmarks.recorded import recorded
from benchmarks.site import Server, running_bare_server, running_site

_ROUNDS = 20
# in one round, by so many callers at once
_REQUESTS = 100
_CALLERS = 8


async def run() -> list[Figure]:
    """Measure."""
    async with running_site(tls=True) as site:
        context = ssl.create_default_context(cafile=site.files.server_ca)
        request = request_for(site.token(), "Connection: close")
        pair = [site.files.directory / name for name in ("server.pem", "server.key")]
        async with (
            recorded(site.daemon.port, request, tls=context) as answer,
            running_bare_server("bare_server", answer, tls=pair) as bare,
        ):
            sides = [(server, partial(fetch_once, server.port, tls=context)) for server in (site.daemon, bare)]
            rounds = [[await _measured(*side, request) for side in sides] for _ in range(_ROUNDS + 1)]
    # the first round is to warm up
    pairs = [(ours, plain) for ours, plain in rounds[1:]]
    return [compared("tls", "GET /v1/proxy, new connection", "ms CPU", pairs, goal=Goal("<", 1.3))]


async def _measured(server: Server, ask: Send, request: bytes) -> float:
    milliseconds, answers = await cost(server, [ask] * _CALLERS, [request] * _REQUESTS)
    assert len({body for _, body in answers}) == 1, "more than one answer"
    return milliseconds
