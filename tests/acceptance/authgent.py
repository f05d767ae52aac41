"""PyPI's `authgent-server` in IAM's place: an authorization server with RFC 8693 that was not written here.

What a token-exchange client must know (0.3.4; read off the running server and its source):

- `iss` of its tokens is AUTHGENT_SERVER_URL to the letter. The discovery document's `issuer` is the same without a
  trailing slash, so the two agree as long as the URL has none (here: `http://127.0.0.1:PORT`). Discovery at
  `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`; JWKS at `/.well-known/jwks.json`,
  one P-256 key with `kid`, `use: sig`, `alg: ES256`. `scopes_supported` is what clients registered so far.
- Tokens: header `alg kid typ=JWT`; claims `iss sub aud exp iat jti scope client_id`, never `nbf`. By
  client_credentials, `sub` is `client:CLIENT_ID` and `aud` (a string) is the request's `resource`, else the issuer
  itself; `audience` is ignored there. They live 900 s, exchanged ones 300 s. `Claims` (authgent_claims.py) gives the
  subject tokens of `person` their own `sub`, groups and name, and exchanged ones the same.
- Client authentication: client_secret_basic (not URL-decoded) or client_secret_post whichever was registered, no
  private_key_jwt. A `client_id` in the form wins over the header. Without a secret **any client is taken at its word**;
  a wrong secret is 401 `invalid_client`. Checking one costs 0.25 s of bcrypt.
- Registration: the grant type and every scope asked for later must be named. A scope may hold `[a-zA-Z0-9_:.-]` only:
  `storage.read:/` cannot be registered, but a client without registered scopes may ask for anything.
- Exchange: `subject_token_type` absent or `...:access_token`, anything else is 400 `invalid_request` (`...:jwt` too).
  `audience` or `resource` is required, `audience` wins, of several audiences the last is used and nothing is said.
  The subject token's own audience does not matter.
- Scopes: none asked for means all that the client registered. One outside the registration is 403
  `insufficient_scope`, one outside the subject token's (unless that has none) 403 `scope_escalation`: so the subject
  token must have `openid offline_access wlcg.groups` if the exchange asks for them.
- The answer: `access_token, token_type: Bearer, expires_in, scope, issued_token_type: ...:access_token` and
  `refresh_token: null`, with `offline_access` too. `sub` is the subject token's, `act: {sub: client:CLIENT_ID}` is the
  exchanging client, nested when exchanged again (no deeper than 5), `client_id` likewise, `aud` a string.
  `requested_token_type=...:jwt` gives something else: a grant for another server, `token_type: N_A`, 60 s, no `act`.
- A bad or expired subject token is 400 `invalid_grant`, a revoked one 401 `token_revoked`. `actor_token` is ignored.
- Revocation is for the client that the token was given to: another's is answered 200 and does nothing. What a revoked
  token was exchanged for lives on.
- Refresh tokens come by the authorization code grant only (`login`). Each is for one use; a second use is 400
  `invalid_grant` and revokes those that came after it. The client must register the `refresh_token` grant too.
"""

import base64
import hashlib
import http.client
import json
import secrets
import shutil
import socket
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tests.tools.programs import dies_with_us, environment, need, serving, unavailable

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_REDIRECT = "http://localhost/back"

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client."""

    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: Json


class Authgent:
    """A running server, and what its clients and users do."""

    def __init__(self, url: str, people: Path) -> None:
        self.issuer = url
        self.token_endpoint = f"{url}/token"
        self._people = people

    def register(self, *grants: str, scope: str, auth_method: str = "client_secret_basic") -> Client:
        """Register a client for some grants; `scope` is all that it may ever ask for."""
        wanted = {
            "client_name": "a test's",
            "grant_types": list(grants),
            "scope": scope,
            "token_endpoint_auth_method": auth_method,
            "redirect_uris": [_REDIRECT],
        }
        answer = self._send("POST", "/register", json.dumps(wanted), {"Content-Type": "application/json"})
        assert answer.status == http.HTTPStatus.CREATED, answer
        return Client(answer.body["client_id"], answer.body["client_secret"])

    def person(self, *, scope: str, **claims: object) -> Client:
        """Make somebody up: a client whose tokens carry these claims (`sub` among them), as a user's at IAM would."""
        client = self.register("client_credentials", scope=scope)
        people = json.loads(self._people.read_text())
        draft = self._people.with_suffix(".new")
        draft.write_text(json.dumps(people | {client.client_id: claims}))
        draft.replace(self._people)  # the server reads it at any moment
        return client

    def subject_token(self, client: Client, *, scope: str = "", audience: str = "") -> str:
        """Return a JWT by client_credentials; without an audience, it is for the issuer itself."""
        answer = self.token(client, grant_type="client_credentials", scope=scope, resource=audience)
        assert answer.status == http.HTTPStatus.OK, answer
        return str(answer.body["access_token"])

    def exchange(self, client: Client, subject_token: str, **form: str | list[str]) -> Answer:
        """Exchange a token (RFC 8693)."""
        wanted = {"subject_token_type": ACCESS_TOKEN} | form
        return self.token(client, grant_type=TOKEN_EXCHANGE, subject_token=subject_token, **wanted)

    def login(self, client: Client, *, scope: str) -> Answer:
        """Go through the authorization code grant as the one user there is: the way to a refresh token."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": _REDIRECT,
            "scope": scope,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        }
        there = self._send("GET", f"/authorize?{urllib.parse.urlencode(query)}")
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(there.headers["location"]).query)["code"][0]
        form = {"code": code, "code_verifier": verifier, "redirect_uri": _REDIRECT}
        return self.token(client, grant_type="authorization_code", **form)

    def refresh(self, client: Client, refresh_token: str) -> Answer:
        """Use a refresh token."""
        return self.token(client, grant_type="refresh_token", refresh_token=refresh_token)

    def revoke(self, client: Client, token: str) -> None:
        """Let the client that got a token revoke it: exchanging it is refused from now on."""
        answer = self._form("/revoke", client, {"token": token})
        assert answer.status == http.HTTPStatus.OK, answer

    def token(self, client: Client, **form: str | list[str]) -> Answer:
        """Send a request to the token endpoint; empty values are left out."""
        return self._form("/token", client, {name: value for name, value in form.items() if value})

    def get(self, path: str) -> Json:
        """Fetch a document."""
        answer = self._send("GET", path)
        assert answer.status == http.HTTPStatus.OK, answer
        return answer.body

    def _form(self, path: str, client: Client, form: dict[str, str | list[str]]) -> Answer:
        basic = base64.b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"}
        return self._send("POST", path, urllib.parse.urlencode(form, doseq=True), headers)

    def _send(self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.issuer).netloc, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, json.loads(said) if said else {})


@contextmanager
def authorization_server(directory: Path) -> Iterator[Authgent]:
    """Run a server with a database of its own until the block ends."""
    need("setpriv")
    program = Path(sys.executable).parent / "authgent-server"
    if shutil.which(program) is None:
        unavailable("not installed: authgent-server")
    people = directory / "people.json"
    people.write_text("{}")
    with _reserved_port() as port:
        url = f"http://127.0.0.1:{port}"
        argv = dies_with_us([program, "run", "--host", "127.0.0.1", "--port", str(port)])
        env = _settings(directory, url, people)
        with serving(argv, log=directory / "log", env=env, directory=directory) as server:
            server.printed(r"Uvicorn running on ")
            yield Authgent(url, people)


def _settings(directory: Path, url: str, people: Path) -> dict[str, str]:
    return environment(
        AUTHGENT_SERVER_URL=url,
        AUTHGENT_DATABASE_URL=f"sqlite+aiosqlite:///{directory}/authgent.db",
        AUTHGENT_SECRET_KEY=secrets.token_hex(32),  # else it writes one into its directory
        AUTHGENT_TOKEN_RATE_LIMIT="1000000",  # its default, a hundred a minute, is a short test
        AUTHGENT_CLAIM_ENRICHER="authgent_claims.Claims",
        AUTHGENT_TEST_PEOPLE=people,
        PYTHONPATH=Path(__file__).parent,
        PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE="1",
    )


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Hold a port for a server that must be told its own address before it starts.

    A socket that is bound but does not listen keeps the kernel from giving the port to anybody who asks for just any,
    and SO_REUSEADDR on both sides lets the server, which asks for this very one, have it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def claims(token: str) -> Json:
    """Read a token's claims without a look at the signature."""
    payload = token.split(".")[1]
    content: Json = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return content
