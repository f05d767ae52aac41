"""The sidecar: how soon its first proxy is there, what it holds in memory, and what it asks of the daemon in a day.

A key of P-256 takes no time to speak of: with such a profile, all but the making of the key is measured. Against it
stands the shell's way to the same proxy of the same daemon: `openssl req` for key and CSR, and `curl`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import repeat
from statistics import median

from benchmarks import agents
from benchmarks.agent_memory import agent_memory, bare_memory
from benchmarks.agent_traffic import traffic_a_day
from benchmarks.agents import EC, RSA, Pods, running_pods, seconds_until
from benchmarks.figures import Figure, Goal, compared
from benchmarks.people import people

PROGRAMS = agents.PROGRAMS

_ROUNDS = 12
# of the shell and of the sidecar, for each kind of key
_STRANGERS = 4
_WARM, _COLD = "warm", "cold"
_SIDECAR, _SHELL = "sidecar", "shell"
_PYTHON = "python"
_MB, _KIB = 1e6, 1024

# seconds, by what took them
_Round = dict[tuple[str, ...], float]


async def run() -> list[Figure]:
    """Measure."""
    # the first round is to warm up
    async with running_pods(people((_ROUNDS + 1) * _STRANGERS)) as pods:
        rounds = [each async for each in _rounds(pods)][1:]
        # of others: what is there and good is kept
        agent, worker = await agent_memory(pods.of("joe"))
        bare = await bare_memory(pods.of("joe"))
        requests, size = await traffic_a_day(pods.of("admin"), pods.daemon.port)
    return [
        *_starts(rounds),
        Figure("sidecar", "resident after three renewals", "MB", agent / _MB, goal=Goal("<", 30)),
        compared("sidecar", "the same, a loop that fetches", "MB", [(agent / _MB, bare / _MB)]),
        Figure("sidecar", "its worker at the most", "MB", worker / _MB),
        Figure("sidecar", "requests of a pod in a day", "", requests),
        Figure("sidecar", "bytes of a pod in a day", "KiB", size / _KIB),
    ]


async def _rounds(pods: Pods) -> AsyncIterator[_Round]:
    strangers = (pods.of(user.username) for user in people((_ROUNDS + 1) * _STRANGERS))
    jane = pods.of("jane")
    for _ in range(_ROUNDS + 1):
        taken: _Round = {(_PYTHON,): await seconds_until(jane.proxy, jane.python())}
        for profile in (EC, RSA):
            for contact, callers in ((_WARM, repeat(jane)), (_COLD, strangers)):
                pod = next(callers)
                argv = pod.sidecar("--once", "--proxy", pod.proxy, "--proxy-profile", profile)
                taken[_SIDECAR, contact, profile] = await seconds_until(pod.proxy, argv)
                pod = next(callers)
                taken[_SHELL, contact, profile] = await seconds_until(pod.proxy, pod.shell(profile))
        yield taken


def _starts(rounds: Sequence[_Round]) -> list[Figure]:
    def against(what: str, contact: str, profile: str, *peer: str) -> Figure:
        pairs = [(each[_SIDECAR, contact, profile], each[peer]) for each in rounds]
        return compared("sidecar", what, "s", pairs)

    def alone(what: str, contact: str) -> Figure:
        seconds = median(each[_SIDECAR, contact, EC] for each in rounds)
        return Figure("sidecar", what, "s", seconds, goal=Goal("<", 1))

    return [
        alone("first proxy besides its key, warm", _WARM),
        alone("first proxy besides its key, cold", _COLD),
        against("warm, P-256 key, openssl and curl", _WARM, EC, _SHELL, _WARM, EC),
        against("cold, P-256 key, openssl and curl", _COLD, EC, _SHELL, _COLD, EC),
        against("warm, RSA key, openssl and curl", _WARM, RSA, _SHELL, _WARM, RSA),
        against("cold, RSA key, openssl and curl", _COLD, RSA, _SHELL, _COLD, RSA),
        against("warm, RSA key, Python making a key", _WARM, RSA, _PYTHON),
    ]
