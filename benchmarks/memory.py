"""A hundred thousand identities: what each leaves in the process, and whether a warm hit still costs what it did.

Not among those that run by default: it takes a quarter of an hour.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, Goal
from benchmarks.load import connect, fetch, request_for
from benchmarks.people import people, token_of
from benchmarks.site import RunningSite, running_site
from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key

IDENTITIES = 100_000
_FIRST, _WARM_FIRST = 1_000, 100
_CLIENTS = 8
_ASKED = 3_000
_KIB = 1024
_REPORT = 5_000


async def run(identities: int = IDENTITIES) -> list[Figure]:
    """Measure: each identity is served once over HTTP, all with one CSR, the state in SQLite."""
    everybody = people(identities)
    async with running_site(users=everybody) as site:
        request = _Requests(site)
        await _serve(request, 0, _WARM_FIRST)
        before = await _latency(site)
        await _serve(request, _WARM_FIRST, _FIRST)
        small = _resident(site)
        await _serve(request, _FIRST, identities)
        large = _resident(site)
        after = await _latency(site)
    growth = (large - small) / (identities - _FIRST)
    return [
        Figure("memory", f"growth for each of {identities} identities", "KiB", growth / _KIB, goal=Goal("<", 2)),
        Figure("memory", f"resident with {_FIRST} identities", "MiB", small / _KIB**2),
        Figure("memory", f"resident with {identities} identities", "MiB", large / _KIB**2),
        Figure("memory", "warm hit, against that with 100", "us", after, before, after / before, Goal("<=", 1.2)),
    ]


class _Requests:
    """A request of each identity, with one and the same CSR."""

    def __init__(self, site: RunningSite) -> None:
        self.site = site
        csr = make_csr(generate_key(KeyKind.RSA_2048)).decode().replace("\n", "\\n")
        self._body = f'{{"csr": "{csr}"}}'.encode()

    def of(self, number: int) -> bytes:
        token = token_of(self.site.iam, f"user{number}")
        head = (
            f"POST /v1/proxy HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        )
        return f"{head}Content-Length: {len(self._body)}\r\n\r\n".encode() + self._body


async def _serve(requests: _Requests, first: int, end: int) -> None:
    numbers = iter(range(first, end))

    async def client() -> None:
        connection = await connect(requests.site.daemon.port)
        for number in numbers:
            await fetch(*connection, requests.of(number))
            if number % _REPORT == 0:
                print(f"memory: {number} identities, {_resident(requests.site) // _KIB**2} MiB", file=sys.stderr)
        connection[1].close()

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))


async def _latency(site: RunningSite) -> float:
    """Return the median of a warm hit in microseconds, one after the other on one connection."""
    connection = await connect(site.daemon.port)
    request = request_for(site.token())
    taken = []
    for _ in range(_ASKED):
        started = time.perf_counter()
        await fetch(*connection, request)
        taken.append(time.perf_counter() - started)
    connection[1].close()
    return statistics.median(taken) * 1e6


def _resident(site: RunningSite) -> int:
    """Return the process's resident bytes, from proc_pid_status(5)."""
    lines = Path(f"/proc/{site.daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * _KIB
