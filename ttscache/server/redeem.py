"""/v1/credentials/x509/redeem: a proxy as af-credmon fetches it for HTCondor's jobs."""

from __future__ import annotations

import time

from aiohttp import web

from ttscache.errors import SubjectRevokedError
from ttscache.identity.settings import CREDMON_AUDIENCE
from ttscache.model import Credential, CredentialRequest
from ttscache.net.deadline import Deadline
from ttscache.server.answers import NO_STORE, GoneError
from ttscache.server.asking import asker_of
from ttscache.server.credentials import rfc3339
from ttscache.server.parsing import bearer_token, json_object, read_body, refuse_unknown
from ttscache.server.services import services_of


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [web.post("/v1/credentials/x509/redeem", redeem)]


async def redeem(request: web.Request) -> web.StreamResponse:
    """Answer with the cached proxy, whose key the daemon made; 404 only when the subject is revoked."""
    services = services_of(request)
    deadline = Deadline.after(services.settings.server.deadline)
    token = bearer_token(request)
    refuse_unknown(request.query, set(), "query parameter")
    refuse_unknown(json_object(await read_body(request, deadline)), set(), "field")
    try:
        asker = await asker_of(request, services, token, deadline, also_for=CREDMON_AUDIENCE)
        credential = await services.broker.issue(asker, CredentialRequest(), deadline)
    except SubjectRevokedError as error:
        raise GoneError(error.message) from None
    return web.json_response(_json(credential), headers=NO_STORE)


def _json(credential: Credential) -> dict[str, object]:
    return {
        "pem": credential.pem.decode(),
        "dn": credential.identity,
        "voms_attributes": credential.fqans,
        "expires_at": rfc3339(credential.not_after),
        "remaining_seconds": max(0, int(credential.not_after - time.time())),
        "nickname": credential.account,
    }
