"""The cluster's own word on a service account token: TokenReview (authentication.k8s.io/v1)."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from typing import Any

from ttscache.errors import AudienceMismatchError, IssuerUnreachableError, TokenExpiredError
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer
from ttscache.upstream.guard import guarded

_OK, _CREATED, _UNAUTHORIZED, _FORBIDDEN = 200, 201, 401, 403
# a pod that comes for one thing comes for the next; one that is deleted has so much left
_REMEMBERED_SECONDS = 10.0
_MAX_REMEMBERED = 10_000


class TokenReviews:
    """Asks the API server of one cluster whether a token still stands: its pod and service account may be gone."""

    def __init__(self, issuer: str, url: str, fetcher: AuthorizedFetcher, audiences: frozenset[str]) -> None:
        """``url`` is the API server's, ``audiences`` are ours."""
        self._issuer = issuer
        self._url = url.rstrip("/") + "/apis/authentication.k8s.io/v1/tokenreviews"
        self._fetcher = fetcher
        self._audiences = audiences
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self.circuit = Circuit()

    async def require(self, token: str, subject: str, deadline: Deadline) -> None:
        """Raise TokenExpiredError or AudienceMismatchError for a token that the cluster does not take.

        ``subject`` is whose it must be. Raises IssuerUnreachableError while the cluster does not answer.
        """
        key = hashlib.sha256(token.encode()).digest()
        if time.monotonic() < self._remembered.get(key, 0.0):
            return
        status = await guarded(
            self.circuit, deadline, lambda: self._asked(token, deadline), self._read, self._unavailable
        )
        self._require(status, subject)
        self._remembered[key] = time.monotonic() + _REMEMBERED_SECONDS
        self._remembered.move_to_end(key)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _asked(self, token: str, deadline: Deadline) -> Answer:
        spec = {"token": token, "audiences": sorted(self._audiences)}
        review: dict[str, object] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return await self._fetcher.post_json(self._url, review, deadline)

    def _read(self, answer: Answer) -> dict[str, Any]:
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise UpstreamFailedError from self._unavailable(
                "does not let this daemon review tokens: bind its service account to system:auth-delegator", 60.0
            )
        if answer.status not in {_OK, _CREATED}:
            raise UpstreamFailedError(answer.retry_after) from self._unavailable("does not review tokens now")
        try:
            status = json.loads(answer.body)["status"]
        except (ValueError, LookupError, TypeError, RecursionError):
            status = None
        if not isinstance(status, dict):
            raise UpstreamFailedError from self._unavailable("answered with what is no TokenReview")
        return status

    def _require(self, status: dict[str, Any], subject: str) -> None:
        user = status.get("user")
        if status.get("authenticated") is not True:
            raise TokenExpiredError(
                f"cluster '{self._issuer}' does not take the token any more: its pod or service account is gone"
            )
        if not isinstance(user, dict) or user.get("username") != subject:
            raise TokenExpiredError(f"cluster '{self._issuer}' says that the token is somebody else's")
        # an authenticator that knows nothing of audiences returns none, and would take a token for anybody
        audiences = status.get("audiences")
        if not isinstance(audiences, list) or not any(each in audiences for each in self._audiences):
            raise AudienceMismatchError(f"cluster '{self._issuer}' does not confirm that the token is for this daemon")

    def _unavailable(self, what: str, retry_after: float = 5.0) -> IssuerUnreachableError:
        return IssuerUnreachableError(f"the API server of cluster '{self._issuer}' {what}", retry_after=retry_after)
