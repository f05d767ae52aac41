"""Reading an IDTOKEN that the pool issued: what it says, and whether it is one to hand on.

Only the pool can verify it, so nothing that is said here grants anything; a token that is refused here is one that
would not work, or would work for too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from ttscache.authority.condor import SCOPE_PREFIX, CondorTokenError

MAX_TOKEN_FILE_BYTES = 16 * 1024  # HTCondor reads no more of a token
_SIGNATURE_BYTES = 32  # of an HMAC with SHA-256 (RFC 7518 section 3.2)
_MAX_MOMENT = 2**40
_MAX_SUBJECT = 255
# where HTCondor parts a list of scopes
_SEPARATORS = re.compile(r"[ ,\t\r\n]+")
_LEVEL = re.compile(r"[A-Z_]+")
_EVERYTHING = "ALL_PERMISSIONS"
_JWS = jwt.PyJWS()


@dataclass(frozen=True)
class IdToken:
    """A token of the pool, not verified. ``expires_at`` is its `exp` in POSIX seconds; ``issuer`` the trust domain."""

    token: str = field(repr=False)
    key_id: str
    issuer: str
    subject: str
    scopes: tuple[str, ...]
    expires_at: int


def read_idtoken(text: str, now: float) -> IdToken:
    """Return the one token of a file's text; as in HTCondor's token files, lines with a `#` first are comments.

    Raises :class:`ttscache.authority.condor.CondorTokenError`: `token_malformed` for what HTCondor would not take,
    `token_expired`, and `token_unrestricted` for a token without an end, or one whose scopes narrow nothing.
    """
    token = _only_line(text)
    header, claims = _parse(token)
    facts = IdToken(
        token=token,
        key_id=_text(header, "kid"),
        issuer=_text(claims, "iss"),
        subject=_text(claims, "sub"),
        scopes=_scopes(claims),
        expires_at=_end(claims),
    )
    _text(claims, "jti")  # HTCondor refuses a token without
    if facts.expires_at <= now:
        raise CondorTokenError("token_expired", "the pool's token has expired: put a new one into its file")
    return facts


def _only_line(text: str) -> str:
    # the characters of a token are ASCII: as many as bytes, or it is none
    if len(text) > MAX_TOKEN_FILE_BYTES:
        raise CondorTokenError("token_malformed", f"the token file has more than {MAX_TOKEN_FILE_BYTES} bytes")
    lines = [line.strip() for line in text.split("\n")]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if len(tokens) != 1:
        raise CondorTokenError("token_malformed", f"the token file has {len(tokens)} tokens, not one")
    return tokens[0]


def _parse(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        decoded = _JWS.decode_complete(token, options={"verify_signature": False})
        claims = json.loads(decoded["payload"])
    except (PyJWTError, ValueError, RecursionError, TypeError, AttributeError):
        raise CondorTokenError("token_malformed", "the token is not a signed JWT") from None
    if not isinstance(claims, dict):
        raise CondorTokenError("token_malformed", "the token's claims are not an object")
    if decoded["header"].get("alg") != "HS256" or len(decoded["signature"]) != _SIGNATURE_BYTES:
        raise CondorTokenError("token_malformed", "the token is not signed as HTCondor signs, with HS256")
    return decoded["header"], claims


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    # HTCondor cuts a subject at a NUL, and takes a newline in it
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_SUBJECT or not value.isprintable():
        raise CondorTokenError(
            "token_malformed", f"the token's '{name}' is not of 1 to {_MAX_SUBJECT} printable characters"
        )
    return value


def _scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    text = claims.get("scope", "")
    if not isinstance(text, str):
        raise CondorTokenError("token_malformed", "the token's 'scope' is not a string")
    scopes = tuple(scope for scope in _SEPARATORS.split(text) if scope)
    levels = [scope.removeprefix(SCOPE_PREFIX) for scope in scopes if scope.startswith(SCOPE_PREFIX)]
    # HTCondor drops an empty level, and the white space around one
    if not levels or _EVERYTHING in levels or not all(_LEVEL.fullmatch(level) for level in levels):
        raise CondorTokenError(
            "token_unrestricted",
            "the pool's token has no scope of the form condor:/LEVEL, so it may do everything: make one with -authz",
        )
    return scopes


def _end(claims: Mapping[str, Any]) -> int:
    end = claims.get("exp")
    if end is None:
        raise CondorTokenError(
            "token_unrestricted", "the pool's token never ends, so it cannot be handed on: make one with -lifetime"
        )
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 <= end < _MAX_MOMENT:
        raise CondorTokenError("token_malformed", "the token's 'exp' is not a time")
    return int(end)
