"""The client side of a VOMS server: `GET /generate-ac` over TLS with the holder's own certificate.

VOMS servers and IAM's attribute authority answer alike, in XML. Of an error only its code is passed on, in our words:
its message names the user and quotes what was sent.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
import ssl
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import quote
from xml.etree import ElementTree as ET

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.credential import Credential
from proxy_gen.keys import PrivateKey
from proxy_gen.voms.fqan import Fqan
from ttscache.errors import FqanRefusedError, UpstreamUnavailableError
from ttscache.net.circuit import Circuit, UpstreamFailedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Answer, Fetcher
from ttscache.upstream.guard import guarded

# By the names that IAM and VOMS Admin use, and the numbers of older servers. The server has decided: trying again is
# in vain until somebody at the VO does something.
_REFUSALS = {
    "NoSuchUser": "does not know the holder's DN; register it there, or link it to the account in IAM",
    "NoSuchAttribute": "does not give the holder a group or role that was asked for",
    "BadRequest": "does not give the holder a group or role that was asked for",
    "SuspendedUser": "has suspended the holder",
    "SuspendedCertificate": "has suspended the holder's certificate",
    "1001": "does not know the holder's DN; register it there, or link it to the account in IAM",
    "1004": "has suspended the holder",
    "1007": "does not give the holder a group or role that was asked for",
}
_UNKNOWN = frozenset({"NoSuchUser", "1001"})
_AUP = "wants the holder to sign its Acceptable Usage Policy; sign it and try again"
# not the AUP of a group's or a person's name
_SIGN_AUP = re.compile(r"\bsign(?:ed)?\b[^.]*\bAUP\b")
_SERVER_ERROR = 500


class VomsServer:
    """One VO's server, with a circuit around it."""

    def __init__(self, vo: str, url: str, anchors: tuple[x509.Certificate, ...], fetcher: Fetcher) -> None:
        """``anchors`` are the CAs that the server's certificate is trusted by."""
        self._vo = vo
        self._url = url
        self._anchors = anchors
        self._fetcher = fetcher
        self.circuit = Circuit()

    async def generate(
        self,
        chain: tuple[x509.Certificate, ...],
        key: PrivateKey,
        fqans: Iterable[Fqan],
        lifetime: int,
        deadline: Deadline,
    ) -> bytes:
        """Return the DER of an attribute certificate for the holder of a chain; ``lifetime`` in seconds.

        Raises :class:`FqanRefusedError` when the VO says no, :class:`UpstreamUnavailableError` for everything else.
        """
        # the characters of an FQAN mean nothing in a query; servers of old do not decode them
        asked = quote(",".join(fqan.short for fqan in fqans), safe="/=,")
        url = f"{self._url}/generate-ac?fqans={asked}&lifetime={lifetime}"
        tls = await asyncio.to_thread(_client_context, self._anchors, chain, key)  # it reads all the CAs
        return await guarded(
            self.circuit, deadline, lambda: self._fetcher.get(url, deadline, tls=tls), self._read, self._unavailable
        )

    def _read(self, answer: Answer) -> bytes:
        document = _parsed(answer.body)
        if document is None:
            raise UpstreamFailedError(answer.retry_after) from self._unavailable("did not answer in XML")
        code = document.findtext("./error/code") or document.findtext(".//item/number")
        if code is not None:
            self._refuse(code.strip(), "".join(document.itertext()), answer)
        encoded = document.findtext("./ac")
        if encoded is None:
            raise UpstreamFailedError from self._unavailable(
                "answered with neither an attribute certificate nor an error"
            )
        try:
            return _decoded(encoded)
        except (binascii.Error, ValueError):
            raise UpstreamFailedError from self._unavailable("answered with what is no base64")

    def _refuse(self, code: str, told: str, answer: Answer) -> NoReturn:
        # it may be told as a suspension, and the name of whoever is unknown may hold anything
        reason = _AUP if _SIGN_AUP.search(told) and code not in _UNKNOWN else _REFUSALS.get(code)
        if reason is not None:
            raise FqanRefusedError(f"the VO '{self._vo}' {reason}")
        if answer.status >= _SERVER_ERROR or code == "InternalError":
            raise UpstreamFailedError(answer.retry_after) from self._unavailable("has a fault of its own")
        raise self._unavailable("refused the request as such; its administrators can tell why", retry_after=60.0)

    def _unavailable(self, what: str, retry_after: float = 5.0) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"the VOMS server of '{self._vo}' {what}", retry_after=retry_after)


def _parsed(body: bytes) -> ET.Element | None:
    text = body.decode(errors="replace")  # here, so that no other encoding hides what is looked for
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None  # entities could make anything of a few bytes, and no such server uses them
    try:
        root = ET.fromstring(text)  # noqa: S314 - bounded, without entities
    except (ET.ParseError, ValueError):
        return None
    return root if root.tag in {"voms", "vomsans"} else None


def _decoded(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


def _client_context(
    anchors: tuple[x509.Certificate, ...], chain: tuple[x509.Certificate, ...], key: PrivateKey
) -> ssl.SSLContext:
    """Return a context with a client certificate; the key passes through memory only, OpenSSL wants a file's name."""
    context = ssl.create_default_context(cadata=b"".join(each.public_bytes(Encoding.DER) for each in anchors))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    descriptor = os.memfd_create("credential", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, Credential(chain, key).to_pem())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
