"""Authentication of clients at the endpoints that ask for it (RFC 6749 section 2.3, RFC 7523 section 3)."""

import base64
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import unquote_plus

import jwt

from ttscache.sandbox.iam.config import Client
from ttscache.sandbox.iam.errors import OAuthError, invalid_client, invalid_request
from ttscache.sandbox.iam.messages import Call
from ttscache.sandbox.iam.realm import Realm

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
ASSERTION_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512")
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Assertions live for minutes; this many of them cannot be replayed.
MAX_REMEMBERED_ASSERTIONS = 20_000
# No honest assertion lives longer, and without a limit the table above could be outlived.
MAX_ASSERTION_LIFETIME = 3600


class ClientAuthenticator:
    """Tells which client sends a request."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm
        self._used_assertions: OrderedDict[tuple[str, str], None] = OrderedDict()

    def client(self, call: Call) -> Client:
        """Return the client that has proved itself, by exactly one method.

        Raises:
            OAuthError: 401 `invalid_client`, or 400 `invalid_request` when two methods are used at once.

        """
        basic = call.authorization.partition(" ")[0].lower() == "basic"
        if basic + bool(call.value("client_secret")) + bool(call.value("client_assertion")) > 1:
            raise invalid_request("More than one client authentication method")
        if call.value("client_assertion"):
            return self._by_assertion(call)
        if basic:
            return self._by_secret(*_basic_credentials(call.authorization))
        return self._by_secret(call.value("client_id"), call.value("client_secret"))

    def _by_secret(self, client_id: str, secret: str) -> Client:
        client = self._realm.state.clients.get(client_id)
        if client is None or client.public_key or not hmac.compare_digest(client.secret.encode(), secret.encode()):
            raise _refused()
        return client

    def _by_assertion(self, call: Call) -> Client:
        if call.value("client_assertion_type") != JWT_BEARER:
            raise invalid_client("Unsupported client assertion type")
        assertion = call.value("client_assertion")
        client = self._realm.state.clients.get(_claimed_client(assertion))
        if client is None or client.public_key is None:
            raise _refused()
        try:
            # The times are checked below, by the clock of this IAM.
            claims: Mapping[str, object] = jwt.decode(
                assertion,
                client.public_key,
                algorithms=ASSERTION_ALGORITHMS,
                audience=[self._realm.token_endpoint, self._realm.url],
                issuer=client.client_id,
                subject=client.client_id,
                options={
                    "require": ["iss", "sub", "aud", "exp", "jti"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.InvalidTokenError, jwt.InvalidKeyError) as error:
            raise _refused() from error
        self._check_freshness(client, claims)
        return client

    def _check_freshness(self, client: Client, claims: Mapping[str, object]) -> None:
        expires, used = claims["exp"], (client.client_id, str(claims["jti"]))
        left = expires - self._realm.now() if isinstance(expires, int | float) else 0
        if not 0 < left <= MAX_ASSERTION_LIFETIME or used in self._used_assertions:
            raise _refused()
        self._used_assertions[used] = None
        if len(self._used_assertions) > MAX_REMEMBERED_ASSERTIONS:
            self._used_assertions.popitem(last=False)


def _basic_credentials(header: str) -> tuple[str, str]:
    """Take apart a Basic header; user and password are form-urlencoded inside it (RFC 6749 section 2.3.1)."""
    try:
        decoded = base64.b64decode(header.partition(" ")[2].strip(), validate=True).decode()
    except ValueError as error:
        raise _refused() from error
    client_id, _, secret = decoded.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _claimed_client(assertion: str) -> str:
    """Return whom the assertion says it is from, which only chooses the key that has to verify it."""
    try:
        return str(jwt.decode(assertion, options={"verify_signature": False}).get("iss"))
    except jwt.InvalidTokenError as error:
        raise _refused() from error


def _refused() -> OAuthError:
    # One text for all causes: whoever guesses learns nothing.
    return invalid_client("Bad client credentials")
