"""A client of the embedded IAM: what a real one would send, and a typed look at the answers."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import jwt

from ttscache.sandbox.iam import Client, EmbeddedIam, GrantType, IamConfig, password_form
from ttscache.sandbox.iam.config import default_clients, default_users

# An elliptic key is made at once; RS256 has tests of its own.
FAST = ("ES256",)
TTSCACHE, DEMO, ROBOT = default_clients()
USERS = default_users()


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 1_900_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        body = json.loads(self.text)
        assert isinstance(body, dict)
        return body

    @property
    def claims(self) -> dict[str, Any]:
        """The claims of the access token, as they are."""
        return unverified(self.json["access_token"])


def unverified(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def config(**changes: object) -> IamConfig:
    settings: dict[str, Any] = {"signing": FAST, "users": USERS, "clients": (TTSCACHE, DEMO, ROBOT)}
    return IamConfig(**settings | changes)


class IamUser:
    """Sends requests to one embedded IAM."""

    def __init__(self, iam: EmbeddedIam, http: aiohttp.ClientSession) -> None:
        self.iam = iam
        self.http = http

    async def send(self, method: str, path: str, **kwargs: Any) -> Answer:  # noqa: ANN401 - aiohttp's own
        async with self.http.request(method, f"{self.iam.url}{path}", allow_redirects=False, **kwargs) as response:
            return Answer(response.status, response.headers, await response.text())

    async def token(self, form: Mapping[str, str], client: Client | None = TTSCACHE) -> Answer:
        """Post to the token endpoint, authenticated by Basic unless `client` is `None`."""
        headers = {} if client is None else basic(client)
        return await self.send("POST", "token", data=form, headers=headers)

    async def password(self, username: str = "jane", **fields: str) -> Answer:
        password = self.iam.config.user(username).password
        form = password_form(username, password, client_id="demo", client_secret=DEMO.secret, **fields)
        return await self.token(form, None)

    async def exchange(self, subject: str, client: Client = TTSCACHE, /, **fields: str) -> Answer:
        return await self.token({"grant_type": GrantType.TOKEN_EXCHANGE, "subject_token": subject, **fields}, client)

    async def refresh(self, refresh_token: str, client: Client = TTSCACHE, /, **fields: str) -> Answer:
        return await self.token({"grant_type": "refresh_token", "refresh_token": refresh_token, **fields}, client)

    async def session(self, **fields: str) -> Answer:
        """What the daemon does first: exchange a user's token for one of its own that can be refreshed."""
        answer = await self.exchange(self.iam.token_for("jane"), **{"scope": "offline_access wlcg.groups"} | fields)
        assert answer.status == 200
        return answer


def basic(client: Client) -> dict[str, str]:
    """Both parts are form-urlencoded first (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
