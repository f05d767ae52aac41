"""Two servers under the same load in turns: answers a second, and the CPU time that the server spends on one."""

from __future__ import annotations

from benchmarks.figures import Figure, Goal, compared
from benchmarks.load import load
from benchmarks.site import Server

_CONNECTIONS = 16
# short, for both of a round to meet the same load from elsewhere
_ROUNDS = 25
_ROUND_SECONDS = 0.4
_WARM_UP_SECONDS = 1.0


async def rates(
    benchmark: str, what: str, ours: Server, bare: Server, *requests: bytes, goal: Goal | None = None
) -> list[Figure]:
    """Measure both by the same requests, over and over on connections that are kept."""
    for server in (ours, bare):
        await load(server.port, *requests, connections=_CONNECTIONS, seconds=_WARM_UP_SECONDS)
    rounds = [[await _measured(server, *requests) for server in (ours, bare)] for _ in range(_ROUNDS)]
    return [
        compared(benchmark, what, "answers/s", [(one[0], other[0]) for one, other in rounds], goal=goal),
        compared(benchmark, "the same, server's CPU", "us CPU", [(one[1], other[1]) for one, other in rounds]),
    ]


async def _measured(server: Server, *requests: bytes) -> tuple[float, float]:
    cpu = server.cpu_seconds
    answers, seconds = await load(server.port, *requests, connections=_CONNECTIONS, seconds=_ROUND_SECONDS)
    return answers / seconds, (server.cpu_seconds - cpu) / answers * 1e6
