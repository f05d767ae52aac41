"""Proxies from the cache for a remembered token, against a bare aiohttp handler that sends the same bytes."""

from __future__ import annotations

import json
from email.parser import BytesHeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Goal, compared
from benchmarks.load import connect, fetch, load, request_for
from benchmarks.site import Server, running_bare_server, running_site

_CONNECTIONS = 16
# short, for both of a round to meet the same load from elsewhere
_ROUNDS = 25
_ROUND_SECONDS = 0.4
_WARM_UP_SECONDS = 0.5
# what aiohttp adds by itself
_OWN_HEADERS = {"Content-Length", "Date", "Server"}


async def run() -> list[Figure]:
    """Measure."""
    async with running_site() as site:
        request = request_for(site.token())
        with TemporaryDirectory(prefix="ttscache-bench.") as directory:
            answer = Path(directory) / "answer"
            _write(answer, await _record(site.daemon.port, request))
            async with running_bare_server(answer) as bare:
                rounds = await _rounds(site.daemon, bare, request)
    rates = [(ours[0], plain[0]) for ours, plain in rounds]
    costs = [(ours[1], plain[1]) for ours, plain in rounds]
    return [
        compared("warm", "GET /v1/proxy", "answers/s", rates, goal=Goal(">=", 0.6)),
        compared("warm", "the same, server's CPU", "us CPU", costs),
    ]


async def _record(port: int, request: bytes) -> dict[str, object]:
    """Return headers and body of an answer of the daemon's, for the bare server to send."""
    reader, writer = await connect(port)
    head, body = await fetch(reader, writer, request)
    writer.close()
    await writer.wait_closed()
    fields = BytesHeaderParser().parsebytes(head.partition(b"\r\n")[2])
    headers = {name: value for name, value in fields.items() if name not in _OWN_HEADERS}
    return {"headers": headers, "body": body.decode()}


def _write(path: Path, answer: dict[str, object]) -> None:
    path.write_text(json.dumps(answer))  # in a directory that only we can enter


async def _rounds(
    daemon: Server, bare: Server, request: bytes
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    for server in (daemon, bare):
        await load(server.port, request, connections=_CONNECTIONS, seconds=_WARM_UP_SECONDS)
    return [(await _measured(daemon, request), await _measured(bare, request)) for _ in range(_ROUNDS)]


async def _measured(server: Server, request: bytes) -> tuple[float, float]:
    """Return answers a second, and the server's microseconds of CPU time for one."""
    cpu = server.cpu_seconds
    answers, seconds = await load(server.port, request, connections=_CONNECTIONS, seconds=_ROUND_SECONDS)
    return answers / seconds, (server.cpu_seconds - cpu) / answers * 1e6
