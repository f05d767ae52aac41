"""Fetching from one server as who a token file says we are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher, FetchFailedError

_MAX_TOKEN_BYTES = 64 * 1024


class AuthorizedFetcher:
    """Shows the token in a file, which is written anew now and then, to the server at ``url`` and to no other."""

    def __init__(self, fetcher: Fetcher, url: str, token_file: Path) -> None:
        self._fetcher = fetcher
        self._origin = _origin(url)
        self._token_file = token_file

    async def get(self, url: str, deadline: Deadline, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET a URL. Raises :class:`FetchFailedError`."""
        return await self._fetcher.get(url, deadline, headers={**(headers or {}), **self._headers(url)})

    async def post_json(self, url: str, document: dict[str, object], deadline: Deadline) -> Answer:
        """POST a JSON document. Raises :class:`FetchFailedError`."""
        return await self._fetcher.post_json(url, document, deadline, self._headers(url))

    def _headers(self, url: str) -> dict[str, str]:
        if _origin(url) != self._origin:
            return {}
        try:
            with self._token_file.open("rb") as file:
                token = file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise FetchFailedError("the file of this daemon's own token cannot be read", sent=False) from None
        if not token or not token.isprintable():
            raise FetchFailedError("the file of this daemon's own token holds none", sent=False)
        return {"Authorization": f"Bearer {token}"}


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
