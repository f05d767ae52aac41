"""A fresh token of a test user, from the running sandbox's IAM."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ttscache.errors import ExchangeRefusedError, UpstreamUnavailableError
from ttscache.sandbox.iam import password_form
from ttscache.sandbox.site import AUDIENCE, TOKEN_SCOPES

_TIMEOUT = 10.0
_SERVER_ERROR = 500


def fetch_token(accounts: Mapping[str, Any], username: str, *, scope: str | None, audience: str | None) -> str:
    """Return a token by the password grant. Raises ExchangeRefusedError, UpstreamUnavailableError."""
    form = password_form(
        username,
        accounts["users"][username],
        client_id=accounts["client_id"],
        client_secret=accounts["client_secret"],
        scope=TOKEN_SCOPES if scope is None else scope,
        audience=AUDIENCE if audience is None else audience,
    )
    url = accounts["iam_url"] + "token"
    try:
        with urllib.request.urlopen(url, urlencode(form).encode(), timeout=_TIMEOUT) as answer:  # noqa: S310 - loopback
            document = json.load(answer)
        return str(document["access_token"])
    except urllib.error.HTTPError as error:
        if error.code >= _SERVER_ERROR:
            raise _unavailable() from None
        raise ExchangeRefusedError(f"the sandbox's IAM refuses a token: {_reason(error)}") from None
    except (OSError, ValueError, LookupError, TypeError):
        raise _unavailable() from None


def _reason(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            return str(json.load(error)["error"])
        except (ValueError, LookupError, TypeError):
            return "unknown"


def _unavailable() -> UpstreamUnavailableError:
    return UpstreamUnavailableError("the sandbox's IAM does not answer; is `ttscache sandbox` running?")
