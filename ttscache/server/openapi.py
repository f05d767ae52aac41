"""/openapi.json: what the server offers, for programs."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import yaml
from aiohttp import web

from ttscache.server.parsing import refuse_unknown
from ttscache.server.services import services_of


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [web.get("/openapi.json", document)]


async def document(request: web.Request) -> web.StreamResponse:
    """Answer with the description of every route (OpenAPI 3.1)."""
    refuse_unknown(request.query, set(), "query parameter")
    servers = [{"url": services_of(request).public_url}]
    # read once, but that takes longer than all others should wait
    described = await asyncio.to_thread(description)
    return web.json_response({**described, "servers": servers}, headers={"Cache-Control": "public, max-age=300"})


@cache
def description() -> dict[str, Any]:
    """Return the description as it is written beside this module."""
    loaded: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text())
    loaded["info"]["version"] = version("ttscache")
    return loaded
