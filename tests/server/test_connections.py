"""Connections, before there is a request on them."""

import asyncio

import pytest
from aiohttp import web

from ttscache.server import application


@pytest.mark.parametrize("beginning", [b"", b"\r\n", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_without_a_request_is_ended(monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    monkeypatch.setattr(application, "_FIRST_REQUEST_SECONDS", 0.1)
    runner = application.Runner(web.Application(), 1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(beginning)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    finally:
        await runner.cleanup()


async def test_one_with_a_request_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "_FIRST_REQUEST_SECONDS", 0.1)
    app, release = web.Application(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="there")

    app.router.add_get("/", slow)
    runner = application.Runner(app, 1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        for wait in (0.3, 0.0):  # longer than the first request has; then another on the same connection
            asyncio.get_running_loop().call_later(wait, release.set)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"there")
        writer.close()
        await writer.wait_closed()
    finally:
        await runner.cleanup()
