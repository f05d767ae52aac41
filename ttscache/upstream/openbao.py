"""The client side of OpenBao's PKI engine (and Vault's, from which it stems)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cryptography import x509

from ttscache.errors import SignerUnavailableError
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher
from ttscache.upstream.guard import guarded

_OK = 200
_SERVER_ERROR = 500
_RETRY_SECONDS = 60.0
_REFUSALS = {
    400: "refuses to sign; its own log or the role says why",
    403: "does not take the token, or the token may not sign under this role",
    404: "has no PKI engine at this mount, or no such role",
}


@dataclass(frozen=True)
class PkiState:
    """What consumers must trust: the engine's CA, those above it as far as the engine has them, and its own CRL."""

    authorities: tuple[x509.Certificate, ...]
    crl: x509.CertificateRevocationList


class PkiEngine:
    """One PKI engine, with a circuit around it."""

    def __init__(self, url: str, mount: str, role: str, token: Callable[[], str], fetcher: Fetcher) -> None:
        """``token`` returns the token as it is now, or raises SignerUnavailableError."""
        self.url = f"{url}/v1/{mount}"
        self.role = role
        self._token = token
        self._fetcher = fetcher
        self.circuit = Circuit()

    async def sign(self, csr: bytes, seconds: int, deadline: Deadline) -> x509.Certificate:
        """Have a CSR (PEM) signed with the subject that it has; the role may shorten the life asked for.

        Raises :class:`SignerUnavailableError`.
        """
        document = {
            "csr": csr.decode(),
            "ttl": f"{seconds}s",
            "key_usage": ["DigitalSignature"],
            "ext_key_usage": ["ClientAuth"],
            "format": "pem",
        }
        headers = {"X-Vault-Token": self._token()}
        url = f"{self.url}/sign-verbatim/{self.role}"
        answer = await self._call(deadline, lambda: self._fetcher.post_json(url, document, deadline, headers))
        try:
            return x509.load_pem_x509_certificate(json.loads(answer)["data"]["certificate"].encode())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, x509.InvalidVersion):
            raise self._unavailable("answered with what is no certificate") from None

    async def state(self, deadline: Deadline) -> PkiState:
        """Return what is to be trusted now. Raises :class:`SignerUnavailableError`."""
        chain, crl = [
            await self._call(deadline, lambda path=path: self._fetcher.get(f"{self.url}/{path}", deadline))  # type: ignore[misc]
            for path in ("ca_chain", "crl")
        ]
        try:
            return PkiState(tuple(x509.load_pem_x509_certificates(chain)), x509.load_der_x509_crl(crl))
        except (ValueError, TypeError, x509.InvalidVersion):
            raise self._unavailable("answered with what is no CA certificate or CRL") from None

    async def _call(self, deadline: Deadline, send: Callable[[], Awaitable[Answer]]) -> bytes:
        return await guarded(self.circuit, deadline, send, self._body, self._unavailable)

    def _body(self, answer: Answer) -> bytes:
        if answer.status == _OK:
            return answer.body
        if answer.status >= _SERVER_ERROR:  # 503 is a sealed one
            raise UpstreamFailedError(answer.retry_after) from self._unavailable("is sealed, or has a fault of its own")
        what = _REFUSALS.get(answer.status, f"answers with status {answer.status}")
        raise self._unavailable(what, retry_after=_RETRY_SECONDS)

    def _unavailable(self, what: str, retry_after: float = 5.0) -> SignerUnavailableError:
        return SignerUnavailableError(f"the PKI engine {what}", retry_after=retry_after)
