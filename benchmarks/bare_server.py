"""The baseline of warm requests: an aiohttp handler that does nothing but send the same bytes."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from ttscache.durable import write_atomically


def _application(answer: dict[str, Any]) -> web.Application:
    headers, body = answer["headers"], answer["body"].encode()

    async def get_proxy(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.add_routes([web.get("/v1/proxy", get_proxy, allow_head=False)])
    return app


async def _serve(app: web.Application, ready_file: Path) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    ready = {"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    write_atomically(ready_file, json.dumps(ready).encode())
    await end.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("answer", type=Path)
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    app = _application(json.loads(arguments.answer.read_bytes()))
    uvloop.run(_serve(app, arguments.ready_file))


if __name__ == "__main__":
    main()
