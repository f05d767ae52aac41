"""/admin/v1: what administrators see and do. No answer here holds a key or a token."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ttscache.broker.administration import Act, KnownCredential, Page
from ttscache.broker.mapfiles import mapfile
from ttscache.broker.revocations import Revocation
from ttscache.errors import NotFoundError, RequestInvalidError
from ttscache.mapping.exports import Format
from ttscache.model import Session
from ttscache.net.deadline import Deadline
from ttscache.server.admin_access import administrator
from ttscache.server.answers import NO_STORE
from ttscache.server.credentials import rfc3339
from ttscache.server.parsing import first_value, json_object, read_body, refuse_unknown, single_values, typed
from ttscache.server.services import CURRENT, services_of

_log = logging.getLogger(__name__)
_DEFAULT_LIMIT = 100
_MOST = 1000
_MAX_REASON = 200
# as the verifier has it: no token of a longer one is accepted
_MAX_SUBJECT = 255
_FORMATS = {form.value: form for form in Format}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.RouteDef]:
    """Return this audience's routes; every one asks first who is there."""
    return [
        _get("/sessions", sessions),
        _post("/sessions/{id}/revoke", revoke_session),
        _post("/standing/{name}/open", open_standing),
        _get("/credentials", credentials),
        _post("/credentials/{serial}/revoke", revoke_credential),
        _get("/identities/revoked", revoked_identities),
        _post("/identities/revoke", revoke_identity),
        _post("/identities/restore", restore_identity),
        _get("/mapfiles/{format}", mapping_file),
        _get("/statistics", statistics),
        _post("/reload", reload),
    ]


async def sessions(request: web.Request, _: str) -> web.StreamResponse:
    """Answer with sessions, in pages."""
    page = _page(request, "session/")
    found = await services_of(request).administration.sessions(page)
    return _listed([_session_json(key, session) for key, session in found], page)


async def revoke_session(request: web.Request, by: str) -> web.StreamResponse:
    """End a session and refuse its tokens from before."""
    act = await _act(request, by)
    key = "session/" + request.match_info["id"].replace(".", "/")
    session = await services_of(request).administration.revoke_session(key, act)
    return _json({"revoked": {"issuer": session.issuer, "subject": session.subject, "session": session.name}})


async def open_standing(request: web.Request, by: str) -> web.StreamResponse:
    """Open a standing session, also one that was revoked."""
    services = services_of(request)
    act = await _act(request, by)
    deadline = Deadline.after(services.settings.server.deadline)
    name = request.match_info["name"]
    session = await services.administration.open_session(name, act, deadline)
    return _json({"opened": {"issuer": session.issuer, "subject": session.subject, "session": session.name}})


async def credentials(request: web.Request, _: str) -> web.StreamResponse:
    """Answer with the credentials that are kept, in pages; never their keys."""
    page = _page(request, "")
    administration = services_of(request).administration
    found = await administration.credentials(page)
    return _listed([_credential_json(each, revoked=administration.is_revoked(each.eec_serial)) for each in found], page)


async def revoke_credential(request: web.Request, by: str) -> web.StreamResponse:
    """Revoke an end-entity certificate, by its serial, with all proxies below it."""
    act = await _act(request, by)
    serial = request.match_info["serial"]
    if not (serial.isascii() and serial.isdigit() and len(serial) <= 50):  # noqa: PLR2004 - 20 octets
        raise RequestInvalidError("a serial is a decimal number")
    revoked = await services_of(request).administration.revoke_credential(int(serial), act)
    return _json({"revoked": {"eec_serial": serial, "authority": revoked.authority}})


async def revoked_identities(request: web.Request, _: str) -> web.StreamResponse:
    """Answer with the revoked identities."""
    refuse_unknown(request.query, set(), "query parameter")
    found = await services_of(request).administration.revoked_identities()
    return _json({"entries": [_revocation_json(each) for each in found], "next": None})


async def revoke_identity(request: web.Request, by: str) -> web.StreamResponse:
    """Refuse an identity until it is restored."""
    issuer, subject, reason = await _named(request)
    await services_of(request).administration.revoke_identity(issuer, subject, Act(by, reason))
    return _json({"revoked": {"issuer": issuer, "subject": subject}})


async def restore_identity(request: web.Request, by: str) -> web.StreamResponse:
    """Take an identity's revocation back."""
    issuer, subject, reason = await _named(request)
    await services_of(request).administration.restore_identity(issuer, subject, Act(by, reason))
    return _json({"restored": {"issuer": issuer, "subject": subject}})


async def mapping_file(request: web.Request, _: str) -> web.StreamResponse:
    """Answer with the mapping rules as a file of a consumer's, and with what it leaves out."""
    fields = single_values(request.query.items(), repeatable=set())
    refuse_unknown(fields, {"issuer"}, "query parameter")
    form = _FORMATS.get(request.match_info["format"])
    if form is None:
        raise NotFoundError("there is no such format; there are " + ", ".join(_FORMATS))
    services = services_of(request)
    made = await mapfile(services.settings, services.store, form, first_value(fields, "issuer"))
    left_out = [{"rule": each.rule, "why": each.why} for each in made.left_out]
    return _json({"format": form.value, "text": made.text, "left_out": left_out})


async def statistics(request: web.Request, _: str) -> web.StreamResponse:
    """Answer with how the rooms are filled and how each dependency is."""
    refuse_unknown(request.query, set(), "query parameter")
    current = request.app[CURRENT]
    figures = current.services.figures
    dependencies = await current.services.readiness.dependencies()
    return _json(
        {
            "sessions_in_memory": figures.sessions(),
            "keys_ready": figures.key_pools(),
            "renewals_planned": figures.renewals_planned(),
            "waiting_at_issuers": figures.waiting(),
            "circuits_closed": figures.circuits(),
            "requests_in_flight": current.in_flight,
            "dependencies": {name: status.value for name, status in dependencies.items()},
        }
    )


async def reload(request: web.Request, by: str) -> web.StreamResponse:
    """Put the configuration as it is now in the place of the running one; a wrong one changes nothing."""
    act = await _act(request, by)
    _log.info("reload_asked", extra={"by": act.by, "reason": act.reason})
    mistakes = await request.app[CURRENT].reload()
    if mistakes:
        raise RequestInvalidError("the running configuration stays: " + "; ".join(mistakes))
    return _json({"reloaded": True})


def _get(path: str, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]) -> web.RouteDef:
    return web.get(f"/admin/v1{path}", _guarded(handler), allow_head=False)


def _post(path: str, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]) -> web.RouteDef:
    return web.post(f"/admin/v1{path}", _guarded(handler))


def _guarded(handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        return await handler(request, await administrator(request))

    return guarded


def _page(request: web.Request, prefix: str) -> Page:
    fields = single_values(request.query.items(), repeatable=set())
    refuse_unknown(fields, {"issuer", "subject", "limit", "after"}, "query parameter")
    issuer, subject, limit, after = (first_value(fields, name) for name in ("issuer", "subject", "limit", "after"))
    if limit is not None and not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST):
        raise RequestInvalidError(f"`limit` must be a whole number from 1 to {_MOST}")
    behind = "" if after is None else prefix + after.replace(".", "/")
    return Page(issuer, subject, _DEFAULT_LIMIT if limit is None else int(limit[:9]), behind)


async def _act(request: web.Request, by: str) -> Act:
    body = await _body(request)
    refuse_unknown(body, {"reason"}, "field")
    return Act(by, _reason(body))


async def _named(request: web.Request) -> tuple[str, str, str]:
    """Return issuer, subject and reason of a body. Raises RequestInvalidError."""
    body = await _body(request)
    refuse_unknown(body, {"issuer", "subject", "reason"}, "field")
    issuer, subject = (typed(body, name, str, "text") for name in ("issuer", "subject"))
    known = services_of(request).issuers
    if issuer not in known:
        raise RequestInvalidError("`issuer` must be the name of a configured issuer: " + ", ".join(known))
    if not subject:
        raise RequestInvalidError("`subject` is missing: the `sub` of the identity's tokens")
    if len(subject) > _MAX_SUBJECT or not subject.isprintable():
        raise RequestInvalidError(f"`subject` must be at most {_MAX_SUBJECT} printable characters")
    return issuer, subject, _reason(body)


async def _body(request: web.Request) -> dict[str, Any]:
    refuse_unknown(request.query, set(), "query parameter")
    deadline = Deadline.after(services_of(request).settings.server.deadline)
    return json_object(await read_body(request, deadline))


def _reason(body: dict[str, Any]) -> str:
    reason = typed(body, "reason", str, "text") or ""
    if len(reason) > _MAX_REASON or not reason.isprintable():
        raise RequestInvalidError(f"`reason` must be at most {_MAX_REASON} printable characters")
    return str(reason)


def _listed(entries: list[dict[str, object]], page: Page) -> web.Response:
    """``next`` is what to ask for as `after`; None when there is no more."""
    following = entries[-1]["id"] if len(entries) == page.limit else None
    return _json({"entries": entries, "next": following})


def _session_json(key: str, session: Session) -> dict[str, object]:
    return {
        "id": key.removeprefix("session/").replace("/", "."),
        "session": session.name,
        "issuer": session.issuer,
        "subject": session.subject,
        "state": session.state.value,
        "end_reason": session.end_reason,
        "generation": session.generation,
        "opened_at": rfc3339(session.opened_at),
        "confirmed_at": rfc3339(session.confirmed_at),
        "ends_at": rfc3339(session.ends_at),
        "renewable": session.is_renewable,
    }


def _credential_json(known: KnownCredential, *, revoked: bool) -> dict[str, object]:
    return {
        "id": known.key.replace("/", "."),
        "kind": "end-entity" if known.profile is None else "proxy",
        "issuer": known.issuer,
        "subject": known.subject,
        "dn": known.dn,
        "authority": known.authority,
        "profile": known.profile,
        "serial": str(known.serial),
        "eec_serial": str(known.eec_serial),
        "not_after": rfc3339(known.not_after),
        "revoked": revoked,
    }


def _revocation_json(revocation: Revocation) -> dict[str, object]:
    return {
        "issuer": revocation.issuer,
        "subject": revocation.subject,
        "revoked_at": rfc3339(revocation.at),
        "by": revocation.by,
        "reason": revocation.reason,
    }


def _json(document: dict[str, object]) -> web.Response:
    return web.json_response(document, headers=NO_STORE)
