"""What old worker images ask for: the site's proxy without a token, from its own networks alone.

Failures are told in HTML, as they were: 500 for all that these clients may try again, 403 for strangers.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from ttscache.broker.members import Members
from ttscache.broker.reception import Asker
from ttscache.config.settings import LegacySettings
from ttscache.errors import TtsError
from ttscache.model import Credential, CredentialRequest
from ttscache.net.deadline import Deadline
from ttscache.server.answers import NO_STORE
from ttscache.server.services import Services, services_of

_log = logging.getLogger(__name__)
_FILE = {**NO_STORE, "Content-Disposition": 'attachment; filename="proxy.pem"'}

_Answering = Callable[[Services, LegacySettings, Members], Awaitable[web.StreamResponse]]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [
        web.get("/get_proxy", _for_neighbours(_get_proxy), allow_head=False),
        web.get("/cgi-bin/get_proxy", _for_neighbours(_get_proxy), allow_head=False),
        web.get("/health", _for_neighbours(_health), allow_head=False),
        web.get("/get_dn_map", _for_neighbours(_get_dn_map), allow_head=False),
    ]


def _for_neighbours(answer: _Answering) -> _Handler:
    """Return the handler that answers who is in one of the listed networks, by the peer's own address."""

    async def handler(request: web.Request) -> web.StreamResponse:
        services = services_of(request)
        settings, members = services.settings.legacy, services.members
        if settings is None or members is None or not _is_neighbour(request, settings):
            _log.warning("legacy_refused", extra={"peer": request.remote})
            return _told(HTTPStatus.FORBIDDEN, "this address is in none of the networks that are served here")
        try:
            return await answer(services, settings, members)
        except TtsError as error:
            _log.warning("legacy_failed", extra={"code": error.code, "reason": error.message})
            return _told(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.code}: {error.message}")

    return handler


async def _get_proxy(services: Services, settings: LegacySettings, _: Members) -> web.StreamResponse:
    """Answer with the one session's proxy, key and all."""
    credential = await _proxy(services, settings)
    return web.Response(body=credential.pem, content_type="application/octet-stream", headers=_FILE)


async def _health(services: Services, settings: LegacySettings, _: Members) -> web.StreamResponse:
    """Answer OK when there is a proxy to be had, and only then."""
    await _proxy(services, settings)
    return web.Response(text="OK", headers=NO_STORE)


async def _get_dn_map(services: Services, _: LegacySettings, members: Members) -> web.StreamResponse:
    """Answer with the name and the subject of each member of the issuer's groups."""
    found = await members.all(Deadline.after(services.settings.server.deadline))
    return web.json_response({"userMap": [[each.display, each.subject] for each in found]}, headers=NO_STORE)


async def _proxy(services: Services, settings: LegacySettings) -> Credential:
    deadline = Deadline.after(services.settings.server.deadline)
    acting, _ = await services.standing.current(settings.session, deadline)
    asker = Asker(replace(acting, profiles=(settings.profile,)), subject_token="", peer="legacy")
    return await services.broker.issue(asker, CredentialRequest(profile=settings.profile), deadline)


def _is_neighbour(request: web.Request, settings: LegacySettings) -> bool:
    """Tell by the peer's own address: a header may say anything."""
    named = None if request.transport is None else request.transport.get_extra_info("peername")
    if not isinstance(named, tuple):
        return False
    peer = _plain(ip_address(str(named[0]).partition("%")[0]))
    return any(peer in network for network in settings.networks)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """A socket for both families shows IPv4 peers in IPv6's form."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _told(status: HTTPStatus, reason: str) -> web.Response:
    text = f"<html><body>{html.escape(reason)}</body></html>\n"
    return web.Response(status=status, text=text, content_type="text/html", headers=NO_STORE)
