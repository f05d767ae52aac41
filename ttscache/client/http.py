"""Requests to the daemon: bounded, peers verified, every failure one :class:`ClientError`."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_MAX_ANSWER_BYTES = 1024 * 1024
_OK = 200
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_SENDABLE_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
# what every answer of whoami has, decided or refused
_WHOAMI: Mapping[str, Any] = {
    "issuer": str,
    "subject": str,
    "authority": str | None,
    "groups": list,
    "trace": list,
    "decision": dict | None,
    "refused": dict | None,
}
_UNAVAILABLE = frozenset({429, 502, 503, 504})


class ClientError(Exception):
    """The daemon refused, or could not be asked.

    ``code`` is the daemon's stable code, or `unreachable`, `answer_invalid`, `url_invalid`, `ca_file_invalid` of our
    own; ``status`` the HTTP status, None when there was no answer; ``retry_after`` in seconds, where it was told.
    """

    def __init__(self, code: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after

    @property
    def unavailable(self) -> bool:
        """Whether trying again later may help."""
        return self.code == "unreachable" or self.status in _UNAVAILABLE


@dataclass(frozen=True, repr=False)
class Proxy:
    """What POST /v1/proxy answers. ``pem`` holds a private key when the daemon made one; times are aware, UTC."""

    pem: bytes
    subject: str
    identity: str
    account: str | None
    issuer: str
    not_before: datetime
    not_after: datetime
    fqans: tuple[str, ...]
    serial: int
    profile: str
    shortened_by: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class IdToken:
    """An HTCondor IDTOKEN, as POST /token answers it. ``expires_in`` is in seconds."""

    token: str
    expires_in: int
    scopes: tuple[str, ...]


class Client:
    """A client of the daemon at ``url``; https is verified against ``ca_file`` or else the system's CAs.

    One connection a call: whoever asks often enough to mind fetches from the sidecar's file instead.
    """

    def __init__(self, url: str, ca_file: Path | None = None, *, timeout: float = 30.0) -> None:
        """``timeout`` is in seconds, for each wait on the network. Raises ClientError for a URL not to be called."""
        scheme, self._host, self._port, self._prefix = _parts(url)
        if scheme == "http" and not _is_loopback(self._host):
            raise ClientError("url_invalid", "plain http is only spoken on loopback; use https")
        self._timeout = timeout
        self._tls = _tls_context(ca_file) if scheme == "https" else None

    def proxy(
        self,
        token: str,
        *,
        profile: str | None = None,
        lifetime: int | None = None,
        limited: bool | None = None,
        fqans: tuple[str, ...] = (),
        csr: bytes | None = None,
    ) -> Proxy:
        """Fetch a proxy: for the key of ``csr`` (PEM), or for one that the daemon makes. Raises ClientError."""
        wanted = {
            "profile": profile,
            "lifetime": lifetime,
            "limited": limited,
            "fqans": list(fqans) or None,
            "csr": None if csr is None else csr.decode(),
        }
        body = json.dumps({name: value for name, value in wanted.items() if value is not None}).encode()
        return _proxy(self._json("POST", "/v1/proxy", token, body))

    def idtoken(self, token: str, *, profile: str | None = None, lifetime: int | None = None) -> IdToken:
        """Exchange a token for an HTCondor IDTOKEN (RFC 8693 section 2.1). Raises ClientError."""
        if not _SENDABLE_TOKEN.match(token):
            raise _unsendable()
        wanted = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "requested_token_type": "urn:ttscache:params:oauth:token-type:condor-idtoken",
            "subject_token": token,
            "profile": profile,
            "lifetime": lifetime,
        }
        body = urlencode({name: value for name, value in wanted.items() if value is not None}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return _idtoken(self._answer("POST", "/token", headers, body))

    def whoami(self, token: str) -> dict[str, Any]:
        """Return what the daemon says of a token: identity, decision, trace, profiles. Raises ClientError."""
        document = self._json("GET", "/v1/whoami", token, None)
        if not all(isinstance(document.get(name), kind) for name, kind in _WHOAMI.items()):
            raise ClientError("answer_invalid", "the daemon's answer is not about a token", status=_OK)
        return document

    def _json(self, method: str, path: str, token: str, body: bytes | None) -> dict[str, Any]:
        if not _SENDABLE_TOKEN.match(token):
            raise _unsendable()
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._answer(method, path, headers, body)

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
        headers = {**headers, "Accept": "application/json", "User-Agent": "ttscache-client"}
        status, retry_after, content = self._exchange(method, path, headers, body)
        document = _document(content)
        if status != _OK:
            raise _refusal(status, retry_after, document)
        if document is None:
            raise ClientError("answer_invalid", "the daemon's answer is not JSON", status=status)
        return document

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, str | None, bytes]:
        connection = self._connection()
        try:
            connection.request(method, self._prefix + path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = answer.read(_MAX_ANSWER_BYTES + 1)
            if answer.length and len(content) <= _MAX_ANSWER_BYTES:  # http.client tells of it in chunked answers only
                raise http.client.IncompleteRead(content, answer.length)
            if len(content) > _MAX_ANSWER_BYTES:
                raise ClientError("answer_invalid", f"the daemon's answer has more than {_MAX_ANSWER_BYTES} bytes")
            return answer.status, answer.headers.get("Retry-After"), content
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or "the certificate is not trusted"
            raise ClientError("unreachable", f"the daemon at {self._where} is not trusted: {reason}") from None
        except (OSError, UnicodeError, http.client.HTTPException) as error:  # UnicodeError: no name in the DNS
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ClientError("unreachable", f"the daemon at {self._where} cannot be reached: {reason}") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)

    @property
    def _where(self) -> str:
        return self._host if self._port is None else f"{self._host}:{self._port}"


def _parts(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path of the daemon's URL. Raises ClientError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url
    if not host or not plain or parts.scheme not in {"https", "http"} or "@" in parts.netloc:
        raise ClientError("url_invalid", "the daemon's URL must be https://HOST[:PORT]")
    if parts.query or parts.fragment:
        raise ClientError("url_invalid", "the daemon's URL has no query and no fragment")
    return parts.scheme, host, port, parts.path.rstrip("/")


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:  # SSLError among them
        raise ClientError(
            "ca_file_invalid", f"the CA file {ca_file} cannot be used: {error.strerror or 'no PEM certificates'}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _document(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _unsendable() -> ClientError:
    return ClientError("token_malformed", "the token holds characters that no token has", status=401)


def _refusal(status: int, retry_after: str | None, document: dict[str, Any] | None) -> ClientError:
    """Read an RFC 9457 problem, or the token endpoint's RFC 6749 body; from a gateway in between there may be none."""
    fields = document or {}
    code, detail = fields.get("code"), fields.get("detail", fields.get("error_description"))
    if not isinstance(code, str) or not _CODE.match(code) or not isinstance(detail, str):
        code, detail = "answer_invalid", f"answered with status {status} and no reason"
    seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return ClientError(code, _one_line(detail), status=status, retry_after=seconds)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:500])


def _proxy(document: Mapping[str, Any]) -> Proxy:
    try:
        return Proxy(
            pem=document["pem"].encode(),
            subject=str(document["subject"]),
            identity=str(document["identity"]),
            account=document["account"],
            issuer=str(document["issuer"]),
            not_before=_moment(document["not_before"]),
            not_after=_moment(document["not_after"]),
            fqans=tuple(document["fqans"]),
            serial=int(document["serial"]),
            profile=str(document["profile"]),
            shortened_by=tuple(document["shortened_by"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ClientError("answer_invalid", "the daemon's answer is not a proxy", status=_OK) from None


def _idtoken(document: Mapping[str, Any]) -> IdToken:
    token, expires_in, scopes = (document.get(name) for name in ("access_token", "expires_in", "scope"))
    if not isinstance(token, str) or not isinstance(expires_in, int) or not isinstance(scopes, str):
        raise ClientError("answer_invalid", "the daemon's answer is not an IDTOKEN", status=_OK)
    if not _SENDABLE_TOKEN.match(token):
        raise ClientError("answer_invalid", "the daemon's answer is not an IDTOKEN", status=_OK)
    return IdToken(token, expires_in, tuple(scopes.split()))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
