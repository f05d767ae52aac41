"""CPU time of proxy making against `grid-proxy-init`, `voms-proxy-init`, and a MyProxy server that is a CA.

All have RSA-2048 keys and certificates under an RSA-2048 CA. The two programs make a key and a proxy in a file, from a
certificate and a key in files. MyProxy's work is a service's: its server, without its client, against our daemon's,
each on a TLS connection of its own, with the caller authenticated, for a key that the caller has made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Goal, compared
from benchmarks.minter import Minter, running_minter
from benchmarks.myproxy import MyProxy, running_myproxy
from benchmarks.programs import Person, cpu_seconds
from benchmarks.proxy_init import write_proxy
from proxy_gen.keys import KeyKind, generate_key

PROGRAMS = ("grid-proxy-init", "voms-proxy-init", "myproxy-server", "myproxy-logon")

_ROUNDS = 10
# in one round: a key takes now a third and now three times of what it takes at other times
_KEYS = 3
_READY = 20
_CALLS = 5

_Side = Callable[[], Awaitable[float]]


async def run() -> list[Figure]:
    """Measure."""
    async with _sides() as sides:
        # the first round is to warm up
        rounds = [{name: await side() for name, side in sides.items()} for _ in range(_ROUNDS + 1)][1:]

    def against(what: str, ours: str, peer: str, goal: Goal | None = None) -> Figure:
        return compared("makers", what, "ms CPU", [(each[ours], each[peer]) for each in rounds], goal=goal)

    below = Goal("<", 1)
    return [
        against("key and proxy, grid-proxy-init", "library", "grid-proxy-init", below),
        against("key and proxy, voms-proxy-init", "library", "voms-proxy-init", below),
        against("as a program, grid-proxy-init", "program", "grid-proxy-init"),
        against("as a program, voms-proxy-init", "program", "voms-proxy-init"),
        against("ready key, grid-proxy-init", "pooled", "grid-proxy-init"),
        against("ready key, voms-proxy-init", "pooled", "voms-proxy-init"),
        against("service, MyProxy CA", "daemon", "myproxy", below),
    ]


@asynccontextmanager
async def _sides() -> AsyncIterator[dict[str, _Side]]:
    """Return what is measured, each to be called for the milliseconds that one proxy takes."""
    with TemporaryDirectory(prefix="ttscache-bench.") as directory:
        person = Person.make(Path(directory))
        files = (person.certificate, person.key, person.proxy)
        options = ("-cert", files[0], "-key", files[1], "-out", files[2], "-bits", "2048", "-q")
        with running_myproxy(person) as myproxy:
            async with running_minter() as minter:
                yield {
                    "library": lambda: _new_keys(person),
                    "grid-proxy-init": lambda: _program(person, "grid-proxy-init", *options),
                    "program": lambda: _program(person, sys.executable, "-m", "benchmarks.proxy_init", *files),
                    "voms-proxy-init": lambda: _program(person, "voms-proxy-init", *options),
                    "pooled": lambda: _ready_key(person),
                    "myproxy": lambda: _myproxy(myproxy),
                    "daemon": lambda: _daemon(minter),
                }


async def _new_keys(person: Person) -> float:
    started = time.thread_time()
    for _ in range(_KEYS):
        write_proxy(person.credential, generate_key(KeyKind.RSA_2048), person.proxy)
    return (time.thread_time() - started) / _KEYS * 1e3


async def _ready_key(person: Person) -> float:
    key = generate_key(KeyKind.RSA_2048)
    started = time.thread_time()
    for _ in range(_READY):
        write_proxy(person.credential, key, person.proxy)
    return (time.thread_time() - started) / _READY * 1e3


async def _program(person: Person, *argv: str | Path) -> float:
    person.proxy.unlink(missing_ok=True)
    env = person.environment() | {"PYTHONPATH": str(Path(__file__).parents[1])}
    seconds = cpu_seconds(argv, env, person.directory)
    person.require_proxy()
    return seconds * 1e3


async def _myproxy(server: MyProxy) -> float:
    before = server.cpu_seconds()
    for _ in range(_CALLS):
        server.logon()
    return (server.cpu_seconds() - before) / _CALLS * 1e3


async def _daemon(minter: Minter) -> float:
    before = minter.server.cpu_seconds
    for _ in range(_CALLS):
        await minter.proxy()
    return (minter.server.cpu_seconds - before) / _CALLS * 1e3
