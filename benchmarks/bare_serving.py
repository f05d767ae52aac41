"""How the baselines that are servers run: aiohttp on uvloop, until SIGTERM, on a loopback port that was free."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
from pathlib import Path

import uvloop
from aiohttp import web

from ttscache.durable import write_atomically


def arguments(*names: str) -> argparse.Namespace:
    """Return the program's arguments: these, and those of every bare server."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name)
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--ready-file", type=Path, required=True)
    return parser.parse_args()


def serve(app: web.Application, options: argparse.Namespace) -> None:
    """Serve; the ready file tells where."""
    context = None
    if options.tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    uvloop.run(_serve(app, context, options.ready_file))


async def _serve(app: web.Application, context: ssl.SSLContext | None, ready_file: Path) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    ready = {"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    write_atomically(ready_file, json.dumps(ready).encode())
    await end.wait()
    await runner.cleanup()
