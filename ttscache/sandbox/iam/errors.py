"""Refusals as the endpoints of an authorization server word them (RFC 6749 section 5.2, RFC 6750 section 3)."""

# What is echoed has to fit into one header line of an ordinary HTTP client (8190 bytes in aiohttp).
MAX_ECHO = 4096


class OAuthError(Exception):
    """A refusal: `status` is the HTTP status, `code` the OAuth error, `challenge` a `WWW-Authenticate` or empty."""

    def __init__(self, status: int, code: str, description: str, challenge: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.description = description
        self.challenge = challenge


def invalid_request(description: str) -> OAuthError:
    """A parameter is missing, repeated or not supported."""
    return OAuthError(400, "invalid_request", description)


def invalid_grant(description: str) -> OAuthError:
    """What was presented as the grant does not hold (any more)."""
    return OAuthError(400, "invalid_grant", description)


def invalid_scope(scope: str) -> OAuthError:
    """The client is not registered for that scope."""
    return OAuthError(400, "invalid_scope", f"Invalid scope: {scope}")


def invalid_client(description: str) -> OAuthError:
    """The client did not prove who it is, or may not use this grant."""
    return OAuthError(401, "invalid_client", description, 'Basic realm="iam"')


def access_denied(description: str) -> OAuthError:
    """A policy does not allow it."""
    return OAuthError(403, "access_denied", description)


def bearer_refused(status: int, code: str, description: str) -> OAuthError:
    """A bearer token is refused, with the reason in the challenge as well (RFC 6750 section 3)."""
    return OAuthError(status, code, description, f'Bearer error="{code}", error_description="{description}"')


def insufficient_scope() -> OAuthError:
    """The access token is good, but its scope does not include what the endpoint asks for."""
    return bearer_refused(403, "insufficient_scope", "Insufficient scope for this resource")


def invalid_token(value: str) -> OAuthError:
    """The access token is unknown, expired or revoked.

    As IAM does, body and challenge repeat the token: whoever passes either on gives a credential away.
    """
    shown = "".join(char if char.isascii() and char.isprintable() and char not in '"\\' else "?" for char in value)
    return bearer_refused(401, "invalid_token", f"Invalid access token: {shown[:MAX_ECHO]}")
