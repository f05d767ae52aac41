"""The baseline of first contact: an aiohttp handler with the same calls, which keeps nothing and decides nothing.

It verifies the token with PyJWT, exchanges it at the IAM, and signs an end-entity certificate for a new key and the
proxy of a CSR.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
from aiohttp import BasicAuth, ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.bare_mint import BareMint, csr_key
from benchmarks.bare_serving import arguments, serve
from tests.tools.minting import authority
from ttscache.sandbox.site import AUDIENCE

_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "scope": "openid offline_access wlcg.groups",
}


class _Service:
    def __init__(self, iam: str, secret: str) -> None:
        self._iam = iam
        self._auth = BasicAuth("ttscache", secret)
        ca = authority("/DC=org/DC=ttscache/O=benchmark/CN=benchmark CA")
        assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
        self._mint = BareMint(ca.certificate, ca.key)

    async def connected(self, _: web.Application) -> AsyncIterator[None]:
        async with ClientSession() as self._client:
            async with self._client.get(f"{self._iam}jwk") as answer:
                self._key = jwt.PyJWK((await answer.json())["keys"][0]).key
            yield

    async def post_proxy(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        document = await request.json()
        claims = jwt.decode(token, self._key, algorithms=["RS256"], audience=AUDIENCE, issuer=self._iam)
        assert (await self._exchanged(token))["refresh_token"]
        pem = self._mint.certify(claims["sub"], csr_key(document["csr"].encode()))
        return web.Response(body=pem, content_type="application/x-pem-file")

    async def _exchanged(self, token: str) -> dict[str, Any]:
        form = {**_EXCHANGE, "subject_token": token}
        async with self._client.post(f"{self._iam}token", data=form, auth=self._auth) as answer:
            document: dict[str, Any] = await answer.json()
            return document


def _application(iam: str, secret: str) -> web.Application:
    service = _Service(iam, secret)
    app = web.Application()
    app.cleanup_ctx.append(service.connected)
    app.add_routes([web.post("/v1/proxy", service.post_proxy)])
    return app


if __name__ == "__main__":
    given = arguments("iam", "secret")
    serve(_application(given.iam, Path(given.secret).read_text()), given)
