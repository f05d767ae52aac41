"""Issuing, side by side: a JWT and a CSR in, a certificate out. CPU time of the servers alone.

The same IAM's RS256 tokens, each presented once, and the same CSRs (RSA-2048) go to the daemon and to OpenBao, which
needs two requests for it, both over plain HTTP on connections that are kept. MyProxy's server, a CA as well, knows a
client certificate in the JWT's place, and one TLS connection for each certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import openbao
from benchmarks.costs import cost
from benchmarks.figures import Figure, Goal, compared
from benchmarks.load import keeping
from benchmarks.myproxy import MyProxy, running_myproxy
from benchmarks.openbao import BaoClient, running_openbao
from benchmarks.orders import Caller, csrs, keeping_callers, require_certified, tls_caller
from benchmarks.programs import Person
from benchmarks.site import RunningSite, Server, running_site

PROGRAMS = (*openbao.PROGRAMS, "myproxy-server", "myproxy-logon")

_ROUNDS = 12
# in one round, by so many callers at once
_ISSUES = 160
_CALLERS = 8
# its server takes them one by one; the time of its children is counted in hundredths of a second
_LOGONS = 5
_KEYS = 8

_Side = Callable[[], Awaitable[float]]


async def run() -> list[Figure]:
    """Measure."""
    async with _sides() as sides:
        # the first round is to warm up
        rounds = [{name: await side() for name, side in sides.items()} for _ in range(_ROUNDS + 1)][1:]

    def against(what: str, ours: str, peer: str, goal: Goal | None = None) -> Figure:
        return compared("issue", what, "ms CPU", [(each[ours], each[peer]) for each in rounds], goal=goal)

    return [
        against("new token, OpenBao login and sign", "new", "login and sign", Goal("<=", 0.334)),
        against("known token, OpenBao sign", "known", "sign"),
        against("new token, MyProxy CA", "new", "myproxy", Goal("<=", 0.05)),
        against("new token and TLS, MyProxy CA", "tls", "myproxy"),
    ]


@asynccontextmanager
async def _sides() -> AsyncIterator[dict[str, _Side]]:
    """Return what is measured, each to be called for the milliseconds that one certificate takes."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="ttscache-bench.")))
        myproxy = stack.enter_context(running_myproxy(Person.make(directory)))
        site = await stack.enter_async_context(running_site())
        over_tls = await stack.enter_async_context(running_site(tls=True))
        bao = await stack.enter_async_context(running_openbao(site.iam))
        keys = csrs(_KEYS)
        plain = await keeping_callers(site.daemon.port, _CALLERS)
        tls = [tls_caller(over_tls.daemon.port, ssl.create_default_context(cafile=over_tls.files.server_ca))] * _CALLERS
        clients = [BaoClient(send) for send in await keeping(bao.port, _CALLERS)]
        known, login = [site.token()], [await clients[0].login(site.token())]
        yield {
            "new": lambda: _issues(site.daemon, plain, _new(site), keys),
            "login and sign": lambda: _issues(bao, [each.login_and_sign for each in clients], _new(site), keys),
            "known": lambda: _issues(site.daemon, plain, known * _ISSUES, keys),
            "sign": lambda: _issues(bao, [each.sign for each in clients], login * _ISSUES, keys),
            "tls": lambda: _issues(over_tls.daemon, tls, _new(over_tls), keys),
            "myproxy": lambda: _logons(myproxy),
        }


def _new(site: RunningSite) -> list[str]:
    return [site.token() for _ in range(_ISSUES)]


async def _issues(server: Server, callers: Sequence[Caller], tokens: Sequence[str], keys: Sequence[str]) -> float:
    milliseconds, answers = await cost(server, callers, list(zip(tokens, cycle(keys), strict=False)))
    require_certified(answers)
    return milliseconds


async def _logons(server: MyProxy) -> float:
    before = server.cpu_seconds()
    for _ in range(_LOGONS):
        server.logon()
    return (server.cpu_seconds() - before) / _LOGONS * 1e3
