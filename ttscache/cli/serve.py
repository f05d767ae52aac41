"""`ttscache serve`: the daemon."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Coroutine
from pathlib import Path

import click

from ttscache.app.daemon import Daemon
from ttscache.cli import options
from ttscache.server.logs import configure


@click.command("serve")
@options.required_configuration
@click.option("--ready-file", type=options.FILE, help='Written when everything answers: {"url": ...}.')
@options.log_level("info")
def command(configuration: Path, ready_file: Path | None, log_level: str) -> None:
    """Run the daemon.

    SIGHUP reloads configuration and certificates without dropping a request; SIGTERM drains.
    """
    configure(log_level)

    async def serve() -> None:
        await Daemon(configuration).run(ready_file)

    run_event_loop(serve())


def run_event_loop(work: Coroutine[None, None, None]) -> None:
    """Run on uvloop where it is installed: it costs less CPU a request than asyncio's own loop."""
    # the process holds keys and tokens: its memory must not land in a core file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # a connection for each of ten thousand pods: the usual soft limit is 1,024
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        import uvloop  # noqa: PLC0415 - an optional extra
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
