"""Where `exchange` and `explain` get their answers from: a daemon, or the same path in this process."""

from __future__ import annotations

from typing import Any, Protocol

from ttscache.client import IssuedToken, Proxy


class CredentialSource(Protocol):
    """Answers as :class:`ttscache.client.Client` does."""

    def whoami(self, token: str) -> dict[str, Any]:
        """Return the identity and its decision."""

    def proxy(
        self,
        token: str,
        *,
        profile: str | None,
        lifetime: int | None,
        limited: bool | None,
        fqans: tuple[str, ...],
        csr: bytes | None,
    ) -> Proxy:
        """Return a proxy."""

    def idtoken(self, token: str, *, profile: str | None, lifetime: int | None) -> IssuedToken:
        """Return an HTCondor IDTOKEN."""

    def access_token(
        self,
        token: str,
        *,
        profile: str | None,
        lifetime: int | None,
        audiences: tuple[str, ...],
        scopes: tuple[str, ...],
    ) -> IssuedToken:
        """Return an access token for a service."""
