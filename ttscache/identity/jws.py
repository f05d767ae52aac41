"""The compact serialisation of a signed JWT (RFC 7515 section 7.1), parsed once, and its signature (RFC 7518)."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from ttscache.errors import TokenMalformedError, TokenMissingError, TokenSignatureError
from ttscache.identity.settings import ALGORITHMS

# IAM's tokens have 1 to 2 KiB; a user in hundreds of groups has some 10.
MAX_TOKEN_BYTES = 16 * 1024
MAX_CLAIMS = 256
# the last may be empty, as that of `none` is: such a token is refused for its algorithm
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")
# By a segment's length modulo 4: what its last character may be and the padding that the decoder wants. The bits
# that stand for nothing must be zero (RFC 4648 section 3.5), or one token would have several spellings.
_ENDS = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")
# PyJWT's, but none that is symmetric or `none`, whatever a configuration lists
_METHODS = {name: method for name, method in get_default_algorithms().items() if name in ALGORITHMS}


class CompactJws(NamedTuple):
    """A token taken apart. Nothing of it is verified yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse(token: str) -> CompactJws:
    """Take a token apart. Raises :class:`TokenMissingError` or :class:`TokenMalformedError`."""
    if not token:
        raise TokenMissingError("no token was presented")
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenMalformedError(f"the token has more than {MAX_TOKEN_BYTES} characters")
    try:
        parsed = _parsed(token.encode("ascii"))
    except (ValueError, RecursionError):
        raise TokenMalformedError("the token is not a signed JWT") from None
    if not isinstance(parsed.claims, dict) or len(parsed.claims) > MAX_CLAIMS:
        raise TokenMalformedError(f"the token's claims are not an object of at most {MAX_CLAIMS} members")
    return parsed


def require_signature(jws: CompactJws, algorithm: str, key: object) -> None:
    """Raise :class:`TokenSignatureError` or :class:`TokenMalformedError` when this key did not sign the token.

    ``algorithm`` is the one of the issuer's list that the caller has found, never just the header's word.
    """
    try:
        holds = _holds(jws, algorithm, key)
    except (PyJWTError, KeyError, ValueError, TypeError):
        raise TokenMalformedError("the token is malformed") from None
    if not holds:
        raise TokenSignatureError("the token's signature does not hold")


def _holds(jws: CompactJws, algorithm: str, key: object) -> bool:
    method = _METHODS[algorithm]
    # the key is of the type and on the curve that the algorithm is for (RFC 8725 section 3.1), and long enough
    prepared = method.prepare_key(key)
    return method.check_key_length(prepared) is None and method.verify(jws.signed, prepared, jws.signature)


def _parsed(token: bytes) -> CompactJws:
    if _COMPACT.fullmatch(token) is None:
        raise ValueError("not three segments of base64url")
    header, payload, signature = token.translate(_TO_BASE64).split(b".")
    parameters = json.loads(_decoded(header).decode())
    _require_known_form(parameters)
    # RFC 7519 section 7.2: claims are UTF-8, of which json.loads would not insist by itself
    claims = json.loads(_decoded(payload).decode())
    return CompactJws(parameters, claims, token[: token.rindex(b".")], _decoded(signature))


def _decoded(segment: bytes) -> bytes:
    left = len(segment) % 4
    ends = _ENDS[left]
    if ends is not None and segment[-1] not in ends:
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment + _PADDING[left])


def _require_known_form(header: object) -> None:
    """Raise :class:`TokenMalformedError` for a header by which the rest means something else than it looks like."""
    if not isinstance(header, dict) or not isinstance(header.get("kid", ""), str):
        raise TokenMalformedError("the token's header is not an object, or names its key by what is no string")
    # RFC 7797 section 3: the payload is no base64url then, and not where it should be
    if header.get("b64") is False:
        raise TokenMalformedError("the token's payload is not where and in the form that it should be")
    if "crit" in header and not _names_only_b64(header):
        raise TokenMalformedError("the token's header has critical extensions, of which none is known here")


def _names_only_b64(header: Mapping[str, Any]) -> bool:
    """RFC 7515 section 4.1.11: a list that is not empty, of what is there and known. None is used here after all."""
    listed = header["crit"]
    return isinstance(listed, list) and bool(listed) and all(name == "b64" for name in listed) and "b64" in header
