"""The listening socket and its TLS."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ttscache.config.certificates import CertificateFileError, load_certificate, server_context
from ttscache.config.settings import Settings, TlsSettings
from ttscache.errors import ConfigurationError

_BACKLOG = 4096


@contextmanager
def tcp_listener(host: str, port: int, setting: str) -> Iterator[socket.socket]:
    """Listen on a host's port. Raises ConfigurationError when that is not possible."""
    try:
        listener = _tcp_socket(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no name in the DNS
        reason = str(error.strerror) if isinstance(error, OSError) else "not a host name"
        raise _cannot_listen(setting, f"{host}:{port}", reason) from None
    with listener:
        yield listener


@contextmanager
def listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Listen on the configured address. Raises ConfigurationError when that is not possible."""
    server = settings.server
    if server.unix_path is not None:
        with unix_listener(server.unix_path, "server.listen", mode=0o660) as listener:
            yield listener
        return
    with tcp_listener(server.host, server.port, "server.listen") as listener:
        yield listener


@contextmanager
def unix_listener(path: Path, setting: str, *, mode: int) -> Iterator[socket.socket]:
    """Listen on a unix socket, which is removed in the end. Raises ConfigurationError."""
    try:
        listener = _unix_socket(path, mode)
    except OSError as error:
        raise _cannot_listen(setting, str(path), str(error.strerror)) from None
    with listener:
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def url_of(listener: socket.socket, settings: Settings) -> str:
    """Return the URL of a listener with its real port."""
    if settings.server.unix_path is not None:
        return f"http+unix:{settings.server.unix_path}"
    return tcp_url(listener, "http" if settings.server.tls is None else "https")


def tcp_url(listener: socket.socket, scheme: str) -> str:
    """Return the URL of a TCP listener with its real port."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def tls_context(tls: TlsSettings | None, client_ca: Path | None) -> ssl.SSLContext | None:
    """Return the server's TLS context, of TLS 1.2 and up. Raises ConfigurationError.

    With ``client_ca`` clients may show a certificate of these CAs; OpenSSL refuses proxies by itself.
    """
    if tls is None:
        return None
    with _told():
        context = server_context(tls.certificate, tls.key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def reload_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    """Load certificate and key again for new connections; wrong ones change nothing. Raises ConfigurationError."""
    with _told():
        server_context(tls.certificate, tls.key)
        load_certificate(context, tls.certificate, tls.key)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CertificateFileError as error:
        raise ConfigurationError((f"server.tls: {error}",)) from None


def _tcp_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)


def _cannot_listen(setting: str, where: str, reason: str) -> ConfigurationError:
    return ConfigurationError((f"{setting}: cannot listen on {where}: {reason}",))


def _unix_socket(path: Path, mode: int) -> socket.socket:
    """Listen on a unix socket, in the place of one that a process which is gone has left behind."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
