"""`/sandbox/...`: the levers of the embedded IAM over HTTP, for people and for tests in other processes."""

import dataclasses
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from ttscache.sandbox.iam.counters import Counters
from ttscache.sandbox.iam.decode import Model, decode
from ttscache.sandbox.iam.faults import Fault, Faults
from ttscache.sandbox.iam.keys import KeyRing
from ttscache.sandbox.iam.state import IamState


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What may be changed about a user; `None` leaves it as it is."""

    active: bool | None = None
    aup_signed: bool | None = None
    denied_scopes: tuple[str, ...] | None = None
    revoke_refresh_tokens: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """How the signing keys are rotated: with the old ones still published, or not."""

    keep_old: bool = True


class ControlEndpoints:
    """The handlers below `/sandbox/`."""

    def __init__(self, state: IamState, keys: KeyRing, faults: Faults, counters: Counters) -> None:
        self._state = state
        self._keys = keys
        self._faults = faults
        self._counters = counters

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to be added to the application."""
        return [
            web.get("/sandbox/faults", _refusing(self._list_faults)),
            web.post("/sandbox/faults", _refusing(self._add_fault)),
            web.delete("/sandbox/faults", _refusing(self._clear_faults)),
            web.get("/sandbox/stats", _refusing(self._stats)),
            web.delete("/sandbox/stats", _refusing(self._reset_stats)),
            web.post("/sandbox/users/{username}", _refusing(self._change_user)),
            web.post("/sandbox/keys", _refusing(self._rotate_keys)),
        ]

    async def _list_faults(self, _: web.Request) -> object:
        return [dataclasses.asdict(fault) for fault in self._faults.active]

    async def _add_fault(self, request: web.Request) -> object:
        self._faults.add(await _body(request, Fault))
        return await self._list_faults(request)

    async def _clear_faults(self, request: web.Request) -> object:
        self._faults.clear()
        return await self._list_faults(request)

    async def _stats(self, _: web.Request) -> object:
        return self._counters.snapshot()

    async def _reset_stats(self, request: web.Request) -> object:
        self._counters.reset()
        return await self._stats(request)

    async def _change_user(self, request: web.Request) -> object:
        username = request.match_info["username"]
        account = self._state.accounts.get(username)
        if account is None:
            raise ValueError("unknown user")
        change = await _body(request, UserChange)
        if change.active is not None:
            account.active = change.active
        if change.aup_signed is not None:
            account.aup_signed = change.aup_signed
        if change.denied_scopes is not None:
            self._state.deny_scopes(username, change.denied_scopes)
        if change.revoke_refresh_tokens:
            self._state.revoke_refresh_tokens(username)
        return {
            "username": username,
            "active": account.active,
            "aup_signed": account.aup_signed,
            "denied_scopes": sorted(account.denied_scopes),
        }

    async def _rotate_keys(self, request: web.Request) -> object:
        self._keys.rotate(keep_old=(await _body(request, KeyRotation)).keep_old)
        return self._keys.jwks()


async def _body(request: web.Request, model: type[Model]) -> Model:
    # A page in somebody's browser can send a form anywhere, but JSON only where it is allowed to.
    if request.content_type != "application/json":
        raise ValueError("the body must be application/json")
    return decode(model, json.loads(await request.read()))


def _refusing(
    handler: Callable[[web.Request], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return web.json_response(await handler(request))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    return answer
