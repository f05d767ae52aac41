"""What IAM tells about tokens that it has issued, and their revocation."""

from ttscache.sandbox.iam.bearer import bearer
from ttscache.sandbox.iam.claims import Claims, disclosed
from ttscache.sandbox.iam.clients import ClientAuthenticator
from ttscache.sandbox.iam.errors import access_denied, insufficient_scope, invalid_request
from ttscache.sandbox.iam.messages import NO_STORE, Call, Reply
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import AccessRecord, RefreshRecord

_INTROSPECTED = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "act")


class TokenInfo:
    """`POST /introspect`, `GET /userinfo` and `POST /revoke`."""

    def __init__(self, realm: Realm, authenticator: ClientAuthenticator) -> None:
        self._realm = realm
        self._authenticator = authenticator

    def introspect(self, call: Call) -> Reply:
        """Tell what a token stands for (RFC 7662), in IAM's own dialect."""
        self._authenticator.client(call)
        record = self._realm.state.live_access(_token(call), self._realm.now())
        body = self._description(record) if record else {"active": False}
        return Reply(body, headers=NO_STORE)

    def userinfo(self, call: Call) -> Reply:
        """Tell the holder of an access token who its user is (OpenID Connect Core section 5.3)."""
        record = bearer(call, self._realm)
        account = self._realm.state.account_of(record.grant)
        if account is None or "openid" not in record.grant.scope:
            raise insufficient_scope()
        return Reply({"sub": account.user.sub} | disclosed(account.user, record.grant.scope), headers=NO_STORE)

    def revoke(self, call: Call) -> Reply:
        """Revoke a token of the client's own (RFC 7009); an unknown one is none any more, which is success."""
        client = self._authenticator.client(call)
        state, token = self._realm.state, _token(call)
        record = state.refresh.get(token) or state.access.get(token)
        if record is None:
            return Reply(None)
        if record.grant.client_id != client.client_id:
            raise access_denied("Client does not own the presented token")
        if isinstance(record, RefreshRecord):
            state.revoke_family(record.grant.family)
        else:
            state.access.remove(token)
        return Reply(None)

    def _description(self, record: AccessRecord) -> Claims:
        body: Claims = {"active": True, "token_type": "Bearer"}
        body |= {name: record.claims[name] for name in _INTROSPECTED if name in record.claims}
        audience = body.get("aud")
        if isinstance(audience, list):
            # A quirk of IAM: RFC 7662 would have the array.
            body["aud"] = " ".join(audience)
        account = self._realm.state.account_of(record.grant)
        if account:
            body |= {"user_id": account.user.username} | disclosed(account.user, record.grant.scope)
        return body


def _token(call: Call) -> str:
    token = call.value("token")
    if not token:
        raise invalid_request("Missing token")
    return token
