"""Who exists in the sandbox's IAM and how it issues tokens."""

import enum
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

KeyAlgorithm = Literal["RS256", "ES256"]

# One identity claim has to be in the users' access tokens for a mapping template to make a readable name of it.
DEFAULT_IDENTITY_CLAIMS = ("preferred_username",)

# What the users' and the daemon's clients are registered for; a path or a group below one of these is covered as well.
USER_SCOPES = (
    "openid",
    "profile",
    "email",
    "offline_access",
    "wlcg",
    "wlcg.groups",
    "iam",
    "aarc",
    "kc",
    "storage.read:/",
    "storage.create:/",
    "storage.modify:/",
    "compute.read",
    "compute.create",
    "compute.modify",
    "compute.cancel",
)


class GrantType(enum.StrEnum):
    """The grants of the token endpoint, by their value on the wire."""

    CLIENT_CREDENTIALS = "client_credentials"
    PASSWORD = "password"  # noqa: S105 - the name of a grant
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant
    TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant

    @property
    def label(self) -> str:
        """The short name that counters, faults and the log use, such as `token_exchange`."""
        return self.name.lower()


def _generated_secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as registered; `groups` have a leading slash and are in the order of the `wlcg.groups` claim."""

    username: str
    sub: str
    name: str
    email: str
    groups: tuple[str, ...] = ()
    organisation_name: str = "sandbox"
    password: str = field(default_factory=_generated_secret, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An OAuth client as registered.

    With `public_key` (PEM) it authenticates by a signed assertion (RFC 7523) and by nothing else, without one by
    its secret. A request without a scope gets `default_scopes`.
    """

    client_id: str
    grants: frozenset[GrantType]
    scopes: tuple[str, ...]
    default_scopes: tuple[str, ...]
    secret: str = field(default_factory=_generated_secret, repr=False)
    public_key: str | None = None


def _sandbox_user(username: str, name: str, *groups: str) -> User:
    # Derived from the name: a restarted sandbox has the same users, and sessions of theirs stay theirs.
    sub = str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://iam.sandbox.example/users/{username}"))
    return User(username=username, sub=sub, name=name, email=f"{username}@sandbox.example", groups=groups)


def default_users() -> tuple[User, ...]:
    """Jane (a production manager), joe (an ordinary member) and admin, each with a newly generated password."""
    return (
        _sandbox_user("jane", "Jane Doe", "/cms", "/cms/production"),
        _sandbox_user("joe", "Joe Bloggs", "/cms"),
        _sandbox_user("admin", "Ada Admin", "/cms", "/cms/ttscache-admins"),
    )


def default_clients() -> tuple[Client, ...]:
    """The daemon (`ttscache`), the users' command line (`demo`) and a service of its own (`robot`)."""
    return (
        Client(
            client_id="ttscache",
            grants=frozenset({GrantType.TOKEN_EXCHANGE, GrantType.REFRESH_TOKEN, GrantType.CLIENT_CREDENTIALS}),
            scopes=(*USER_SCOPES, "proxy:generate", "scim:read"),
            default_scopes=("wlcg",),
        ),
        Client(
            client_id="demo",
            grants=frozenset({GrantType.PASSWORD, GrantType.REFRESH_TOKEN}),
            scopes=USER_SCOPES,
            default_scopes=("openid", "profile", "wlcg", "wlcg.groups"),
        ),
        Client(
            client_id="robot",
            grants=frozenset({GrantType.CLIENT_CREDENTIALS}),
            scopes=("wlcg", "compute.read", "compute.create", "compute.modify", "compute.cancel"),
            default_scopes=("wlcg",),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IamConfig:
    """How the embedded IAM is set up; lifetimes are in seconds.

    `token_issuer` replaces the `iss` of tokens where it has to differ from the discovery document's `issuer`. The
    first of `signing` signs, all of them are published. `single_use_refresh` rotates refresh tokens; the reuse of a
    spent one then ends its whole family when `reuse_revokes_family` is set (RFC 9700 section 4.14.2). A page of groups
    or members has at most `scim_page_limit`.
    """

    users: tuple[User, ...] = field(default_factory=default_users)
    clients: tuple[Client, ...] = field(default_factory=default_clients)
    signing: tuple[KeyAlgorithm, ...] = ("RS256",)
    token_issuer: str | None = None
    # The defaults of the WLCG common JWT profile, section 4.3.1.
    access_lifetime: int = 3600
    refresh_lifetime: int = 30 * 86400
    single_use_refresh: bool = True
    reuse_revokes_family: bool = False
    identity_claims: tuple[str, ...] = DEFAULT_IDENTITY_CLAIMS
    scim_page_limit: int = 100
    now: Callable[[], float] = time.time

    def user(self, username: str) -> User:
        """Return the user of that name; `KeyError` when there is none."""
        return {user.username: user for user in self.users}[username]

    def client(self, client_id: str) -> Client:
        """Return the client of that id; `KeyError` when there is none."""
        return {client.client_id: client for client in self.clients}[client_id]
