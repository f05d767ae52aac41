"""First contact: identities that the daemon has never seen, one request each, against a handler with the bare calls.

A token is verified and exchanged at the IAM, the session is kept, an end-entity certificate is signed for a new key,
and the proxy for the CSR.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

from benchmarks.costs import cost
from benchmarks.figures import Figure, compared
from benchmarks.orders import Caller, Order, csrs, keeping_callers, require_certified
from benchmarks.people import people, token_of
from benchmarks.site import Server, running_bare_server, running_site

_ROUNDS = 12
# in one round, by so many callers at once
_IDENTITIES = 60
_CALLERS = 8
_KEYS = 8


async def run() -> list[Figure]:
    """Measure."""
    # the first round is to warm up
    crowd = people((_ROUNDS + 1) * _IDENTITIES)
    async with running_site(users=crowd) as site:
        secret = site.files.directory / "client-secret"
        async with running_bare_server("bare_cold", site.iam.url, secret) as bare:
            sides = [(server, await keeping_callers(server.port, _CALLERS)) for server in (site.daemon, bare)]
            tokens = (token_of(site.iam, user.username) for user in crowd)
            orders = zip(tokens, cycle(csrs(_KEYS)), strict=False)
            rounds = [await _round(sides, list(islice(orders, _IDENTITIES))) for _ in range(_ROUNDS + 1)][1:]
    return [compared("cold", "first proxy, for a CSR", "ms CPU", rounds)]


async def _round(sides: Sequence[tuple[Server, Sequence[Caller]]], orders: Sequence[Order]) -> tuple[float, float]:
    """Return both sides' milliseconds for the same identities."""
    (ours, one), (plain, other) = [await cost(server, callers, orders) for server, callers in sides]
    require_certified([*one, *other])
    return ours, plain
