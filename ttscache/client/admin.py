"""Administration from outside: sessions, credentials, identities; what administrators see and do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from ttscache.client.answers import (
    ListedCredential,
    ListedSession,
    MapFile,
    RevokedCertificate,
    RevokedIdentity,
    SessionOwner,
    entries,
    read,
    unreadable,
)
from ttscache.client.transport import TIMEOUT_SECONDS, ClientCertificate, Transport, bearer

_Entry = TypeVar("_Entry")
_ROOT = "/admin/v1"
# a line for each of ten thousands of names
_MAX_MAP_FILE_BYTES = 64 * 1024 * 1024


class AdminClient:
    """Asks the daemon as one of its administrators. All methods raise :class:`ClientError`.

    No answer holds a key or a token. ``reason`` goes into the daemon's log, and is shown beside a revoked identity.
    """

    def __init__(self, transport: Transport, token: str | None = None) -> None:
        self._transport = transport
        self._headers = {} if token is None else bearer(token)

    @classmethod
    def over_network(
        cls,
        url: str,
        ca_file: Path | None = None,
        *,
        token: str | None = None,
        certificate: ClientCertificate | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Self:
        """Ask at a URL, by an administrator's token or client certificate. Raises ClientError."""
        return cls(Transport.over_network(url, ca_file, certificate, timeout=timeout), token)

    @classmethod
    def over_socket(cls, path: Path, *, timeout: float = TIMEOUT_SECONDS) -> Self:
        """Ask at the daemon's `admin.socket`, which knows who is there."""
        return cls(Transport.over_socket(path, timeout=timeout))

    def sessions(self, issuer: str | None = None, subject: str | None = None) -> Iterator[ListedSession]:
        """Go through the sessions, those of an identity alone where it is given; page by page."""
        return self._pages(ListedSession, "/sessions", issuer, subject)

    def revoke_session(self, session_id: str, reason: str = "") -> SessionOwner:
        """End a session and refuse the tokens that were issued before now; a standing one until it is opened."""
        return read(SessionOwner, self._act(f"/sessions/{_part(session_id)}/revoke", reason).get("revoked"))

    def open_session(self, name: str, reason: str = "") -> SessionOwner:
        """Open a standing session, also one that was revoked."""
        return read(SessionOwner, self._act(f"/standing/{_part(name)}/open", reason).get("opened"))

    def credentials(self, issuer: str | None = None, subject: str | None = None) -> Iterator[ListedCredential]:
        """Go through the credentials that are kept, as :meth:`sessions` does."""
        return self._pages(ListedCredential, "/credentials", issuer, subject)

    def revoke_credential(self, eec_serial: int, reason: str = "") -> RevokedCertificate:
        """Revoke an end-entity certificate, and so every proxy below it."""
        return read(RevokedCertificate, self._act(f"/credentials/{eec_serial}/revoke", reason).get("revoked"))

    def revoked_identities(self) -> tuple[RevokedIdentity, ...]:
        """Return the identities that are refused."""
        return entries(RevokedIdentity, self._get("/identities/revoked").get("entries"))

    def revoke_identity(self, issuer: str, subject: str, reason: str = "") -> None:
        """Refuse an identity until it is restored; end its sessions, revoke its certificates."""
        self._act("/identities/revoke", reason, issuer=issuer, subject=subject)

    def restore_identity(self, issuer: str, subject: str, reason: str = "") -> None:
        """Take an identity's revocation back."""
        self._act("/identities/restore", reason, issuer=issuer, subject=subject)

    def mapfile(self, form: str, issuer: str | None = None) -> MapFile:
        """Return the mapping rules in a consumer's format; ``issuer`` where the file is for one issuer's tokens."""
        return read(MapFile, self._get(f"/mapfiles/{_part(form)}", most=_MAX_MAP_FILE_BYTES, issuer=issuer))

    def statistics(self) -> dict[str, Any]:
        """Return how the daemon's rooms are filled, and how each dependency is."""
        return self._get("/statistics")

    def reload(self, reason: str = "") -> None:
        """Have the configuration as it is now put in the place of the running one; a wrong one changes nothing."""
        self._act("/reload", reason)

    def _pages(self, kind: type[_Entry], path: str, issuer: str | None, subject: str | None) -> Iterator[_Entry]:
        after = None
        while True:
            page = self._get(path, issuer=issuer, subject=subject, after=after)
            yield from entries(kind, page.get("entries"))
            following = page.get("next")
            if following is None:
                return
            if not isinstance(following, str) or following == after:
                raise unreadable()
            after = following

    def _get(self, path: str, *, most: int | None = None, **query: str | None) -> dict[str, Any]:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        target = f"{_ROOT}{path}?{given}" if given else f"{_ROOT}{path}"
        if most is None:
            return self._transport.ask("GET", target, self._headers)
        return self._transport.ask("GET", target, self._headers, most=most)

    def _act(self, path: str, reason: str, **fields: str) -> dict[str, Any]:
        headers = {**self._headers, "Content-Type": "application/json"}
        return self._transport.ask("POST", _ROOT + path, headers, json.dumps({**fields, "reason": reason}).encode())


def _part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")
