"""A real VOMS server over what we mint: it knows the holder of our proxies, and we read what it answers."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.voms.certificate import AttributeCertificate
from tests.acceptance.site import JANE, JOE, STRANGER, Site
from tests.acceptance.voms_server import VomsServer, voms_server
from tests.tools.minting import delegate, end_entity, write_private
from tests.tools.programs import need, run

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[VomsServer]:
    with voms_server(site.trust_dir, site.host) as running:
        running.register(JANE, site.ca.subject.slash, "/cms", "/cms/it", "/cms/Role=production")
        running.register(JOE, site.ca.subject.slash, "/cms")
        running.suspend(JOE, "You have not signed the AUP")
        yield running


def _ask(server: VomsServer, site: Site, directory: Path, holder: Credential, query: str = "") -> tuple[int, str]:
    """Return the status and the body, as curl had them."""
    need("curl")
    file = write_private(directory / "holder.pem", holder.to_pem())
    anchors = directory / "anchors.pem"
    anchors.write_bytes(site.ca.certificate_pem())
    argv: list[str | Path] = ["curl", "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]
    argv += ["--cacert", anchors, "--cert", file, "--key", file, f"{server.url}/generate-ac{query}"]
    done = run(argv)
    assert done, done
    body, _, status = done.text.rpartition("\n")
    return int(status), body


def _certificate(body: str) -> AttributeCertificate:
    found = re.search(r"<ac>([^<]+)</ac>", body)
    assert found, body
    return AttributeCertificate.parse(base64.b64decode(found[1]))


def test_certifies_the_holder_of_a_proxy(server: VomsServer, site: Site, tmp_path: Path) -> None:
    jane = end_entity(site.ca, JANE)
    status, body = _ask(server, site, tmp_path, delegate(jane))
    ac = _certificate(body)
    assert status == 200
    assert [fqan.long for fqan in ac.fqans] == ["/cms/Role=NULL/Capability=NULL", "/cms/it/Role=NULL/Capability=NULL"]
    assert ac.holder_serial == jane.leaf.serial_number
    assert ac.holder_name.slash == site.ca.subject.slash  # by issuer and serial, as RFC 5755 has it
    assert ac.issuer.slash == site.host.dn


def test_gives_what_is_asked_for_first(server: VomsServer, site: Site, tmp_path: Path) -> None:
    status, body = _ask(
        server, site, tmp_path, end_entity(site.ca, JANE), "?fqans=/cms/Role=production,/cms/it&lifetime=600"
    )
    ac = _certificate(body)
    assert status == 200
    assert ac.fqans[0].short == "/cms/Role=production"
    assert (ac.not_after - ac.not_before).total_seconds() == 600


def test_shortens_with_a_warning_and_an_error_status(server: VomsServer, site: Site, tmp_path: Path) -> None:
    status, body = _ask(server, site, tmp_path, end_entity(site.ca, JANE), "?lifetime=100000000")
    assert status == 500
    assert "<warning>localhost:15000: The validity of this VOMS AC in your proxy is shortened to 86400 seconds!" in body
    assert _certificate(body).vo == "cms"


@pytest.mark.parametrize(
    "dn,query,status,code,message",
    [
        pytest.param(STRANGER, "", 403, "NoSuchUser", "cms: User unknown to this VO.", id="stranger"),
        pytest.param(
            JOE,
            "",
            403,
            "SuspendedUser",
            "User is currently suspended!\nSuspension reason: You have not signed the AUP",
            id="suspended",
        ),
        pytest.param(
            JANE,
            "?fqans=/cms/Role=nobody",
            400,
            "BadRequest",
            "cms: Unable to satisfy B/cms:nobody request!",
            id="role-not-held",
        ),
        pytest.param(
            JANE, "?fqans=%2Fcms", 400, "BadRequest", "cms: Unable to satisfy %2Fcms request!", id="fqan-escaped"
        ),
    ],
)
def test_says_why_not(
    server: VomsServer, site: Site, tmp_path: Path, dn: str, query: str, status: int, code: str, message: str
) -> None:
    told = _ask(server, site, tmp_path, delegate(end_entity(site.ca, dn)), query)
    error = f"<error><code>{code}</code><message>{message}</message></error>"
    assert told == (status, f'<?xml version="1.0" encoding="UTF-8"?><voms>{error}</voms>')
