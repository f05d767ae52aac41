"""The embedded IAM behind a faulty network, with a memory of what it handed out and of each refresh."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp import web

from ttscache.sandbox.iam import EmbeddedIam, IamConfig
from ttscache.sandbox.iam.errors import OAuthError
from ttscache.sandbox.iam.faults import NO_FAULT, Endpoint, Fault
from ttscache.sandbox.iam.messages import Call, Reply
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import Grant
from ttscache.sandbox.iam.tokens import TokenIssuer

_arrived: ContextVar[float] = ContextVar("arrived")


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh that was granted: the token is spent. ``answer_lost`` when the IAM itself threw the answer away."""

    username: str
    arrived: float
    decided: float
    answer_lost: bool


@dataclass(frozen=True, slots=True)
class Reuse:
    """A spent token that was presented again: the answer to ``first`` has not reached the store."""

    first: Refresh
    at: float


class _Keeper(TokenIssuer):
    """Keeps what it issues: the access tokens, and the refresh tokens with their grants."""

    def __init__(self, realm: Realm) -> None:
        super().__init__(realm)
        self.access: list[str] = []
        self.refresh: dict[str, Grant] = {}

    def access_token(self, grant: Grant, fault: Fault = NO_FAULT) -> str:
        token = super().access_token(grant, fault)
        self.access.append(token)
        return token

    def refresh_token(self, grant: Grant) -> str:
        token = super().refresh_token(grant)
        self.refresh[token] = grant
        return token


class WatchedIam(EmbeddedIam):
    """An IAM that remembers."""

    def __init__(self, config: IamConfig) -> None:
        super().__init__(config)
        self._issuer: _Keeper = _Keeper(self._realm)
        self._spent: dict[str, Refresh] = {}
        self.reuses: list[Reuse] = []
        # by user: when a refresh was refused because of a suspension
        self.refusals: defaultdict[str, list[float]] = defaultdict(list)

    @property
    def port(self) -> int:
        """Where it listens itself."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    def stand_behind(self, port: int) -> None:
        """Be known by another port than one's own."""
        self._realm.origin = f"http://127.0.0.1:{port}"

    def handed_out(self, since: tuple[int, int]) -> tuple[list[str], tuple[int, int]]:
        """Return the tokens that were issued since a position, and the position now."""
        access, refresh = self._issuer.access, list(self._issuer.refresh)
        return access[since[0] :] + refresh[since[1] :], (len(access), len(refresh))

    def _endpoint(
        self, name: Endpoint, answer: Callable[[Call], Reply]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        handle = super()._endpoint(name, (lambda call: self._watched(call, answer)) if name == "token" else answer)

        async def timed(request: web.Request) -> web.StreamResponse:
            _arrived.set(time.time())
            return await handle(request)

        return timed

    def _watched(self, call: Call, answer: Callable[[Call], Reply]) -> Reply:
        token = call.value("refresh_token")
        grant = self._issuer.refresh.get(token)
        if grant is None or grant.username is None:
            return answer(call)
        try:
            reply = answer(call)
        except OAuthError:
            if token in self._spent:
                self.reuses.append(Reuse(self._spent[token], time.time()))
            elif not self.state.accounts[grant.username].active:
                self.refusals[grant.username].append(time.time())
            raise
        lost = call.fault.replaces or call.fault.body == "truncated"
        self._spent[token] = Refresh(grant.username, _arrived.get(), time.time(), lost)
        return reply
