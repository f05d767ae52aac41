"""IAM's managed proxies: `POST /iam/proxycert` gives a proxy of the certificate that the user has linked there."""

from __future__ import annotations

import json

from proxy_gen.credential import Credential
from proxy_gen.errors import CredentialFileError
from ttscache.errors import ExchangeRefusedError, UpstreamUnavailableError
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher
from ttscache.upstream.guard import guarded

_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _PRECONDITION_FAILED = 200, 400, 401, 403, 412
# IAM refuses less than the first and gives no more than the second
_LEAST_SECONDS, _MOST_SECONDS = 120, 43200
_REFUSALS = {
    _UNAUTHORIZED: "does not take the session's token for it",
    _FORBIDDEN: "does not grant the scope proxy:generate to this daemon's client",
    _PRECONDITION_FAILED: "has no managed proxy of this user, or an expired one; add one in IAM's dashboard",
    _BAD_REQUEST: "takes the request for a managed proxy for malformed",
}


class ManagedProxies:
    """The managed proxies of one issuer, with a circuit around it."""

    def __init__(self, issuer: str, url: str, fetcher: Fetcher) -> None:
        """``url`` is the issuer's."""
        self._issuer = issuer
        self._url = url.rstrip("/") + "/iam/proxycert"
        self._fetcher = fetcher
        self.circuit = Circuit()

    async def fetch(self, token: str, seconds: float, deadline: Deadline) -> Credential:
        """Return a proxy with its key and chain that lives for so many seconds, or as long as IAM lets it.

        Raises :class:`ExchangeRefusedError` when IAM has none for the user, :class:`UpstreamUnavailableError`.
        """
        form = {"lifetimeSecs": str(int(min(max(seconds, _LEAST_SECONDS), _MOST_SECONDS)))}
        headers = {"Authorization": f"Bearer {token}"}
        return await guarded(
            self.circuit,
            deadline,
            lambda: self._fetcher.post_form(self._url, form, deadline, headers),
            self._read,
            self._unavailable,
        )

    def _read(self, answer: Answer) -> Credential:
        refusal = _REFUSALS.get(answer.status)
        if refusal is not None:
            raise ExchangeRefusedError(f"issuer '{self._issuer}' {refusal}")
        if answer.status != _OK:
            raise UpstreamFailedError(answer.retry_after) from self._unavailable("has a fault of its own")
        try:
            return Credential.parse(json.loads(answer.body)["certificate_chain"].encode())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, CredentialFileError):
            raise UpstreamFailedError from self._unavailable("answered with what is no proxy")

    def _unavailable(self, what: str, retry_after: float = 5.0) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"issuer '{self._issuer}' (managed proxies) {what}", retry_after=retry_after)
