"""A Kubernetes API server on loopback, as far as tokens of service accounts go, from a thread of this process."""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

from tests.net.private_ca import PrivateCa
from tests.tools.faultproxy import bound
from tests.tools.programs import PATIENCE
from tests.tools.serviceaccounts import ISSUER, RefusedError, ServiceAccounts, username

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

# slow: no answer while the fault lasts; error: status 500; html: some gateway's page, with status 200
Fault = Literal["slow", "error", "html"]

_TURNS = 10
_ANONYMOUS = "system:anonymous"
_CACHED = {"Cache-Control": "public, max-age=3600"}
_JWK_SET = "application/jwk-set+json"


class Cluster(ServiceAccounts):
    """An API server that listens while the block runs; ``stop`` and ``start`` keep its address.

    Discovery document and keys are for everybody, or with ``guarded``, as is usual, for its service accounts only.
    With ``tls`` it has a certificate of a CA of its own, and that CA's is ``ca_file`` in this directory.
    ``seen`` counts requests by their path.
    """

    def __init__(self, issuer: str = ISSUER, *, guarded: bool = False, tls: Path | None = None) -> None:
        super().__init__(issuer)
        self.seen: Counter[str] = Counter()
        self._guarded = guarded
        self.ca_file: Path | None = None
        self._tls = None
        if tls is not None:
            ca = PrivateCa()
            self.ca_file, self._tls = ca.write(tls / "ca.crt"), ca.server_context(tls)
        self._reviewers: set[str] = set()
        self._fault: Fault | None = None
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cluster")

    def __enter__(self) -> Self:
        self._reserved = bound()
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reserved.close()

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._run(self._listen())

    def stop(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._runner is not None:
            self._run(self._close(self._runner))
            self._runner = None

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._run(self._switch(fault))

    def reviewer(self, namespace: str, service_account: str) -> str:
        """Let a service account ask for reviews, as a binding to `system:auth-delegator` does; return its token."""
        self._reviewers.add(username(namespace, service_account))
        return self.token(namespace, service_account)

    @property
    def _port(self) -> int:
        return int(self._reserved.getsockname()[1])

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()

    async def _close(self, runner: web.AppRunner) -> None:
        # asyncio would leave a connection open that it has accepted, and not yet told of, when listening ends
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await runner.cleanup()

    async def _switch(self, fault: Fault | None) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen[request.path] += 1
        while self._fault == "slow":
            await self._changed.wait()
        if self._fault == "error":
            return _failure(500, "InternalError", "Internal error occurred: etcdserver: request timed out")
        if self._fault == "html":
            return web.Response(text="<html><body>Sign in</body></html>", content_type="text/html")
        try:
            return self._refusal(request, self._caller(request)) or await self._served(request)
        except RefusedError:
            return _failure(401, "Unauthorized", "Unauthorized")

    def _caller(self, request: web.Request) -> str:
        """Return who asks; a bad token is refused also where none is needed."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _ANONYMOUS
        return str(self.authenticated(token, [self.issuer])["user"]["username"])

    def _refusal(self, request: web.Request, caller: str) -> web.Response | None:
        who = f'User "{caller}" cannot'
        if request.path == REVIEWS and caller not in self._reviewers:
            what = 'create resource "tokenreviews" in API group "authentication.k8s.io" at the cluster scope'
            return _failure(403, "Forbidden", f"tokenreviews.authentication.k8s.io is forbidden: {who} {what}")
        if request.path in {DISCOVERY, JWKS} and caller == _ANONYMOUS and self._guarded:
            return _failure(403, "Forbidden", f'forbidden: {who} get path "{request.path}"')
        return None

    async def _served(self, request: web.Request) -> web.Response:
        asked = request.method, request.path
        if asked == ("GET", DISCOVERY):
            return web.json_response(self._document(), headers=_CACHED)
        if asked == ("GET", JWKS):
            return self._published(request)
        if asked == ("POST", REVIEWS):
            return self._reviewed(await request.json())
        return _failure(404, "NotFound", "the server could not find the requested resource")

    def _document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "jwks_uri": self.url + JWKS,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _published(self, request: web.Request) -> web.Response:
        # "application/json" alone does not ask for this kind of JSON
        accepted = (each.partition(";")[0].strip() for each in request.headers.get("Accept", "*/*").split(","))
        if {_JWK_SET, "*/*"}.isdisjoint(accepted):
            return _failure(406, "NotAcceptable", "406: Not Acceptable")
        return web.json_response(self.jwks, headers=_CACHED, content_type=_JWK_SET)

    def _reviewed(self, review: dict[str, Any]) -> web.Response:
        spec = review["spec"]
        if not spec.get("token"):
            return _failure(400, "BadRequest", "token is required for TokenReview in authentication")
        status = self.review(spec["token"], spec.get("audiences", ()))
        answer = {**review, "metadata": {"creationTimestamp": None}, "status": status}
        return web.json_response(answer, status=201)


def _failure(status: int, reason: str, message: str) -> web.Response:
    fields = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return web.json_response({**fields, "reason": reason, "code": status}, status=status)
