"""Orders of proxies for CSRs: their bodies, and the ways in which clients send them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable, Iterable

from cryptography import x509

from benchmarks.load import Send, fetch_once, keeping, post_for
from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key

# no attributes, which no baseline and no peer signs
_PROFILE = "short"

# a token and a CSR
Order = tuple[str, str]
Caller = Callable[[Order], Awaitable[bytes]]


def csrs(number: int) -> list[str]:
    """Return as many requests, each for an RSA-2048 key of its own."""
    return [make_csr(generate_key(KeyKind.RSA_2048)).decode() for _ in range(number)]


def csr_body(csr: str) -> bytes:
    """Return the JSON that asks for a proxy."""
    return json.dumps({"profile": _PROFILE, "csr": csr}).encode()


async def keeping_callers(port: int, number: int) -> list[Caller]:
    """Return as many callers of `POST /v1/proxy`, each with a connection that it keeps."""
    return [_through(send) for send in await keeping(port, number)]


def tls_caller(port: int, tls: ssl.SSLContext) -> Caller:
    """Return a caller that opens a connection for each order."""

    async def issue(order: Order) -> bytes:
        token, csr = order
        return await fetch_once(port, post_for(token, csr_body(csr), "Connection: close"), tls)

    return issue


def require_certified(answers: Iterable[tuple[Order, bytes]]) -> None:
    """Tell a server that signs from one that answers something else faster."""
    for (_, csr), pem in answers:
        key = x509.load_pem_x509_csr(csr.encode()).public_key()
        assert x509.load_pem_x509_certificate(pem).public_key() == key, "no certificate for the order's key"


def _through(send: Send) -> Caller:
    async def issue(order: Order) -> bytes:
        token, csr = order
        return await send(post_for(token, csr_body(csr)))

    return issue
