"""Attributes and rotation through the daemon: what VOMS's own program and OpenSSL make of it, before and after."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.library import Library
from tests.cli.test_exchange import failed, good
from tests.tools import openssl
from tests.tools.daemons import Daemon, LiveIam, change, here, unpack
from tests.tools.minting import write_private
from tests.tools.programs import environment, need, run, wait_for
from ttscache.sandbox.site import Site

Start = Callable[[], Daemon]


def _voms_directory(daemon: Daemon, directory: Path) -> Path:
    answer = daemon.web.get("/trust/vomsdir.tar.gz")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        (member,) = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        file = directory / "cms" / member.name.removeprefix("cms/")
        file.parent.mkdir(parents=True)
        file.write_bytes(content.read())
    return directory


def _printed(pem: bytes, site: Site, directory: Path) -> str:
    """Let voms-proxy-info print a proxy with its attributes."""
    need("voms-proxy-info")
    file = write_private(directory / "proxy.pem", pem)
    env = environment(X509_CERT_DIR=site.certificates, X509_VOMS_DIR=directory)
    told = run(["voms-proxy-info", "-all", "-file", file], env=env)
    assert told, told
    return told.text


def test_attributes_before_and_after_a_rotation(start: Start, site: Site, iam: LiveIam, tmp_path: Path) -> None:
    daemon, token = start(), iam.token()
    voms = tmp_path / "vomsdir"

    def issued() -> dict[str, Any]:
        answer = daemon.web.post("/v1/proxy", {}, token)
        assert answer.status == 200, answer.body
        return answer.json

    proxies = [issued()]
    configuration = ("-c", site.configuration)
    made = good(here("ca", "rotate", *configuration, "--in", "1s", "--output", "json")).json
    assert made["subject"] == "/DC=org/DC=ttscache/O=sandbox/CN=sandbox CA G2"
    assert daemon.reload()["event"] == "reloaded"
    unpack(daemon.web.get("/trust/anchors.tar.gz").body, site.certificates)

    def of_the_next() -> dict[str, Any] | None:
        proxy = issued()
        return proxy if proxy["issuer"] == made["subject"] else None

    proxies.append(wait_for(of_the_next, lambda: "the next CA does not issue"))
    _voms_directory(daemon, voms)
    for proxy in proxies:
        pem = proxy["pem"].encode()
        assert proxy["fqans"][0] == "/cms/Role=production"
        assert openssl.verify(pem, site.certificates, strict=True, crl_check=True)
        assert Library(site.certificates, voms).finds("/cms/Role=production", pem)
        text = _printed(pem, site, voms)
        assert "attribute : /cms/Role=production/Capability=NULL" in text
        assert "WARNING" not in text
    assert proxies[0]["issuer"] == "/DC=org/DC=ttscache/O=sandbox/CN=sandbox CA"
    shown = good(here("ca", "show", *configuration, "--output", "json")).json
    assert (shown["state"], [other["state"] for other in shown["others"]]) == ("issuing", ["former"])
    trust, exported = tmp_path / "trust", tmp_path / "exported"
    good(here("ca", "export", *configuration, trust, "--vomsdir", exported))
    for proxy in proxies:
        assert Library(trust, exported).finds("/cms/Role=production", proxy["pem"].encode())
    pem = good(here("ca", "crl", *configuration)).out
    assert b"BEGIN X509 CRL" in pem


@pytest.mark.parametrize(
    "subject, told",
    [
        ("nonsense", "--subject"),
        ("/DC=org/DC=ttscache/O=sandbox/CN=sandbox CA", "already"),
        ("/DC=org/DC=ttscache/O=sandbox/CN=SANDBOX ca", "already"),
        ("/DC=org/CN=it's", "signing policy"),
        ("/DC=org/CN=a*", "signing policy"),
        ("/DC=org/CN=12", "digits"),
        ("/DC=org/CN=\u00e9", "ASCII"),
        ("/DC=org/CN=" + "x" * 65, "more than 64"),
    ],
    ids=["nonsense", "same", "case", "quote", "star", "digits", "letters", "long"],
)
def test_subjects_that_are_refused(site: Site, subject: str, told: str) -> None:
    good(here("ca", "init", "-c", site.configuration))
    failed(here("ca", "rotate", "-c", site.configuration, "--subject", subject), 2, told)
    assert {file.name for file in (site.directory / "ca").iterdir()} == {"ca.pem", "ca.key", ".lock"}


def test_a_name_that_cannot_be_counted_on(site: Site) -> None:
    change(site, lambda document: document["authority"].update(subject="/DC=org/CN=" + "x" * 63))
    good(here("ca", "init", "-c", site.configuration))
    failed(here("ca", "rotate", "-c", site.configuration), 2, "--subject")
    good(here("ca", "rotate", "-c", site.configuration, "--subject", "/DC=org/O=next"))
    failed(here("ca", "rotate", "-c", site.configuration, "--in", "3d"), 2, "--subject")
    failed(
        here("ca", "rotate", "-c", site.configuration, "--in", "1d", "--subject", "/DC=org/CN=y"),
        2,
        "after the youngest",
    )


def test_what_needs_a_ca_does_not_make_one(site: Site, tmp_path: Path) -> None:
    for arguments in (("rotate",), ("crl",), ("show",), ("export", tmp_path / "trust")):
        failed(here("ca", *arguments, "-c", site.configuration), 2, "ca init")
    assert not (site.directory / "ca" / "ca.pem").exists()
