"""Proxies for CSRs and a remembered token, against a bare aiohttp handler that checks the CSR and signs."""

from __future__ import annotations

from benchmarks.figures import Figure
from benchmarks.load import post_for
from benchmarks.orders import csr_body, csrs
from benchmarks.rates import rates
from benchmarks.site import running_bare_server, running_site

_KEYS = 16


async def run() -> list[Figure]:
    """Measure."""
    async with running_site() as site, running_bare_server("bare_csr") as bare:
        token = site.token()
        requests = [post_for(token, csr_body(csr)) for csr in csrs(_KEYS)]
        return await rates("csr", "POST /v1/proxy", site.daemon, bare, *requests)
