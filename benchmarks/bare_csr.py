"""The baseline of signing for a CSR: an aiohttp handler that checks its signature and signs a proxy, nothing else."""

from __future__ import annotations

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.bare_mint import bare_proxy, csr_key
from benchmarks.bare_serving import arguments, serve
from tests.tools.minting import authority, end_entity

_TOP = "/DC=org/DC=ttscache/O=benchmark"


def _application() -> web.Application:
    # with a name as long as the daemon's
    jane = end_entity(authority(f"{_TOP}/CN=benchmark CA"), f"{_TOP}/OU=people/CN=jane/CN=u-{'0123456789ab' * 3}")
    key = jane.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    async def post_proxy(request: web.Request) -> web.Response:
        document = await request.json()
        proxy = bare_proxy(jane.leaf, key, csr_key(document["csr"].encode()))
        pem = proxy.public_bytes(Encoding.PEM) + jane.leaf.public_bytes(Encoding.PEM)
        return web.Response(body=pem, content_type="application/x-pem-file")

    app = web.Application()
    app.add_routes([web.post("/v1/proxy", post_proxy)])
    return app


if __name__ == "__main__":
    serve(_application(), arguments())
