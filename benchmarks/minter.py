"""The daemon as a minting service: each proxy by a connection of its own, for a CSR and a token never seen before."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.load import fetch_once, post_for
from benchmarks.site import RunningSite, Server, running_site
from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key


@dataclass(frozen=True)
class Minter:
    """A running daemon behind TLS, and a request for one key."""

    site: RunningSite
    tls: ssl.SSLContext
    body: bytes

    @property
    def server(self) -> Server:
        """The daemon's process."""
        return self.site.daemon

    async def proxy(self) -> Credential:
        """Have a proxy signed; an answer to a CSR never comes from the cache."""
        request = post_for(self.site.token(), self.body, "Connection: close")
        return Credential.parse(await fetch_once(self.server.port, request, self.tls))


@asynccontextmanager
async def running_minter() -> AsyncIterator[Minter]:
    """Run the daemon."""
    body = json.dumps({"profile": "pilot", "csr": make_csr(generate_key(KeyKind.RSA_2048)).decode()}).encode()
    async with running_site(tls=True) as site:
        yield Minter(site, ssl.create_default_context(cafile=site.files.server_ca), body)
