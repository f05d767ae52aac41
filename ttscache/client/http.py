"""The daemon's client: credentials for tokens, and what the daemon says of a token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ttscache.client.answers import moment
from ttscache.client.errors import ClientError
from ttscache.client.transport import TIMEOUT_SECONDS, Transport, bearer, is_sendable, require_sendable

_OK = 200
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret
_IDTOKEN = "urn:ttscache:params:oauth:token-type:condor-idtoken"
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
class IssuedToken:
    """An access token or an HTCondor IDTOKEN, as POST /token answers it. ``expires_in`` is in seconds."""

    token: str
    expires_in: int
    scopes: tuple[str, ...]


class Client:
    """A client of the daemon at ``url``; https is verified against ``ca_file`` or else the system's CAs.

    One connection a call: whoever asks often enough to mind fetches from the sidecar's file instead.
    """

    def __init__(self, url: str, ca_file: Path | None = None, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """``timeout`` is in seconds, for each wait on the network. Raises ClientError for a URL not to be called."""
        self._transport = Transport.over_network(url, ca_file, timeout=timeout)

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

    def idtoken(self, token: str, *, profile: str | None = None, lifetime: int | None = None) -> IssuedToken:
        """Exchange a token for an HTCondor IDTOKEN (RFC 8693 section 2.1). Raises ClientError."""
        return self._exchange(token, _IDTOKEN, {"profile": profile, "lifetime": lifetime})

    def access_token(
        self,
        token: str,
        *,
        profile: str | None = None,
        lifetime: int | None = None,
        audiences: tuple[str, ...] = (),
        scopes: tuple[str, ...] = (),
    ) -> IssuedToken:
        """Exchange a token for an access token of these audiences and scopes (RFC 8693). Raises ClientError.

        Without audiences it is for the profile's first, without scopes it has all that may be had.
        """
        narrowed = {"audience": list(audiences), "scope": " ".join(scopes) or None}
        return self._exchange(token, _ACCESS_TOKEN, {"profile": profile, "lifetime": lifetime, **narrowed})

    def trust_anchors(self) -> bytes:
        """Return the files of a trust directory, as a gzipped tar. Raises ClientError."""
        return self._transport.fetch("/trust/anchors.tar.gz")

    def vomsdir(self) -> bytes:
        """Return the files of a VOMS trust directory, as a gzipped tar. Raises ClientError."""
        return self._transport.fetch("/trust/vomsdir.tar.gz")

    def whoami(self, token: str) -> dict[str, Any]:
        """Return what the daemon says of a token: identity, decision, trace, profiles. Raises ClientError."""
        document = self._json("GET", "/v1/whoami", token, None)
        if not all(isinstance(document.get(name), kind) for name, kind in _WHOAMI.items()):
            raise ClientError("answer_invalid", "the daemon's answer is not about a token", status=_OK)
        return document

    def _exchange(self, token: str, kind: str, wanted: Mapping[str, Any]) -> IssuedToken:
        require_sendable(token)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": _ACCESS_TOKEN,
            "requested_token_type": kind,
            "subject_token": token,
            **{name: value for name, value in wanted.items() if value is not None},
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return _issued_token(self._transport.ask("POST", "/token", headers, urlencode(form, doseq=True).encode()))

    def _json(self, method: str, path: str, token: str, body: bytes | None) -> dict[str, Any]:
        headers = bearer(token)
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._transport.ask(method, path, headers, body)


def _proxy(document: Mapping[str, Any]) -> Proxy:
    try:
        return Proxy(
            pem=document["pem"].encode(),
            subject=str(document["subject"]),
            identity=str(document["identity"]),
            account=document["account"],
            issuer=str(document["issuer"]),
            not_before=moment(document["not_before"]),
            not_after=moment(document["not_after"]),
            fqans=tuple(document["fqans"]),
            serial=int(document["serial"]),
            profile=str(document["profile"]),
            shortened_by=tuple(document["shortened_by"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ClientError("answer_invalid", "the daemon's answer is not a proxy", status=_OK) from None


def _issued_token(document: Mapping[str, Any]) -> IssuedToken:
    token, expires_in, scopes = (document.get(name) for name in ("access_token", "expires_in", "scope"))
    if not isinstance(token, str) or not isinstance(expires_in, int) or not isinstance(scopes, str):
        raise _no_token()
    if not is_sendable(token):
        raise _no_token()
    return IssuedToken(token, expires_in, tuple(scopes.split()))


def _no_token() -> ClientError:
    return ClientError("answer_invalid", "the daemon's answer is not a token", status=_OK)
