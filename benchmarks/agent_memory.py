"""What a sidecar holds in memory: the agent between its turns, and the worker of a turn at its largest."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.agents import BRIEF, Pod

_RENEWALS = 3
_POLL_SECONDS = 0.005
_PATIENCE = 60.0
_KIB = 1024


async def agent_memory(pod: Pod) -> tuple[int, int]:
    """Return the resident bytes of an agent that keeps all that it can, after three renewals, and its worker's most."""
    status, most = pod.directory / "status", 0
    kept = [option for options in pod.items.values() for option in options]
    brief = ["--proxy-profile", BRIEF, "--min-left", "1s"]
    async with _running(pod.sidecar(*kept, *brief, "--status", status, "--health", "127.0.0.1:0")) as agent:
        # the first proxy counts as one
        while _renewals(status) <= _RENEWALS:
            most = max([most, *(_bytes(child, "VmHWM") for child in _children(agent.pid))])
            await asyncio.sleep(_POLL_SECONDS)
        return _bytes(agent.pid, "VmRSS"), most


async def bare_memory(pod: Pod) -> int:
    """Return the resident bytes of the bare loop after as many."""
    where: list[str | Path] = [pod.url, pod.ca_file, pod.token, pod.directory / "bare-proxy"]
    async with _running([sys.executable, "-m", "benchmarks.bare_sidecar", *where]) as loop:
        assert loop.stdout is not None
        for _ in range(_RENEWALS + 1):
            assert await loop.stdout.readline(), "the bare loop ended"
        return _bytes(loop.pid, "VmRSS")


@asynccontextmanager
async def _running(argv: Sequence[str | Path]) -> AsyncIterator[Process]:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(_PATIENCE):
            yield process
    finally:
        process.terminate()
        await process.communicate()


def _renewals(status: Path) -> int:
    """Return how often an agent has renewed its proxy."""
    if not status.exists():
        return 0
    files = json.loads(status.read_bytes())["files"]
    return next(int(each["renewals"]) for each in files if each["kind"] == "proxy")


def _children(pid: int) -> list[int]:
    """Return a process's children, see proc_pid_task_children(5)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _bytes(pid: int, field: str) -> int:
    """Return a field of proc_pid_status(5); 0 of a process that has ended."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return 0 if found is None else int(found[1]) * _KIB
