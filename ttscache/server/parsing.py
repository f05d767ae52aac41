"""Reading requests: bounded, strict, every mistake named."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from ttscache.errors import OverloadedError, RequestInvalidError, TokenMalformedError, TokenMissingError
from ttscache.model import CredentialRequest
from ttscache.net.deadline import Deadline

# A token of 16 KiB, a CSR of 8 KiB, FQANs; form encoding may triple a byte.
MAX_BODY_BYTES = 128 * 1024
_MAX_FQANS = 100
_MAX_FQAN = 255
_MAX_NAME = 64
_MAX_TARGETS = 100
_MAX_TARGET = 255
_VISIBLE = re.compile(r"[!-~]+\Z")
# more than any lifetime has; the rest of a longer number is not needed to see that it is too large
_MAX_DIGITS = 20
_INTEGER = re.compile(r"-?[0-9]+\Z")
_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z")
_MAX_SHOWN = 24
_BOOLEANS = {"true": True, "false": False}
# what most requests ask for
_DEFAULTS = CredentialRequest()


def bearer_token(request: web.Request) -> str:
    """Return the token of the Authorization header (RFC 6750 section 2.1)."""
    values = request.headers.getall("Authorization", [])
    if not values:
        raise TokenMissingError("no bearer token was presented; send `Authorization: Bearer ...`")
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    if len(values) > 1 or not token or scheme.lower() != "bearer":
        raise TokenMalformedError("the Authorization header is not one bearer token")
    return token


async def read_body(request: web.Request, deadline: Deadline) -> bytes:
    """Return the body. Raises OverloadedError when it does not come in time; aiohttp bounds its size."""
    try:
        if request.content.is_eof():  # it is there: most come in one piece with their headers
            return await request.read()
        async with asyncio.timeout(deadline.remaining):
            return await request.read()
    except TimeoutError:
        raise OverloadedError("the request's body did not arrive in time") from None
    except web.RequestPayloadError:
        raise RequestInvalidError("the request's body is broken off or wrongly chunked") from None


def is_known(request: web.Request, etag: str) -> bool:
    """Tell whether the caller has what this tag stands for already (RFC 9110 section 13.1.2)."""
    return any(known.value in {etag, "*"} for known in request.if_none_match or ())


def prefers_json(request: web.Request) -> bool:
    """Tell whether JSON is named in `Accept`, and not with less weight than PEM (RFC 9110 section 12.5.1)."""
    accepted = ",".join(request.headers.getall("Accept", [])).lower()
    if "application/json" not in accepted:
        return False
    weights = {"application/json": 0.0, "application/x-pem-file": 0.0}
    for part in accepted.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        if name in weights and _WEIGHT.match(weight):
            weights[name] = float(weight)
    return 0 < weights["application/json"] >= weights["application/x-pem-file"]


def from_query(request: web.Request) -> CredentialRequest:
    """Read ``profile, lifetime, limited, fqan`` of a query; `fqan` may be repeated, or hold several."""
    if not request.query_string:
        return _DEFAULTS
    fields = single_values(request.query.items(), repeatable={"fqan"})
    refuse_unknown(fields, {"profile", "lifetime", "limited", "fqan"}, "query parameter")
    return from_texts(fields)


def from_texts(fields: Mapping[str, list[str]]) -> CredentialRequest:
    """Read the request's parameters as they stand in a query or a form."""
    profile, lifetime, limited, csr = (first_value(fields, name) for name in ("profile", "lifetime", "limited", "csr"))
    if lifetime is not None and not _INTEGER.match(lifetime):
        raise RequestInvalidError("`lifetime` must be a whole number of seconds")
    if limited is not None and limited not in _BOOLEANS:
        raise RequestInvalidError("`limited` must be `true` or `false`")
    return CredentialRequest(
        profile=_profile(profile),
        lifetime=None if lifetime is None else int(lifetime[:_MAX_DIGITS]),
        limited=None if limited is None else _BOOLEANS[limited],
        fqans=_fqans([fqan for value in fields.get("fqan", []) for fqan in value.split(" ") if fqan]),
        csr=None if csr is None else _csr(csr),
        audiences=_targets([*fields.get("audience", ()), *fields.get("resource", ())], "audiences and resources"),
        scopes=_targets([one for value in fields.get("scope", ()) for one in value.split(" ")], "scopes"),
    )


def from_json(body: bytes) -> CredentialRequest:
    """Read the JSON body of POST /v1/proxy; an empty one asks for the defaults."""
    document = json_object(body)
    refuse_unknown(document, {"profile", "lifetime", "csr", "limited", "fqans"}, "field")
    profile = typed(document, "profile", str, "text")
    lifetime = typed(document, "lifetime", int, "a whole number of seconds")
    csr = typed(document, "csr", str, "text in PEM")
    limited = typed(document, "limited", bool, "true or false")
    fqans = typed(document, "fqans", list, "a list of texts") or []
    if not all(isinstance(fqan, str) for fqan in fqans):
        raise RequestInvalidError("`fqans` must be a list of texts")
    return CredentialRequest(
        profile=_profile(profile),
        lifetime=lifetime,
        limited=limited,
        fqans=_fqans(fqans),
        csr=None if csr is None else _csr(csr),
    )


def single_values(items: Iterable[tuple[str, str]], *, repeatable: set[str]) -> dict[str, list[str]]:
    """Gather parameters by name. Raises for a repeated one (RFC 6749 section 3.2) that is not ``repeatable``."""
    fields: dict[str, list[str]] = {}
    for name, value in items:
        if name in fields and name not in repeatable:
            raise RequestInvalidError(f"the parameter {_shown(name)} is there more than once")
        fields.setdefault(name, []).append(value)
    return fields


def refuse_unknown(names: Iterable[str], known: set[str], what: str) -> None:
    """Raise for the first name that is not known."""
    for name in names:
        if name not in known:
            raise RequestInvalidError(f"unknown {what} {_shown(name)}; known: {', '.join(sorted(known))}")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; an empty body is an empty one. Raises RequestInvalidError."""
    if not body.strip():
        return {}
    try:
        document = json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise RequestInvalidError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise RequestInvalidError("the body is not a JSON object")
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated field: parsers differ on which of the two counts."""
    document = dict(pairs)
    if len(document) < len(pairs):
        raise RequestInvalidError("a field is there more than once")
    return document


def typed(document: Mapping[str, Any], name: str, kind: type, words: str) -> Any:  # noqa: ANN401 - of that type
    """Return a field of this type, or None where it is missing or null. Raises RequestInvalidError."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestInvalidError(f"`{name}` must be {words}")
    return value


def first_value(fields: Mapping[str, list[str]], name: str) -> str | None:
    """Return a parameter's value; one without a value is as good as omitted (RFC 6749 section 3.2)."""
    return next((value for value in fields.get(name, []) if value), None)


def _profile(name: str | None) -> str | None:
    if name is not None and len(name) > _MAX_NAME:
        raise RequestInvalidError(f"`profile` has more than {_MAX_NAME} characters")
    return name


def _fqans(fqans: list[str]) -> tuple[str, ...]:
    if len(fqans) > _MAX_FQANS or any(len(fqan) > _MAX_FQAN for fqan in fqans):
        raise RequestInvalidError(f"at most {_MAX_FQANS} FQANs of {_MAX_FQAN} characters may be asked for")
    return tuple(dict.fromkeys(fqans))


def _targets(values: list[str], what: str) -> tuple[str, ...]:
    """Return audiences, resources (RFC 8707) or scopes; each is visible ASCII (RFC 6749 appendix A.4)."""
    given = tuple(dict.fromkeys(value for value in values if value))
    if len(given) > _MAX_TARGETS or any(len(each) > _MAX_TARGET or not _VISIBLE.match(each) for each in given):
        raise RequestInvalidError(f"at most {_MAX_TARGETS} {what} of {_MAX_TARGET} visible characters may be asked for")
    return given


def _csr(pem: str) -> bytes:
    return pem.encode(errors="replace")


def _shown(name: str) -> str:
    """Return a name as it can stand in a message: in ASCII, and not one so long that it may be a token."""
    return ascii(name) if len(name) <= _MAX_SHOWN else f"of {len(name)} characters"
