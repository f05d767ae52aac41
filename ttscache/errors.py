"""The one error tree. A type per cause, each with a stable ``code``; what an answer needs is an attribute.

A message is one line for the person who reads it: what was wrong and what to do. It never holds a secret, and never
anything that an upstream said.
"""

from __future__ import annotations

from typing import ClassVar

from ttscache.model import RuleTrace


class TtsError(Exception):
    """Base of all errors that reach a caller."""

    code: ClassVar[str]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class TokenError(TtsError):
    """The presented token is not one to decide on (HTTP 401)."""


class TokenMissingError(TokenError):
    """No token was presented."""

    code = "token_missing"


class TokenMalformedError(TokenError):
    """Not a JWT, or one whose header or claims are not of the form that they must have."""

    code = "token_malformed"


class TokenExpiredError(TokenError):
    """`exp` has passed."""

    code = "token_expired"


class TokenNotYetValidError(TokenError):
    """`nbf` or `iat` lies ahead."""

    code = "token_not_yet_valid"


class TokenSignatureError(TokenError):
    """No usable key of the issuer verifies the signature."""

    code = "token_signature"


class TokenAlgorithmError(TokenError):
    """The algorithm is not on the issuer's list."""

    code = "token_algorithm"


class IssuerUnknownError(TokenError):
    """`iss` is no configured issuer's, to the letter."""

    code = "issuer_unknown"


class AudienceMismatchError(TokenError):
    """None of the token's audiences is ours."""

    code = "audience_mismatch"


class RefusedError(TtsError):
    """The identity may not have what it asked for (HTTP 403)."""


class TracedRefusalError(RefusedError):
    """A refusal by the mapping; ``trace`` says why, rule by rule."""

    def __init__(self, message: str, trace: tuple[RuleTrace, ...] = ()) -> None:
        super().__init__(message)
        self.trace = trace


class MappingRefusedError(TracedRefusalError):
    """No mapping rule gives this identity a credential."""

    code = "mapping_refused"


class DnRefusedError(TracedRefusalError):
    """The rule's DN cannot be minted for this identity, or belongs to another."""

    code = "dn_refused"


class ProfileRefusedError(RefusedError):
    """The profile exists, but the matched rule does not allow it."""

    code = "profile_refused"


class LifetimeRefusedError(RefusedError):
    """The lifetime asked for is outside the profile's limits, or what is left is below its minimum."""

    code = "lifetime_refused"


class FqanRefusedError(RefusedError):
    """An FQAN that the mapping does not grant."""

    code = "fqan_refused"


class AudienceRefusedError(RefusedError):
    """An audience or resource that may not be had (RFC 8693 section 2.2.2)."""

    code = "audience_refused"


class ScopeRefusedError(RefusedError):
    """A scope that may not be had (RFC 6749 section 5.2)."""

    code = "scope_refused"


class ExchangeRefusedError(RefusedError):
    """The issuer refused to exchange or refresh, or answered with a token that is not what was asked for."""

    code = "exchange_refused"


class SessionLostError(RefusedError):
    """The outcome of a refresh was lost on its way; the session must be opened again."""

    code = "session_lost"


class SubjectRevokedError(RefusedError):
    """An administrator has revoked the identity, or the session that the token belongs to."""

    code = "subject_revoked"


class AdminRequiredError(RefusedError):
    """Who asks is not an administrator."""

    code = "admin_required"


class BadRequestError(TtsError):
    """The request itself is wrong (HTTP 400)."""


class RequestInvalidError(BadRequestError):
    """A field is unknown, missing, repeated or of the wrong form."""

    code = "request_invalid"


class ProfileUnknownError(BadRequestError):
    """No such profile."""

    code = "profile_unknown"


class CsrInvalidError(BadRequestError):
    """The CSR cannot be used."""

    code = "csr_invalid"


class CsrWeakKeyError(BadRequestError):
    """The CSR's key is too weak."""

    code = "csr_weak_key"


class NotFoundError(TtsError):
    """Nothing is there (HTTP 404)."""

    code = "not_found"


class RequestTooLargeError(TtsError):
    """The request is larger than anything we read (HTTP 413; 431 when it is the headers)."""

    code = "request_too_large"

    def __init__(self, message: str, *, headers: bool = False) -> None:
        super().__init__(message)
        self.headers = headers


class UnavailableError(TtsError):
    """Not now (HTTP 503); ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamUnavailableError(UnavailableError):
    """The issuer's token endpoint does not answer as one."""

    code = "upstream_unavailable"


class IssuerUnreachableError(UnavailableError):
    """The issuer's discovery document or keys cannot be had."""

    code = "issuer_unreachable"


class StoreUnavailableError(UnavailableError):
    """The store cannot be read or written."""

    code = "store_unavailable"


class StoreMisconfiguredError(StoreUnavailableError):
    """The store would answer, but must not be used as it is set up."""


class RecordUnreadableError(StoreUnavailableError):
    """A record is there, but sealed with another key, changed, or of another version's form."""


class SignerUnavailableError(UnavailableError):
    """The authority cannot sign."""

    code = "signer_unavailable"


class OverloadedError(UnavailableError):
    """The deadline passed before the answer was there, or too much waits already."""

    code = "overloaded"


class RateLimitedError(UnavailableError):
    """One caller asks for more than is good for the others (HTTP 429)."""

    code = "rate_limited"


class ConfigurationError(Exception):
    """The configuration is wrong; ``mistakes`` are lines of text, each with its place and how to mend it."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
