"""The embedded IAM as a server on loopback."""

import ipaddress
import logging
import uuid
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from aiohttp import web

from ttscache.sandbox.iam import metadata, scopes
from ttscache.sandbox.iam.clients import ClientAuthenticator
from ttscache.sandbox.iam.config import GrantType, IamConfig
from ttscache.sandbox.iam.control import ControlEndpoints
from ttscache.sandbox.iam.counters import Counters
from ttscache.sandbox.iam.errors import OAuthError, invalid_request
from ttscache.sandbox.iam.faults import NO_FAULT, OTHER_GRANT, Endpoint, Fault, Faults
from ttscache.sandbox.iam.grants import TokenEndpoint
from ttscache.sandbox.iam.groups import GroupLists
from ttscache.sandbox.iam.keys import KeyRing
from ttscache.sandbox.iam.messages import Call, Reply, refusal
from ttscache.sandbox.iam.proxies import ManagedProxies
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import Grant, IamState
from ttscache.sandbox.iam.strikes import delivered, replacement
from ttscache.sandbox.iam.tokeninfo import TokenInfo
from ttscache.sandbox.iam.tokens import TokenIssuer

_log = logging.getLogger(__name__)

# A token request with a few tokens in it is about 10 kB.
MAX_REQUEST = 64 * 1024
MAX_FIELDS = 100
# Requests that are being answered when the server stops have this many seconds to end.
STOP_GRACE = 1.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EmbeddedIam:
    """An IAM that listens on loopback from `start` to `stop`.

    `state`, `keys`, `faults` and `counters` are its inside, to be looked at and changed between requests. What it has
    issued and its keys outlive a restart of the server (on the same port, for the issuer to stay the same).
    """

    def __init__(self, config: IamConfig | None = None) -> None:
        self.config = config or IamConfig()
        self.state = IamState(self.config)
        self.keys = KeyRing(self.config.signing)
        self.faults = Faults()
        self.counters = Counters()
        self._realm = Realm(self.config, self.state, self.keys)
        self._issuer = TokenIssuer(self._realm)
        self._authenticator = ClientAuthenticator(self._realm)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The discovery document's `issuer`, which ends in a slash; `RuntimeError` before the first start."""
        return self._realm.url

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            ValueError: `host` is not a loopback address.
            RuntimeError: it listens already.
            OSError: the port is taken.

        """
        address = ipaddress.ip_address(host)
        if not address.is_loopback:
            raise ValueError("the embedded IAM listens on loopback only")
        if self._runner is not None:
            raise RuntimeError("the embedded IAM has been started already")
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=STOP_GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        shown = f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - the version of the protocol
        self._realm.origin = f"http://{shown}:{runner.addresses[0][1]}"
        _log.info("the embedded IAM listens on %s", self.url)

    async def stop(self) -> None:
        """Stop listening and clear the faults; requests that are being delayed are answered first."""
        runner, self._runner = self._runner, None
        self.faults.clear()
        if runner is not None:
            await runner.cleanup()

    def token_for(self, username: str, *, client_id: str = "demo", scope: str = "", audience: str = "") -> str:
        """Issue an access token without a request; scope and audience are separated by blanks.

        Without a scope the client's default ones are granted. `KeyError` for an unknown user or client,
        `RuntimeError` before the first start, when there is no issuer yet.
        """
        account, client = self.state.accounts[username], self.state.clients[client_id]
        grant = Grant(
            client_id=client.client_id,
            username=account.user.username,
            scope=account.permitted(scopes.parse(scope) or client.default_scopes),
            family=str(uuid.uuid4()),
            audience=tuple(audience.split()),
        )
        return self._issuer.access_token(grant)

    def _application(self) -> web.Application:
        info = TokenInfo(self._realm, self._authenticator)
        control = ControlEndpoints(self.state, self.keys, self.faults, self.counters)
        token = TokenEndpoint(self._realm, self._issuer, self._authenticator)
        lists = GroupLists(self._realm)
        application = web.Application(client_max_size=MAX_REQUEST)
        application.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._endpoint("discovery", self._discovery)),
                web.get("/jwk", self._endpoint("jwks", self._jwks)),
                web.post("/token", self._endpoint("token", token)),
                web.post("/introspect", self._endpoint("introspect", info.introspect)),
                web.get("/userinfo", self._endpoint("userinfo", info.userinfo)),
                web.post("/iam/proxycert", self._endpoint("proxycert", ManagedProxies(self._realm).generate)),
                web.post("/revoke", self._endpoint("revoke", info.revoke)),
                web.get("/scim/Groups", self._endpoint("groups", lists.groups)),
                web.get("/scim/Groups/{id}/members", self._endpoint("members", lists.members)),
                *control.routes(),
            ]
        )
        return application

    def _discovery(self, _: Call) -> Reply:
        return Reply(metadata.discovery(self._realm))

    def _jwks(self, call: Call) -> Reply:
        return Reply(self.keys.jwks(call.fault.jwks))

    def _endpoint(self, name: Endpoint, answer: Callable[[Call], Reply]) -> _Handler:
        """Wrap what an endpoint does with counting, faults and the wording of refusals."""

        async def handle(request: web.Request) -> web.StreamResponse:
            form = await _form(request)
            if form is None:
                return await delivered(request, refusal(invalid_request("Malformed form")), NO_FAULT)
            grant = _grant_label(form) if name == "token" else None
            self._count(name, grant)
            fault = self.faults.take(name, grant)
            await self.faults.hold(fault)
            if fault.replaces and not fault.late:
                return await replacement(request, fault)
            reply = _reply(answer, _call(request, form, fault))
            if grant and reply.status == web.HTTPOk.status_code:
                self.counters.granted[grant] += 1
            _log.info("%s %s: %d", name, grant or "-", reply.status)
            return await (replacement(request, fault) if fault.replaces else delivered(request, reply, fault))

        return handle

    def _count(self, name: Endpoint, grant: str | None) -> None:
        self.counters.requests[name] += 1
        if grant:
            self.counters.grants[grant] += 1


def _reply(answer: Callable[[Call], Reply], call: Call) -> Reply:
    try:
        return answer(call)
    except OAuthError as error:
        return refusal(error)


def _call(request: web.Request, form: dict[str, tuple[str, ...]], fault: Fault) -> Call:
    headers = request.headers
    return Call(
        form, headers.get("Authorization", ""), fault, headers.get("Accept", ""), request.query, request.match_info
    )


async def _form(request: web.Request) -> dict[str, tuple[str, ...]] | None:
    """Return the fields of a form, none when there is no form, `None` when it cannot be read."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        text = (await request.read()).decode()
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return {name: tuple(values) for name, values in fields.items()}


def _grant_label(form: dict[str, tuple[str, ...]]) -> str:
    """Return the grant's short name for counters and the log, where nothing from outside may go as it is."""
    try:
        return GrantType(form.get("grant_type", ("",))[0]).label
    except ValueError:
        return OTHER_GRANT
