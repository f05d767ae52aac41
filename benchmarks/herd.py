"""A thousand clients, each with a token of its own, ask at once for the proxy of one identity, new to the daemon."""

from __future__ import annotations

import asyncio
import json
import resource
import time

from benchmarks.figures import Figure, Goal
from benchmarks.load import connect, fetch, request_for
from benchmarks.site import RunningSite, running_site

_CLIENTS = 1000
_PATIENCE = 30.0
# connections, and what else is open, on either side
_FILES = _CLIENTS + 200


async def run() -> list[Figure]:
    """Measure."""
    _raise_file_limit()
    async with running_site() as site:
        seconds, answers = await _herd(site)
        token_calls = site.iam.counters.requests["token"]
        issued = _issued(site)
    once = Goal("=", 1)
    return [
        _figure("calls to the IAM's token endpoint", token_calls, once),
        _figure("end-entity certificates issued", len({entry["eec_serial"] for entry in issued}), once),
        _figure("proxies issued", len(issued), once),
        _figure("different answers", len(set(answers)), once),
        Figure("herd", f"until all {_CLIENTS} are answered", "s", seconds),
    ]


def _figure(what: str, count: int, goal: Goal) -> Figure:
    return Figure("herd", what, "", count, goal=goal)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


async def _herd(site: RunningSite) -> tuple[float, list[bytes]]:
    """Return how long it took, and all bodies."""
    requests = [request_for(site.token()) for _ in range(_CLIENTS)]
    connections = [await connect(site.daemon.port) for _ in requests]
    started = time.monotonic()
    async with asyncio.timeout(_PATIENCE):
        answers = await asyncio.gather(
            *(fetch(*connection, request) for connection, request in zip(connections, requests, strict=True))
        )
    seconds = time.monotonic() - started
    for _, writer in connections:
        writer.close()
    return seconds, [body for _, body in answers]


def _issued(site: RunningSite) -> list[dict[str, object]]:
    """Return what the daemon's log says of each proxy that it made."""
    entries = (json.loads(line) for line in site.daemon.log.read_text().splitlines())
    return [entry for entry in entries if entry["event"] == "credential_issued"]
