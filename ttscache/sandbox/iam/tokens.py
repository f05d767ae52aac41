"""Issuing: from a grant to the answer of the token endpoint."""

import secrets
import uuid

from ttscache.sandbox.iam import scopes
from ttscache.sandbox.iam.claims import Claims, access_claims, disclosed, user_claims
from ttscache.sandbox.iam.config import GrantType
from ttscache.sandbox.iam.faults import NO_FAULT, Fault
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import AccessRecord, Account, Grant, RefreshRecord


class TokenIssuer:
    """Signs tokens and remembers them."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm

    def answer(self, grant: Grant, fault: Fault = NO_FAULT, *, refresh_token: str | None = None) -> Claims:
        """Issue what the grant is good for, as RFC 6749 section 5.1 has it.

        An ID token comes with `openid`, a refresh token with `offline_access`; `refresh_token` is one to hand out
        instead of a new one.
        """
        account = self._realm.state.account_of(grant)
        body: Claims = {
            "access_token": self.access_token(grant, fault),
            "token_type": "Bearer",
            "expires_in": self._realm.config.access_lifetime,
            "scope": " ".join(grant.scope),
        }
        if account and "openid" in grant.scope:
            body["id_token"] = self._id_token(grant, account)
        if refresh_token or self._refreshable(grant):
            body["refresh_token"] = refresh_token or self.refresh_token(grant)
        return body

    def access_token(self, grant: Grant, fault: Fault = NO_FAULT) -> str:
        """Issue an access token; the fault may spoil its claims, its signature or its being a JWT at all."""
        realm = self._realm
        account = realm.state.account_of(grant)
        profile = scopes.profile(grant.scope, realm.state.clients[grant.client_id].scopes)
        claims = self._frame(account.user.sub if account else grant.client_id)
        claims |= {"client_id": grant.client_id, "nbf": claims["iat"]}
        if account:
            told = user_claims(account.user)
            claims |= {name: told[name] for name in realm.config.identity_claims}
        claims |= access_claims(profile, grant, account)
        claims |= fault.claims
        for name in fault.omit_claims:
            claims.pop(name, None)
        token = secrets.token_urlsafe(32) if fault.opaque else realm.keys.signer(fault.signed_by).sign(claims)
        realm.state.access.put(token, AccessRecord(grant, claims, realm.now() + realm.config.access_lifetime))
        return token

    def refresh_token(self, grant: Grant) -> str:
        """Issue a refresh token for the grant."""
        token = secrets.token_urlsafe(32)
        record = RefreshRecord(grant, self._realm.now() + self._realm.config.refresh_lifetime)
        self._realm.state.refresh.put(token, record)
        return token

    def _refreshable(self, grant: Grant) -> bool:
        client = self._realm.state.clients[grant.client_id]
        return bool(grant.username) and "offline_access" in grant.scope and GrantType.REFRESH_TOKEN in client.grants

    def _id_token(self, grant: Grant, account: Account) -> str:
        claims = self._frame(account.user.sub) | {"aud": grant.client_id} | disclosed(account.user, grant.scope)
        return self._realm.keys.current.sign(claims)

    def _frame(self, sub: str) -> Claims:
        issued = int(self._realm.now())
        return {
            "iss": self._realm.token_issuer,
            "sub": sub,
            "iat": issued,
            "exp": issued + self._realm.config.access_lifetime,
            "jti": str(uuid.uuid4()),
        }
