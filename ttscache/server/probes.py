"""Probes: alive, and ready."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from ttscache.broker.readiness import Status, overall
from ttscache.server.answers import NO_STORE
from ttscache.server.services import CURRENT


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]


async def healthz(_: web.Request) -> web.StreamResponse:
    """Answer that the event loop turns."""
    return web.json_response({"status": "ok"}, headers=NO_STORE)


async def readyz(request: web.Request) -> web.StreamResponse:
    """Answer how each dependency is: 503 only when nothing can be served, or while draining."""
    current = request.app[CURRENT]
    dependencies = await current.services.readiness.dependencies()
    status = overall(dependencies)
    body = {
        "status": "draining" if current.draining else status.value,
        "dependencies": {name: dependency.value for name, dependency in dependencies.items()},
    }
    ready = not current.draining and status is not Status.DOWN
    code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return web.json_response(body, status=code, headers=NO_STORE)
