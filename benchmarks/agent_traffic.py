"""What a sidecar asks of the daemon in a day: one turn of each thing that it keeps, counted, and how many there are."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean

from benchmarks.agents import Pod, seconds_until
from tests.tools.faultproxy import FaultProxy
from ttscache.sidecar.order import Outcome, State
from ttscache.sidecar.schedule import pause

_DAY = 86400.0
# the jitter's mean
_DRAWS = 1000


class _Meter(FaultProxy):
    """Counts what passes, both ways: TLS and all, without the headers of TCP and IP."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.bytes = 0

    async def _forward(self, data: bytes, sink: socket.socket, *, answers: bool) -> None:
        self.bytes += len(data)
        await super()._forward(data, sink, answers=answers)


async def traffic_a_day(pod: Pod, port: int) -> tuple[float, float]:
    """Return requests and bytes of a day's turns, where a daemon's port is the given one."""
    requests = size = 0.0
    for options in pod.items.values():
        # its own for each: connections are counted, and each request has one
        async with _Meter(port) as meter:
            turns = await _turns_a_day(pod, options, meter.port)
            requests += turns * meter.accepted
            size += turns * meter.bytes
    return requests, size


async def _turns_a_day(pod: Pod, options: Sequence[str | Path], port: int) -> float:
    """Have one turn, and return how many there are in a day when what came lives as long as this has."""
    status = pod.directory / "status"
    argv = pod.sidecar("--once", *options, "--status", status, url=f"https://127.0.0.1:{port}")
    await seconds_until(Path(options[-1]), argv)
    (told,) = json.loads(status.read_bytes())["files"]
    begins, ends = (None if told[name] is None else _seconds(told[name]) for name in ("written_at", "not_after"))
    assert begins is not None, "the turn came to nothing"
    outcome = Outcome(State.RENEWED, begins, ends)
    return _DAY / fmean(pause(outcome, 0, begins) for _ in range(_DRAWS))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
