"""A request to the daemon and its answer: bounded, peers verified, every failure one :class:`ClientError`."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from ttscache.client.errors import ClientError, refusal

TIMEOUT_SECONDS = 30.0
_MAX_ANSWER_BYTES = 1024 * 1024
_OK = 200
_SENDABLE_TOKEN = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True)
class ClientCertificate:
    """PEM files of a certificate with its chain and its key, which may be in the same file.

    OpenSSL asks for the passphrase of an encrypted key on the terminal.
    """

    file: Path
    key: Path | None = None


class Transport:
    """The way to one daemon. One connection a call: nothing is left open, and nothing shared between threads."""

    def __init__(
        self,
        connection: Callable[[], http.client.HTTPConnection],
        where: str,
        prefix: str = "",
        *,
        shows_certificate: bool = False,
    ) -> None:
        """``connection`` makes one that is not connected yet; ``where`` is for messages, ``prefix`` before paths."""
        self._connection = connection
        self._where = where
        self._prefix = prefix
        self._shows_certificate = shows_certificate

    @classmethod
    def over_network(
        cls,
        url: str,
        ca_file: Path | None = None,
        certificate: ClientCertificate | None = None,
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Self:
        """Reach it at a URL; https is verified against ``ca_file`` or else the system's CAs. Raises ClientError."""
        scheme, host, port, prefix = _parts(url)
        where = host if port is None else f"{host}:{port}"
        if scheme == "https":
            tls, shows = _tls_context(ca_file, certificate), certificate is not None
            secure = partial(http.client.HTTPSConnection, host, port, timeout=timeout, context=tls)
            return cls(secure, where, prefix, shows_certificate=shows)
        if not _is_loopback(host):
            raise ClientError("url_invalid", "plain http is only spoken on loopback; use https")
        if certificate is not None:
            raise ClientError("url_invalid", "a client certificate is shown over https only")
        return cls(partial(http.client.HTTPConnection, host, port, timeout=timeout), where, prefix)

    @classmethod
    def over_socket(cls, path: Path, *, timeout: float = TIMEOUT_SECONDS) -> Self:
        """Reach it at a unix socket."""
        return cls(partial(_UnixConnection, path, timeout), str(path))

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        most: int = _MAX_ANSWER_BYTES,
    ) -> dict[str, Any]:
        """Return the JSON object of the answer, of ``most`` bytes at most. Raises ClientError."""
        headers = {**headers, "Accept": "application/json", "User-Agent": "ttscache-client"}
        status, retry_after, content = self._exchange(method, path, headers, body, most)
        document = _document(content)
        if status != _OK:
            raise refusal(status, retry_after, document)
        if document is None:
            raise ClientError("answer_invalid", "the daemon's answer is not JSON", status=status)
        return document

    def fetch(self, path: str, *, most: int = _MAX_ANSWER_BYTES) -> bytes:
        """Return what is at a path for anyone, of ``most`` bytes at most. Raises ClientError."""
        status, retry_after, content = self._exchange("GET", path, {"User-Agent": "ttscache-client"}, None, most)
        if status != _OK:
            raise refusal(status, retry_after, _document(content))
        return content

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, most: int
    ) -> tuple[int, str | None, bytes]:
        try:
            try:
                return self._once(method, path, headers, body, most)
            except _LOST:  # of several daemons behind one name one has died: the next is asked, and may be told twice
                return self._once(method, path, headers, body, most)
        except (OSError, UnicodeError, http.client.HTTPException) as error:  # UnicodeError: no name in the DNS
            raise self._failure(error) from None

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, most: int
    ) -> tuple[int, str | None, bytes]:
        connection = self._connection()
        try:
            connection.connect()
            _send(connection, method, self._prefix + path, headers, body)
            return _received(self._begun(connection), most)
        finally:
            connection.close()

    def _begun(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Return the answer, of which the headers are there."""
        try:
            return connection.getresponse()
        except (ssl.SSLError, ConnectionError):
            if not self._shows_certificate:
                raise
            # TLS 1.3 lets us ask before the daemon has looked at our certificate; then it hangs up without a word
            told = f"the daemon at {self._where} hangs up on this certificate: of another CA than it knows, or a proxy"
            raise ClientError("certificate_refused", told) from None

    def _failure(self, error: Exception) -> ClientError:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = error.verify_message or "the certificate is not trusted"
            return ClientError("unreachable", f"the daemon at {self._where} is not trusted: {reason}")
        reason = getattr(error, "strerror", None) or type(error).__name__
        return ClientError("unreachable", f"the daemon at {self._where} cannot be reached: {reason}")


# a connection that was there and is lost; http.client's RemoteDisconnected is the first
_LOST = (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)  # what `Host` says
        self._socket_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._socket_path))
        except PermissionError:
            told = f"the socket {self._socket_path} is for root and for the user that the daemon runs as"
            raise ClientError("admin_required", told, status=403) from None


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token. Raises ClientError for what cannot be sent."""
    require_sendable(token)
    return {"Authorization": f"Bearer {token}"}


def require_sendable(token: str) -> None:
    """Raise ClientError for what holds characters that no token has: they could be headers of somebody else's."""
    if not is_sendable(token):
        raise ClientError("token_malformed", "the token holds characters that no token has", status=401)


def is_sendable(token: str) -> bool:
    """Tell whether a token can stand in a header."""
    return _SENDABLE_TOKEN.match(token) is not None


def _send(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: bytes | None
) -> None:
    try:
        connection.request(method, path, body=body, headers=dict(headers))
    except (ConnectionError, ssl.SSLError):
        # who has hung up may have said why: an answer before all was read, or an alert of TLS
        return


def _received(answer: http.client.HTTPResponse, most: int) -> tuple[int, str | None, bytes]:
    content = answer.read(most + 1)
    if answer.length and len(content) <= most:  # http.client tells of it in chunked answers only
        raise http.client.IncompleteRead(content, answer.length)
    if len(content) > most:
        raise ClientError("answer_invalid", f"the daemon's answer has more than {most} bytes")
    return answer.status, answer.headers.get("Retry-After"), content


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


def _tls_context(ca_file: Path | None, certificate: ClientCertificate | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:  # SSLError among them
        raise ClientError(
            "ca_file_invalid", f"the CA file {ca_file} cannot be used: {error.strerror or 'no PEM certificates'}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    reason: str | None = "not a PEM certificate with its key"
    try:
        context.load_cert_chain(certificate.file, certificate.key)
        return
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
    files = f"{certificate.file}" if certificate.key is None else f"{certificate.file} with {certificate.key}"
    raise ClientError("certificate_invalid", f"the client certificate {files} cannot be used: {reason}")


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
