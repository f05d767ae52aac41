"""Which URLs may be called at all."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback_host(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unsafe_url_reason(url: str) -> str | None:
    """Return why a URL must not be called, or None: https anywhere, plain http on loopback only, no credentials."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        return "is not a URL"
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return "is not a URL with a host"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password"
    if parts.scheme == "https":
        return None
    if parts.scheme == "http":
        return None if is_loopback_host(host) else "is plain http, which is only taken on loopback; use https"
    return "is neither https nor http"
