"""Who may administer: by a token that a rule names, a client certificate of a listed DN, or the unix socket."""

from __future__ import annotations

import os
import socket
import struct

from aiohttp import web
from cryptography import x509

from proxy_gen.errors import NameRefusedError
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import proxy_cert_info
from ttscache.errors import AdminRequiredError, TokenMissingError
from ttscache.net.deadline import Deadline
from ttscache.server.asking import asker_of
from ttscache.server.parsing import bearer_token
from ttscache.server.services import Services, services_of

# unix(7): struct ucred
_CREDENTIALS = struct.Struct("3i")
_ROOT = 0

ON_SOCKET: web.AppKey[bool] = web.AppKey("on_socket", bool)


async def administrator(request: web.Request) -> str:
    """Return who administers. Raises AdminRequiredError, TokenErrors, SubjectRevokedError."""
    if request.app[ON_SOCKET]:
        return _local_user(request)
    services = services_of(request)
    by_certificate = _certificate_dn(request, services)
    if by_certificate is not None:
        return by_certificate
    return await _token_holder(request, services)


def _local_user(request: web.Request) -> str:
    """The socket's permissions keep others out; who is there is asked all the same."""
    transport_socket = None if request.transport is None else request.transport.get_extra_info("socket")
    if transport_socket is None:
        raise AdminRequiredError("who asks is gone")
    # of our own descriptor: uvloop's stand-in for a socket does not tell everything
    with socket.socket(fileno=os.dup(transport_socket.fileno())) as peer:
        _, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid not in {_ROOT, os.geteuid()}:
        raise AdminRequiredError("the socket is for root and for the user that the daemon runs as")
    return f"uid {uid}"


def _certificate_dn(request: web.Request, services: Services) -> str | None:
    """Return the DN of a client certificate that TLS has verified, if it is an administrator's."""
    tls = None if request.transport is None else request.transport.get_extra_info("ssl_object")
    der = None if tls is None else tls.getpeercert(binary_form=True)
    if der is None:
        return None
    try:
        certificate = x509.load_der_x509_certificate(der)
        name = DistinguishedName(certificate.subject)
        listed = any(name.canonical == each.canonical for each in services.settings.admin.client_dns)
        return name.slash if listed and proxy_cert_info(certificate) is None else None
    except (NameRefusedError, ValueError):
        return None


async def _token_holder(request: web.Request, services: Services) -> str:
    try:
        token = bearer_token(request)
    except TokenMissingError:
        raise TokenMissingError("administration needs an administrator's bearer token or client certificate") from None
    asker = await asker_of(request, services, token, Deadline.after(services.settings.server.deadline))
    if asker.identity.pod is not None:
        raise AdminRequiredError("a pod administers nothing, whoever's session it acts by")
    await services.reception.require_welcome(asker.identity)
    if not any(rule.missed(asker.identity) is None for rule in services.settings.admin.tokens):
        raise AdminRequiredError("this token is no administrator's: no rule under `admin.tokens` matches it")
    return f"{asker.identity.subject} of {asker.identity.issuer}"
