"""The baseline of reading the shared store: an aiohttp handler that gets a sealed answer from Redis and opens it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis

from benchmarks.bare_serving import arguments, serve

_KEY = "bare:answer"
_NONCE_BYTES = 12


def _application(url: str, answer: dict[str, Any]) -> web.Application:
    headers, body = answer["headers"], answer["body"].encode()
    cipher = AESGCM(AESGCM.generate_key(256))
    redis = Redis.from_url(url)

    async def get_proxy(_: web.Request) -> web.Response:
        sealed = await redis.get(_KEY)
        assert isinstance(sealed, bytes)
        opened = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _KEY.encode())
        return web.Response(body=opened, headers=headers)

    async def stored(_: web.Application) -> AsyncIterator[None]:
        nonce = os.urandom(_NONCE_BYTES)
        await redis.set(_KEY, nonce + cipher.encrypt(nonce, body, _KEY.encode()))
        yield
        await redis.aclose()

    app = web.Application()
    app.cleanup_ctx.append(stored)
    app.add_routes([web.get("/v1/proxy", get_proxy, allow_head=False)])
    return app


if __name__ == "__main__":
    given = arguments("url", "answer")
    serve(_application(given.url, json.loads(Path(given.answer).read_bytes())), given)
