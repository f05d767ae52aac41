"""Token files: a bearer token where WLCG's discovery looks for it, an IDTOKEN where HTCondor does.

What is said of a token here is read from it without verification: the daemon, which vouches for it, was verified.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ttscache.client import IssuedToken
from ttscache.sidecar.keeping import New, Present, UnfitError, put, remembered
from ttscache.sidecar.order import Item, Kind, Outcome
from ttscache.sidecar.place import Held, Place
from ttscache.sidecar.visit import Visit

_PARTS = 3
_LATEST = 253402300799.0  # the year 9999: what is later can neither be told nor reckoned with
_CLOCK_TOLERANCE = 60.0


def renew(visit: Visit, item: Item, place: Place, min_left: float) -> Outcome:
    """Put a new token in place, if it is better. Raises ClientError, UnfitError, OSError.

    The daemon is asked in any case: it keeps tokens itself, and knows alone for which audience one is to be.
    """
    token = visit.token
    now = time.time()  # what is left is counted from before the answer: rather too little than too much
    fetch = visit.client.access_token if item.kind is Kind.BEARER else visit.client.idtoken
    issued = fetch(token, profile=item.profile)
    new = _new(issued, now)
    held = place.read(item.path.name)
    present = _like(standing(held), held, issued) if held is not None else remembered(place, item, now)
    if new.not_after <= time.time():
        raise UnfitError("token_expired", "the daemon's answer has expired already; is a clock wrong?")
    if _time(_claims(issued.token.encode()).get("nbf", 0)) > time.time() + _CLOCK_TOLERANCE:
        raise UnfitError("token_not_yet_valid", "the daemon's answer is not valid yet; is a clock wrong?")
    return put(place, item.path.name, present, new, min_left=min_left, now=time.time())


def standing(held: Held | None) -> Present | None:
    """Return what is in a file, if it is a token that is good now. One that is no JWT says nothing of itself."""
    claims = {} if held is None else _claims(held.content.strip())
    end = _end(claims)
    if held is None or end is None or end <= time.time():
        return None
    return Present(_identity(claims), end, held.written_at, fits=True)


def _like(present: Present | None, held: Held | None, issued: IssuedToken) -> Present | None:
    """Return what is there, fit if it is for the same audience, scopes and pool as what came."""
    if present is None or held is None:
        return None
    there, came = _claims(held.content.strip()), _claims(issued.token.encode())
    return replace(present, fits=_purpose(there) == _purpose(came))


def _purpose(claims: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a token is for, in whatever order its claims say it."""
    audience, scope = claims.get("aud"), claims.get("scope")
    audiences = sorted(map(str, audience)) if isinstance(audience, list) else [str(audience)]
    return audiences, sorted(scope.split()) if isinstance(scope, str) else scope, claims.get("iss")


def _new(issued: IssuedToken, now: float) -> New:
    claims = _claims(issued.token.encode())
    told = now + max(0, min(issued.expires_in, _LATEST - now))
    end = _end(claims)
    return New(_identity(claims), told if end is None else min(told, end), issued.token.encode() + b"\n")


def _identity(claims: Mapping[str, Any]) -> str:
    return f"{claims.get('sub', '')} of {claims.get('iss', '')}"


def _end(claims: Mapping[str, Any]) -> float | None:
    return _time(claims["exp"]) if "exp" in claims else None


def _time(value: object) -> float:
    """Return a time in POSIX seconds (RFC 7519 section 2); what is none has passed."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST:
        return float(value)
    return 0.0


def _claims(token: bytes) -> Mapping[str, Any]:
    """Return the claims of a JWT (RFC 7519 section 3); none for anything else."""
    parts = token.split(b".")
    if len(parts) != _PARTS:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
