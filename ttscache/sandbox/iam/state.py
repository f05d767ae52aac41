"""What the embedded IAM remembers: accounts, clients, and the tokens it has issued."""

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy_gen.credential import Credential
from ttscache.sandbox.iam import scopes
from ttscache.sandbox.iam.config import IamConfig, User

# Enough for the largest test (ten thousand clients, a few tokens each) and about a hundred megabytes at worst.
MAX_TOKENS = 50_000


@dataclass(slots=True)
class Account:
    """A user and its standing; scopes that `denied_scopes` cover are dropped from whatever is granted.

    `linked` is the certificate (or a proxy of it, with what is above) that it has given to IAM, with the key.
    """

    user: User
    active: bool = True
    aup_signed: bool = True
    denied_scopes: frozenset[str] = frozenset()
    linked: Credential | None = None

    def permitted(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        """Return the scopes that no policy denies. IAM drops the others without a word."""
        return tuple(scope for scope in requested if not scopes.covered(self.denied_scopes, scope))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token stands for; `username` is `None` for a client's own, `actor` the `act` claim (RFC 8693 4.1).

    `family` is common to all tokens that were refreshed from one grant.
    """

    client_id: str
    username: str | None
    scope: tuple[str, ...]
    family: str
    audience: tuple[str, ...] = ()
    actor: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """An access token as issued: the grant and the claims; `expires_at` is Unix time."""

    grant: Grant
    claims: Mapping[str, object]
    expires_at: float


@dataclass(frozen=True, slots=True)
class RefreshRecord:
    """A refresh token as issued; a spent one is remembered so that its reuse is noticed."""

    grant: Grant
    expires_at: float
    spent: bool = False


Record = TypeVar("Record", AccessRecord, RefreshRecord)


class TokenTable(Generic[Record]):
    """Records by token; the oldest are forgotten when there are too many. Tokens are kept as digests only."""

    def __init__(self) -> None:
        self._records: OrderedDict[bytes, Record] = OrderedDict()

    def put(self, token: str, record: Record) -> None:
        """Remember or replace what a token stands for."""
        self._records[_digest(token)] = record
        while len(self._records) > MAX_TOKENS:
            self._records.popitem(last=False)

    def get(self, token: str) -> Record | None:
        """Return what the token stands for, `None` when it was not issued here or is forgotten."""
        return self._records.get(_digest(token))

    def remove(self, token: str) -> None:
        """Forget one token."""
        self._records.pop(_digest(token), None)

    def drop(self, matches: Callable[[Grant], bool]) -> None:
        """Forget every token of the grants that match."""
        for key in [key for key, record in self._records.items() if matches(record.grant)]:
            del self._records[key]


class IamState:
    """All of it, with the levers that tests and people pull."""

    def __init__(self, config: IamConfig) -> None:
        self.accounts = {user.username: Account(user) for user in config.users}
        self.clients = {client.client_id: client for client in config.clients}
        # Clients for which no exchange policy permits an exchange.
        self.exchange_denied: set[str] = set()
        self.access: TokenTable[AccessRecord] = TokenTable()
        self.refresh: TokenTable[RefreshRecord] = TokenTable()

    def suspend(self, username: str) -> None:
        """Suspend the user: nothing is issued for it and its tokens are refused. `KeyError` for an unknown one."""
        self.accounts[username].active = False

    def restore(self, username: str) -> None:
        """End the suspension."""
        self.accounts[username].active = True

    def unsign_aup(self, username: str) -> None:
        """Let the user's signature of the acceptable use policy run out."""
        self.accounts[username].aup_signed = False

    def sign_aup(self, username: str) -> None:
        """Let the user sign the acceptable use policy again."""
        self.accounts[username].aup_signed = True

    def deny_scopes(self, username: str, denied: Collection[str]) -> None:
        """Replace the scopes that the policies deny the user."""
        self.accounts[username].denied_scopes = frozenset(denied)

    def link(self, username: str, credential: Credential | None) -> None:
        """Give the user a certificate to make proxies of, or take it away. `KeyError` for an unknown one."""
        self.accounts[username].linked = credential

    def revoke_refresh_tokens(self, username: str) -> None:
        """Revoke all refresh tokens of the user, whichever client holds them."""
        self.refresh.drop(lambda grant: grant.username == username)

    def revoke_family(self, family: str) -> None:
        """Revoke the refresh and access tokens that come from one grant (RFC 7009 section 2.1)."""
        self.refresh.drop(lambda grant: grant.family == family)
        self.access.drop(lambda grant: grant.family == family)

    def spend(self, token: str, record: RefreshRecord) -> None:
        """Mark a single-use refresh token as used."""
        self.refresh.put(token, dataclasses.replace(record, spent=True))

    def account_of(self, grant: Grant) -> Account | None:
        """Return the account that the grant speaks for, `None` for a client's own."""
        return self.accounts[grant.username] if grant.username else None

    def live_access(self, token: str, now: float) -> AccessRecord | None:
        """Return what an access token stands for, `None` when it is unknown, expired, revoked or its user suspended."""
        record = self.access.get(token)
        if record is None or record.expires_at <= now:
            return None
        account = self.account_of(record.grant)
        return None if account and not account.active else record


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
