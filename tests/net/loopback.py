"""A server on loopback whose answers a test writes."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Loopback:
    """Answers each path as ``answers`` says, 404 for the others, and counts what it is asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Handler] = {}
        self.seen: Counter[str] = Counter()
        self.url = ""
        self._tls = tls

    def say(
        self, path: str, body: object = None, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer a path with JSON, or with text when ``body`` is text."""

        async def answer(_: web.Request) -> web.StreamResponse:
            if isinstance(body, str):
                return web.Response(status=status, text=body, headers=headers)
            return web.json_response(body, status=status, headers=headers)

        self.answers[path] = answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen[request.path] += 1
        answer = self.answers.get(request.path)
        return web.Response(status=404) if answer is None else await answer(request)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
            scheme = "http" if self._tls is None else "https"
            self.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await runner.cleanup()


@asynccontextmanager
async def loopback(tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    server = Loopback(tls)
    async with server.listening():
        yield server
