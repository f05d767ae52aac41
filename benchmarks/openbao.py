"""OpenBao as an issuer: its JWT auth method lets the bearer in, its PKI engine signs a certificate for a CSR."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load import Send, post
from benchmarks.orders import Order
from benchmarks.site import Server
from tests.tools.openbao import OpenBao, openbao
from ttscache.sandbox.iam import EmbeddedIam
from ttscache.sandbox.site import AUDIENCE

PROGRAMS = (str(Path(sys.executable).with_name("bao")), "setpriv")

_ROLE = "pilot"
_POLICY = f'path "pki/sign/{_ROLE}" {{ capabilities = ["update"] }}'


@dataclass(frozen=True)
class BaoClient:
    """A client on a connection that is kept."""

    send: Send

    async def login(self, jwt: str) -> str:
        """Return a token of the server's for a JWT."""
        answer = await self._post("auth/jwt/login", {"role": _ROLE, "jwt": jwt})
        return str(answer["auth"]["client_token"])

    async def sign(self, order: Order) -> bytes:
        """Return a certificate, in PEM, for a token of the server's and a CSR."""
        token, csr = order
        fields = {"csr": csr, "common_name": "jane", "ttl": "12h"}
        answer = await self._post(f"pki/sign/{_ROLE}", fields, f"X-Vault-Token: {token}")
        return str(answer["data"]["certificate"]).encode()

    async def login_and_sign(self, order: Order) -> bytes:
        """Return a certificate for a JWT and a CSR."""
        jwt, csr = order
        return await self.sign((await self.login(jwt), csr))

    async def _post(self, path: str, fields: dict[str, str], *headers: str) -> dict[str, Any]:
        body = await self.send(post(f"/v1/{path}", json.dumps(fields).encode(), *headers))
        answer: dict[str, Any] = json.loads(body)
        return answer


@asynccontextmanager
async def running_openbao(iam: EmbeddedIam) -> AsyncIterator[Server]:
    """Run a server in its development mode: plain HTTP, its storage in memory. It trusts tokens of this IAM."""
    with TemporaryDirectory(prefix="ttscache-bench.") as directory, openbao(Path(directory)) as running:
        # in a thread, for the server asks the IAM, which is in this one, for its keys
        await asyncio.to_thread(_configure, running, iam)
        yield Server(running.server.process.pid, urlsplit(running.url).port or 0, Path(directory) / "openbao.log")


def _configure(bao: OpenBao, iam: EmbeddedIam) -> None:
    """Let in users of the IAM, for certificates of any name, in the way that costs the server least."""
    # neither certificates are stored, nor tokens: one of the kind `batch` carries all that there is
    bao.call("POST", f"pki/roles/{_ROLE}", key_type="rsa", key_bits=2048, no_store=True, allow_any_name=True)
    bao.call("PUT", f"sys/policies/acl/{_ROLE}", policy=_POLICY)
    bao.call("POST", "sys/auth/jwt", type="jwt")
    bao.call("POST", "auth/jwt/config", jwks_url=f"{iam.url}jwk", bound_issuer=iam.url)
    role: dict[str, object] = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE]}
    role |= {"token_type": "batch", "token_ttl": "1h", "token_policies": [_ROLE], "token_no_default_policy": True}
    bao.call("POST", f"auth/jwt/role/{_ROLE}", **role)
