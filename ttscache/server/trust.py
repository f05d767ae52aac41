"""/trust: what consumers must trust, for anyone."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping

from aiohttp import web

from ttscache.broker.publishing import Published
from ttscache.errors import NotFoundError
from ttscache.net.deadline import Deadline
from ttscache.server.parsing import is_known, refuse_unknown
from ttscache.server.services import services_of


def routes() -> list[web.RouteDef]:
    """Return this audience's routes."""
    return [
        web.get("/trust/ca.pem", ca_certificate),
        web.get("/trust/crl.der", crl),
        web.get("/trust/anchors.tar.gz", anchors),
        web.get("/trust/vomsdir.tar.gz", vomsdir),
    ]


async def ca_certificate(request: web.Request) -> web.StreamResponse:
    """Answer with the CA certificates, that of the one that signs now first."""
    return _answer(request, (await _published(request)).certificates_pem, "application/x-pem-file")


async def crl(request: web.Request) -> web.StreamResponse:
    """Answer with the CRL of the CA that signs now (RFC 2585 section 4.2 names the type)."""
    der = (await _published(request)).crl_der
    if der is None:
        raise NotFoundError("the CA above the proxies is not this daemon's; its own site has its CRL")
    return _answer(request, der, "application/pkix-crl")


async def anchors(request: web.Request) -> web.StreamResponse:
    """Answer with the files of a trust directory."""
    return _answer(request, archive((await _published(request)).files), "application/gzip")


async def vomsdir(request: web.Request) -> web.StreamResponse:
    """Answer with the files of a VOMS trust directory."""
    refuse_unknown(request.query, set(), "query parameter")
    return _answer(request, archive(services_of(request).publisher.voms_files()), "application/gzip")


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a gzipped tar of the files, the same bytes for the same content."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


async def _published(request: web.Request) -> Published:
    refuse_unknown(request.query, set(), "query parameter")
    services = services_of(request)
    return await services.publisher.published(Deadline.after(services.settings.server.deadline))


def _answer(request: web.Request, body: bytes, content_type: str) -> web.Response:
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "public, max-age=300"}
    if is_known(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)
