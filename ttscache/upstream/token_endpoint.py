"""The client side of a token endpoint: token exchange (RFC 8693) and refresh (RFC 6749 section 6)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from ttscache.errors import ExchangeRefusedError, IssuerUnreachableError, UpstreamUnavailableError
from ttscache.metrics import UPSTREAM_SECONDS
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher, FetchFailedError
from ttscache.upstream.client_assertion import client_assertion
from ttscache.upstream.guard import guarded
from ttscache.upstream.settings import AuthMethod, ExchangeSettings

_GRANT_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, no secret
# IAM does not read the type; authorization servers that do know this one
_ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret
# which speak of a user who is not there
_USERS_SCOPES = frozenset({"openid", "offline_access"})
_MAX_TOKEN_CHARACTERS = 16 * 1024
_MAX_SECONDS = 10**12
_OK = 200
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

# What may be told of an upstream's error (RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 6750 section 3.1). Its
# description is never passed on: IAM's echoes the subject token.
_REASONS = {
    "invalid_token": "the issuer does not take the presented token (revoked, expired, or of a suspended user)",
    "invalid_grant": "the grant is no longer valid (revoked, expired, already used, or the user is suspended)",
    "invalid_scope": "the issuer refuses the scopes that this daemon is configured to ask for",
    "invalid_target": "the issuer refuses the audience that this daemon is configured to ask for",
    "insufficient_scope": "the issuer refuses the scopes that this daemon is configured to ask for",
    "invalid_client": "the issuer does not take this daemon's client, or the client may not exchange tokens",
    "unauthorized_client": "the client that this daemon is configured with may not exchange tokens",
    "unsupported_grant_type": "the issuer does not offer token exchange",
    "access_denied": "the issuer's policy denies the exchange",
    "invalid_request": "the issuer takes the exchange for malformed",
}
# OAuth errors that say nothing of the grant, whatever the status that they come with
_NOT_NOW = frozenset({"server_error", "temporarily_unavailable", "slow_down"})
_AUP_REASON = "the user has to sign the Acceptable Usage Policy at the issuer; sign it and try again"


@dataclass(frozen=True)
class Narrowing:
    """What a token is exchanged down to; empty ones are left to the issuer."""

    audiences: tuple[str, ...]
    scopes: tuple[str, ...]


class GrantRefusedError(ExchangeRefusedError):
    """The token endpoint refused; ``error`` is its RFC 6749 code, or `unknown`."""

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message)
        self.error = error


class RefreshDoubtfulError(UpstreamUnavailableError):
    """No answer came, but the request may have been carried out: a single-use token may be spent."""


@dataclass(frozen=True, repr=False)
class TokenAnswer:
    """What a token endpoint granted. ``expires_in`` is in seconds; None and absent are the same."""

    access_token: str
    expires_in: float | None
    scopes: frozenset[str] | None
    refresh_token: str | None


class TokenEndpoint:
    """One issuer's token endpoint, with a circuit around it."""

    def __init__(
        self,
        issuer: str,
        settings: ExchangeSettings,
        fetcher: Fetcher,
        endpoint: Callable[[Deadline], Awaitable[str]],
        clock: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._settings = settings
        self._fetcher = fetcher
        self._endpoint = endpoint
        self._clock = clock
        self.circuit = Circuit()

    def adopt(self, previous: TokenEndpoint) -> None:
        """Take over what was learnt of the same endpoint: whether it answers."""
        self.circuit = previous.circuit

    async def exchange(self, subject_token: str, deadline: Deadline, narrowing: Narrowing | None = None) -> TokenAnswer:
        """Exchange a subject token for one on the subject's behalf (RFC 8693 section 2.1).

        Without ``narrowing`` it is for ourselves, as the settings say; IAM takes several audiences between blanks.
        Raises :class:`GrantRefusedError`, :class:`UpstreamUnavailableError`, :class:`IssuerUnreachableError`.
        """
        form = {
            "grant_type": _GRANT_TOKEN_EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": _ACCESS_TOKEN_TYPE,
        }
        scopes = self._settings.scopes if narrowing is None else narrowing.scopes
        audience = self._settings.audience if narrowing is None else " ".join(narrowing.audiences)
        if scopes:
            form["scope"] = " ".join(scopes)
        if audience:
            form["audience"] = audience
        return await self._grant(form, deadline)

    async def client_credentials(self, deadline: Deadline, scopes: tuple[str, ...] | None = None) -> TokenAnswer:
        """Obtain a token for the client itself (RFC 6749 section 4.4). Raises as :meth:`exchange`.

        Without ``scopes`` it is for a session, as the settings say.
        """
        form = {"grant_type": "client_credentials"}
        if scopes is None:
            scopes = tuple(scope for scope in self._settings.scopes if scope not in _USERS_SCOPES)
        if scopes:
            form["scope"] = " ".join(scopes)
        if self._settings.audience is not None:
            form["audience"] = self._settings.audience
        return await self._grant(form, deadline)

    async def refresh(self, refresh_token: str, deadline: Deadline) -> TokenAnswer:
        """Use a refresh token, which may be good for one use only.

        Raises :class:`GrantRefusedError`, :class:`RefreshDoubtfulError` when its outcome is not known, and
        :class:`UpstreamUnavailableError` or :class:`IssuerUnreachableError` when it surely was not used.
        """
        return await self._grant({"grant_type": "refresh_token", "refresh_token": refresh_token}, deadline)

    async def _grant(self, form: dict[str, str], deadline: Deadline) -> TokenAnswer:
        outcome, started = "failed", time.monotonic()
        try:
            answer = await guarded(
                self.circuit, deadline, lambda: self._post(form, deadline), self._read, self._unavailable
            )
            outcome = "granted"
            return answer
        except GrantRefusedError:
            outcome = "refused"
            raise
        finally:
            grant = form["grant_type"].rpartition(":")[2]
            UPSTREAM_SECONDS.labels(self._issuer, grant, outcome).observe(time.monotonic() - started)

    async def _post(self, form: dict[str, str], deadline: Deadline) -> Answer:
        try:
            url = await self._endpoint(deadline)
        except IssuerUnreachableError as error:
            raise UpstreamFailedError from error
        headers = self._authenticate(form, url)
        try:
            return await self._fetcher.post_form(url, form, deadline, headers)
        except FetchFailedError as error:
            kind = RefreshDoubtfulError if error.sent else UpstreamUnavailableError
            raise UpstreamFailedError from kind(self._sentence(f"cannot be used: {error.reason}"))

    def _authenticate(self, form: dict[str, str], url: str) -> Mapping[str, str]:
        settings = self._settings
        if settings.auth_method is AuthMethod.BASIC:
            # RFC 6749 section 2.3.1: each part is form-urlencoded before they are joined
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.secret)}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        form["client_id"] = settings.client_id
        if settings.auth_method is AuthMethod.POST:
            form["client_secret"] = settings.secret
        else:
            form |= client_assertion(settings, url, self._clock())
        return {}

    def _read(self, answer: Answer) -> TokenAnswer:
        if answer.status == _OK:
            return self._granted(answer)
        if answer.status == _TOO_MANY_REQUESTS or answer.status >= _SERVER_ERROR:
            # a gateway's 5xx may stand before an IAM that has done the work; a 429 has not
            kind = UpstreamUnavailableError if answer.status == _TOO_MANY_REQUESTS else RefreshDoubtfulError
            cause = kind(self._sentence(f"answered with status {answer.status}"), retry_after=answer.retry_after or 5.0)
            raise UpstreamFailedError(answer.retry_after) from cause
        error, is_aup = _error_of(answer.body)
        if error is None:
            raise UpstreamFailedError from RefreshDoubtfulError(
                self._sentence(f"answered with status {answer.status} and no refusal")
            )
        reason = _AUP_REASON if is_aup else _REASONS.get(error, "the issuer gave no reason that is known here")
        raise GrantRefusedError(f"issuer '{self._issuer}' refused: {reason}", error)

    def _granted(self, answer: Answer) -> TokenAnswer:
        granted = _parse_grant(answer.body)
        if granted is None:
            raise UpstreamFailedError from RefreshDoubtfulError(self._sentence("answered with no token answer"))
        return granted

    def _sentence(self, what: str) -> str:
        return f"the token endpoint of issuer '{self._issuer}' {what}"

    def _unavailable(self, what: str, retry_after: float = 5.0) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(self._sentence(what), retry_after=retry_after)


def _parse_grant(body: bytes) -> TokenAnswer | None:
    """Read a successful answer (RFC 6749 section 5.1); None when it is not one."""
    document = _object(body)
    token = document.get("access_token")
    if not isinstance(token, str) or not _is_token(token):
        return None
    refresh = document.get("refresh_token")
    scope = document.get("scope")
    return TokenAnswer(
        access_token=token,
        expires_in=_seconds(document.get("expires_in")),
        scopes=frozenset(scope.split()) if isinstance(scope, str) else None,
        refresh_token=refresh if isinstance(refresh, str) and _is_token(refresh) else None,
    )


def _seconds(value: object) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value[:12])  # a string, against the RFC, but met
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_SECONDS:
        return None  # NaN among them
    return float(value)


def _error_of(body: bytes) -> tuple[str | None, bool]:
    """Return the RFC 6749 error code (None for no refusal), and whether its description speaks of the AUP."""
    document = _object(body)
    error = document.get("error")
    if not isinstance(error, str) or error in _NOT_NOW:
        return None, False
    description = document.get("error_description")
    is_aup = isinstance(description, str) and "sign AUP" in description
    return (error if error in _REASONS else "unknown"), is_aup


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_token(value: object) -> bool:
    """RFC 6749 appendix A.12 and A.17: visible ASCII; ours is the bound on its size."""
    return (
        isinstance(value, str) and 0 < len(value) <= _MAX_TOKEN_CHARACTERS and value.isascii() and value.isprintable()
    )
