"""One bounded HTTP exchange: a deadline for the whole of it, a limit on the body, no redirects, peers verified."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from ttscache.net.deadline import Deadline
from ttscache.net.urls import unsafe_url_reason

# An IAM with a thousand keys would have a JWKS of this size; a token answer has some 4 KiB.
MAX_BODY_BYTES = 512 * 1024
# more connections at once would only queue at the issuer
_MAX_CONNECTIONS_PER_HOST = 16
# Below any server's own: a connection that the peer closes as we send leaves open whether a refresh token is spent.
_KEEP_ALIVE_SECONDS = 2.0
_MAX_RETRY_AFTER = 300.0
# IAM repeats a refused token in a header, and aiohttp's own 8 KiB are less than a token may have
_MAX_HEADER_BYTES = 32 * 1024


class FetchFailedError(Exception):
    """No whole answer came. ``sent`` tells whether the request may have reached the peer."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer, its secrets kept out of its representation.

    ``retry_after`` is in seconds, None where the peer did not say.
    """

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None


class Fetcher:
    """Fetches with one set of trusted CAs: the system's, or those of ``ca_file`` alone. Close it after use."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        url: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """GET a URL, with a client certificate where ``tls`` has one. Raises :class:`FetchFailedError`."""
        return await self._request("GET", url, deadline, headers=headers or {}, tls=tls)

    async def post_json(
        self, url: str, document: Mapping[str, object], deadline: Deadline, headers: Mapping[str, str]
    ) -> Answer:
        """POST a JSON document. Raises :class:`FetchFailedError`."""
        headers = {**headers, "Content-Type": "application/json"}
        return await self._request("POST", url, deadline, headers=headers, data=json.dumps(document).encode())

    async def post_form(
        self, url: str, form: Mapping[str, str], deadline: Deadline, headers: Mapping[str, str]
    ) -> Answer:
        """POST a form. Raises :class:`FetchFailedError`."""
        return await self._request("POST", url, deadline, headers=headers, data=form)

    async def _request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str],
        data: Mapping[str, str] | bytes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        reason = unsafe_url_reason(url)
        if reason is not None:
            raise FetchFailedError(f"the URL {reason}", sent=False)
        if deadline.remaining <= 0:
            raise FetchFailedError("no time was left to ask", sent=False)
        try:
            async with (
                asyncio.timeout(deadline.remaining),
                self._client().request(
                    method,
                    url,
                    data=data,
                    headers={"Accept": "application/json", **headers},
                    allow_redirects=False,
                    ssl=True if tls is None else tls,  # True: the connector's own
                ) as response,
            ):
                body = await _bounded_body(response)
                return Answer(response.status, body, _retry_after(response.headers.get("Retry-After")))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            # includes a TLS peer that cannot be verified: nothing of the request has left
            raise FetchFailedError("cannot connect, or the peer's certificate is not trusted", sent=False) from None
        except TimeoutError:
            raise FetchFailedError("no answer in time", sent=True) from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise FetchFailedError("the connection broke or the answer is not HTTP", sent=True) from None

    def _client(self) -> aiohttp.ClientSession:
        # made on first use, for it belongs to the running event loop, and reading the system's CAs takes 0.1 s
        if self._session is None:
            tls = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            connector = aiohttp.TCPConnector(
                ssl=tls, limit_per_host=_MAX_CONNECTIONS_PER_HOST, keepalive_timeout=_KEEP_ALIVE_SECONDS
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "ttscache", "Accept-Encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None),
                max_field_size=_MAX_HEADER_BYTES,
                trust_env=False,
            )
        return self._session


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise FetchFailedError(f"the answer has more than {MAX_BODY_BYTES} bytes", sent=True)
    return bytes(body)


def _retry_after(value: str | None) -> float | None:
    """Seconds or an HTTP date (RFC 9110 section 10.2.3), held within reason; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isascii() and value.isdigit() else _seconds_until(value)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _seconds_until(http_date: str) -> float:
    moment = parsedate_to_datetime(http_date)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
