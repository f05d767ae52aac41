"""The baseline of warm requests: an aiohttp handler that does nothing but send the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.bare_serving import arguments, serve


def application(answer: dict[str, Any]) -> web.Application:
    """Return the application that sends this answer."""
    headers, body = answer["headers"], answer["body"].encode()

    async def get_proxy(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.add_routes([web.get("/v1/proxy", get_proxy, allow_head=False)])
    return app


if __name__ == "__main__":
    given = arguments("answer")
    serve(application(json.loads(Path(given.answer).read_bytes())), given)
