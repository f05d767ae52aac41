"""Replicas that share a Redis: proxies from a replica's memory, and proxies that it has to read there.

The second kind is made of identities whose proxies one replica has minted: another, which knows their tokens but has
never served them, gets session and proxy from Redis.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.costs import cost
from benchmarks.figures import Figure, compared
from benchmarks.load import Send, keeping, request_for
from benchmarks.people import people, token_of
from benchmarks.programs import cpu_seconds
from benchmarks.rates import rates
from benchmarks.recorded import recorded
from benchmarks.site import DAEMON, Server, configure, running_bare_server, running_daemon, running_iam
from tests.tools.redis import RedisServer
from ttscache.sandbox.iam import EmbeddedIam
from ttscache.sandbox.site import Site

PROGRAMS = ("redis-server", "setpriv")

_ROUNDS = 8
# in one round, by so many callers at once; each costs an RSA key
_IDENTITIES = 25
_CALLERS = 8


_Side = tuple[Server, list[Send]]


async def run() -> list[Figure]:
    """Measure."""
    # the first round is to warm up
    crowd = people((_ROUNDS + 1) * _IDENTITIES)
    parts = [crowd[start :: _ROUNDS + 1] for start in range(_ROUNDS + 1)]
    with RedisServer() as redis:
        async with running_iam(crowd) as iam, _replicas(iam, redis.url) as (minting, reading):
            request = request_for(token_of(iam, "jane"))
            async with recorded(minting.port, request) as answer:
                async with running_bare_server("bare_server", answer) as bare:
                    warm = await rates("redis", "GET /v1/proxy", minting, bare, request)
                async with running_bare_server("bare_redis", redis.url, answer) as bare:
                    sides = (await _side(minting), await _side(reading), await _side(bare))
                    rounds = [await _round(*sides, [token_of(iam, user.username) for user in part]) for part in parts]
    return [*warm, compared("redis", "first GET, read from Redis", "us CPU", rounds[1:])]


@asynccontextmanager
async def _replicas(iam: EmbeddedIam, redis_url: str) -> AsyncIterator[tuple[Server, Server]]:
    with TemporaryDirectory(prefix="ttscache-bench.") as directory:
        site = Site(Path(directory))
        await configure(site, iam, store={"url": redis_url})
        # replicas share a CA that is there; none of them makes it
        cpu_seconds([sys.executable, "-c", DAEMON, "ca", "init", "-c", site.configuration], os.environ, site.directory)
        async with running_daemon(site) as minting, running_daemon(site) as reading:
            yield minting, reading


async def _side(server: Server) -> _Side:
    return server, await keeping(server.port, _CALLERS)


async def _round(minting: _Side, reading: _Side, bare: _Side, tokens: Sequence[str]) -> tuple[float, float]:
    """Return the microseconds for the proxies that one replica mints and the other reads, and for as many bare ones."""
    requests = [request_for(token) for token in tokens]
    _, minted = await cost(*minting, requests)
    # the token is verified here, to be known to the replica already
    await cost(*reading, [request_for(token, path="/v1/whoami") for token in tokens])
    ours, read = await cost(*reading, requests)
    assert dict(read) == dict(minted), "another proxy than the one in Redis"
    plain, _ = await cost(*bare, requests)
    return ours * 1e3, plain * 1e3
