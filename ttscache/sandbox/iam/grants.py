"""The token endpoint: its four grants, and IAM's refusals in IAM's order."""

import dataclasses
import hmac
import uuid
from collections.abc import Callable, Mapping

from ttscache.sandbox.iam import scopes
from ttscache.sandbox.iam.claims import Claims
from ttscache.sandbox.iam.clients import ClientAuthenticator
from ttscache.sandbox.iam.config import Client, GrantType
from ttscache.sandbox.iam.errors import (
    OAuthError,
    access_denied,
    invalid_client,
    invalid_grant,
    invalid_request,
    invalid_scope,
    invalid_token,
)
from ttscache.sandbox.iam.messages import NO_STORE, Call, Reply
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import AccessRecord, Account, Grant, RefreshRecord
from ttscache.sandbox.iam.tokens import TokenIssuer

# What IAM says whatever it issues and whatever was asked for.
ISSUED_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 - the name of a type

# IAM lets a resource (RFC 8707) go before its own parameter, and that before the one of RFC 8693.
AUDIENCE_PARAMETERS = ("resource", "aud", "audience")


class TokenEndpoint:
    """`POST /token`."""

    def __init__(self, realm: Realm, issuer: TokenIssuer, authenticator: ClientAuthenticator) -> None:
        self._realm = realm
        self._issuer = issuer
        self._authenticator = authenticator
        self._grants: Mapping[GrantType, Callable[[Call, Client], Claims]] = {
            GrantType.CLIENT_CREDENTIALS: self._client_credentials,
            GrantType.PASSWORD: self._password,
            GrantType.REFRESH_TOKEN: self._refresh,
            GrantType.TOKEN_EXCHANGE: self._exchange,
        }

    def __call__(self, call: Call) -> Reply:
        """Answer a token request; refusals are `OAuthError`."""
        client = self._authenticator.client(call)
        try:
            grant_type = GrantType(call.value("grant_type"))
        except ValueError as error:
            raise OAuthError(400, "unsupported_grant_type", "Unsupported grant type") from error
        if grant_type not in client.grants:
            raise invalid_client(f"Unauthorized grant type: {grant_type}")
        return Reply(self._grants[grant_type](call, client), headers=NO_STORE)

    def _client_credentials(self, call: Call, client: Client) -> Claims:
        scope = _registered_scope(call, client) or client.default_scopes
        return self._issuer.answer(self._new_grant(call, client, None, scope), call.fault)

    def _password(self, call: Call, client: Client) -> Claims:
        scope = _registered_scope(call, client) or client.default_scopes
        account = self._realm.state.accounts.get(call.value("username"))
        password = call.value("password").encode()
        if account is None or not hmac.compare_digest(account.user.password.encode(), password):
            raise invalid_grant("Bad credentials")
        if not account.active:
            raise invalid_grant("User is disabled")
        _require_aup(account)
        return self._issuer.answer(self._new_grant(call, client, account, scope), call.fault)

    def _refresh(self, call: Call, client: Client) -> Claims:
        token = call.value("refresh_token")
        record = self._live_refresh(token, client)
        grant = record.grant
        asked = scopes.parse(call.value("scope"))
        if not all(scopes.covered(grant.scope, scope) for scope in asked):
            raise OAuthError(400, "invalid_scope", "Up-scoping is not allowed.")
        account = self._realm.state.account_of(grant)
        handed_out = token
        if self._realm.config.single_use_refresh:
            self._realm.state.spend(token, record)
            # RFC 6749 section 6: the new refresh token has the scope of the old one, however narrow this answer's.
            handed_out = self._issuer.refresh_token(grant)
        narrowed = _rescoped(grant, account, asked or grant.scope)
        return self._issuer.answer(narrowed, call.fault, refresh_token=handed_out)

    def _live_refresh(self, token: str, client: Client) -> RefreshRecord:
        """Return the record of a refresh token that is good for this client now."""
        state = self._realm.state
        record = state.refresh.get(token)
        if record is None or record.expires_at <= self._realm.now():
            raise invalid_grant("Invalid refresh token")
        if record.grant.client_id != client.client_id:
            # As IAM does: a token that turns up at another client has been stolen.
            state.revoke_family(record.grant.family)
            raise invalid_client("Client does not own the presented refresh token")
        if record.spent:
            if self._realm.config.reuse_revokes_family:
                state.revoke_family(record.grant.family)
            raise invalid_grant("Invalid refresh token")
        account = state.account_of(record.grant)
        if account:
            if not account.active:
                raise invalid_grant("User is disabled")
            _require_aup(account)
        return record

    def _exchange(self, call: Call, client: Client) -> Claims:
        asked = _registered_scope(call, client)
        if call.value("actor_token") or call.value("want_composite"):
            raise invalid_request("Delegation not supported")
        subject = self._subject(call.value("subject_token"))
        account = self._realm.state.account_of(subject.grant)
        if account:
            _require_aup(account)
        scope = asked or tuple(one for one in subject.grant.scope if scopes.covered(client.scopes, one))
        self._check_exchange_policy(client, subject, scope)
        actor: dict[str, object] = {"sub": client.client_id}
        if subject.grant.actor is not None:
            actor["act"] = subject.grant.actor
        grant = self._new_grant(call, client, account, scope, actor)
        return self._issuer.answer(grant, call.fault) | {"issued_token_type": ISSUED_TOKEN_TYPE}

    def _subject(self, token: str) -> AccessRecord:
        if not token:
            raise invalid_request("Missing subject token")
        record = self._realm.state.live_access(token, self._realm.now())
        if record is None:
            raise invalid_token(token)
        return record

    def _check_exchange_policy(self, client: Client, subject: AccessRecord, scope: tuple[str, ...]) -> None:
        if client.client_id == subject.grant.client_id and "offline_access" in scope:
            raise access_denied(
                "Token exchange not allowed: the actor and the subject are the same client and offline_access is in"
                " the requested scopes"
            )
        if client.client_id in self._realm.state.exchange_denied:
            raise access_denied("No policy found authorizing this exchange")

    def _new_grant(
        self,
        call: Call,
        client: Client,
        account: Account | None,
        scope: tuple[str, ...],
        actor: Mapping[str, object] | None = None,
    ) -> Grant:
        return Grant(
            client_id=client.client_id,
            username=account.user.username if account else None,
            scope=account.permitted(scope) if account else scope,
            family=str(uuid.uuid4()),
            audience=_requested_audience(call),
            actor=actor,
        )


def _registered_scope(call: Call, client: Client) -> tuple[str, ...]:
    """Return the scopes asked for; IAM checks them against the client's registration and nothing else."""
    asked = scopes.parse(call.value("scope"))
    for scope in asked:
        if not scopes.covered(client.scopes, scope):
            raise invalid_scope(scope)
    return asked


def _requested_audience(call: Call) -> tuple[str, ...]:
    """Return the audiences of the first parameter that names any; each may hold several, separated by blanks."""
    for name in AUDIENCE_PARAMETERS:
        named = [audience for value in call.form.get(name, ()) for audience in value.split()]
        if named:
            return tuple(dict.fromkeys(named))
    return ()


def _rescoped(grant: Grant, account: Account | None, scope: tuple[str, ...]) -> Grant:
    # A policy that came after the grant holds for what is issued from now on.
    return dataclasses.replace(grant, scope=account.permitted(scope) if account else scope)


def _require_aup(account: Account) -> None:
    if not account.aup_signed:
        name = account.user.username
        raise invalid_grant(f"User {name} needs to sign AUP for this organization in order to proceed.")
