"""Proxies from the cache for a remembered token, against a bare aiohttp handler that sends the same bytes."""

from __future__ import annotations

from benchmarks.figures import Figure, Goal
from benchmarks.load import request_for
from benchmarks.rates import rates
from benchmarks.recorded import recorded
from benchmarks.site import running_bare_server, running_site


async def run() -> list[Figure]:
    """Measure."""
    async with running_site() as site:
        request = request_for(site.token())
        async with recorded(site.daemon.port, request) as answer, running_bare_server("bare_server", answer) as bare:
            return await rates("warm", "GET /v1/proxy", site.daemon, bare, request, goal=Goal(">=", 0.6))
