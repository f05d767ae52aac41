"""End-entity certificates from a real OpenBao: what comes out, what its role cuts, and what becomes of its faults."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy_gen.credential import Credential
from tests.acceptance.library import Library
from tests.tools import openssl
from tests.tools.daemons import Daemon, LiveIam, change, replace_authority
from tests.tools.http import Answer
from tests.tools.minting import write_private
from tests.tools.openbao import SIGNER, OpenBao, openbao
from ttscache.sandbox.site import Site

Start = Callable[[], Daemon]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("openbao")) as running:
        yield running


@dataclass(frozen=True)
class Bench:
    """A daemon that has its end-entity certificates signed by an OpenBao."""

    daemon: Daemon
    iam: LiveIam
    token_file: Path

    def asked(self, user: str = "jane", **fields: object) -> Answer:
        return self.daemon.web.post("/v1/proxy", fields, self.iam.token(user))

    def issued(self, user: str = "jane", **fields: object) -> dict[str, Any]:
        answer = self.asked(user, **fields)
        assert answer.status == 200, answer.body
        return answer.json

    def refused(self, user: str = "jane", **fields: object) -> str:
        """Return why: the engine is why nothing can be had now."""
        answer = self.asked(user, **fields)
        assert (answer.status, answer.code) == (503, "signer_unavailable"), answer.body
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        return str(answer.json["detail"])


@pytest.fixture
def bench(start: Start, site: Site, iam: LiveIam, server: OpenBao) -> Callable[..., Bench]:
    """Start a daemon over a server; keywords are the authority's."""

    def begin(policy: str = SIGNER, over: OpenBao = server, **authority: object) -> Bench:
        token_file = write_private(site.directory / "bao-token", over.token(policy).encode() + b"\n")
        kind = {"kind": "openbao", "url": over.url, "role": "grid", "token": {"file": "bao-token"}, **authority}
        change(site, lambda document: replace_authority(document, kind))
        return Bench(start(), iam, token_file)

    return begin


def eec(issued: dict[str, Any]) -> x509.Certificate:
    return Credential.parse(issued["pem"].encode()).chain[1]


def test_what_it_signs_is_taken_with_what_is_published(bench: Callable[..., Bench], site: Site) -> None:
    running = bench()
    issued = {user: running.issued(user) for user in ("jane", "joe")}
    for user, made in issued.items():
        pem = made["pem"].encode()
        assert openssl.verify(pem, site.certificates, strict=True, crl_check=True)
        assert Library(site.certificates, site.vomsdir).takes(pem)
        assert f"/CN={user}/CN=u-" in made["identity"]
        assert made["issuer"] == "/O=ttscache/CN=bao CA"
    signed = eec(issued["jane"])
    assert signed.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    purposes = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert running.daemon.web.get("/trust/crl.der").status == 200
    assert b"BEGIN CERTIFICATE" in running.daemon.web.get("/trust/ca.pem").body
    assert running.daemon.wait_for_status("ok")


def test_one_signature_serves_many_proxies(bench: Callable[..., Bench]) -> None:
    running = bench()
    first = eec(running.issued())
    for ask in ({}, {"profile": "short"}, {"limited": True}, {"lifetime": 3600}, {"lifetime": 24 * 3600}):
        assert eec(running.issued(**ask)) == first


def test_a_role_s_limit_shortens(bench: Callable[..., Bench], server: OpenBao) -> None:
    server.role("brief", max_ttl="1h")
    running = bench(SIGNER.replace("grid", "brief"), role="brief")
    issued = running.issued()
    assert issued["shortened_by"] == ["parent"]
    assert issued["not_after"] == f"{eec(issued).not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert {eec(running.issued(lifetime=life)) for life in (1800, 7200, 86400)} == {eec(issued)}
    assert running.issued(lifetime=1800)["shortened_by"] == []


def test_what_the_engine_refuses(bench: Callable[..., Bench], site: Site, server: OpenBao) -> None:
    running = bench('path "*" { capabilities = ["update"] }', mount="none")
    assert "no PKI engine at this mount" in running.refused()
    change(site, lambda document: document["authority"].update(mount="pki", role="none"))
    assert running.daemon.reload()["event"] == "reloaded"
    assert "refuses to sign" in running.refused()
    change(site, lambda document: document["authority"].update(role="grid"))
    assert running.daemon.reload()["event"] == "reloaded"
    assert running.issued()


def test_without_the_engine_what_is_signed_goes_on(bench: Callable[..., Bench], tmp_path: Path, site: Site) -> None:
    with openbao(tmp_path) as own:
        running = bench(over=own)
        signed = eec(running.issued())
        own.call("PUT", "sys/seal")
        assert "sealed" in running.refused("joe")
        assert running.daemon.wait_for_status("degraded")
    for ask in ({}, {"profile": "short"}):  # the cached one, and a new one below what was signed
        issued = running.issued(**ask)
        assert eec(issued) == signed
        assert openssl.verify(issued["pem"].encode(), site.certificates, strict=True, crl_check=True)
    assert "does not answer" in running.refused("joe") or "a moment ago" in running.refused("joe")
    assert running.daemon.web.get("/trust/anchors.tar.gz").status == 200


def test_a_token_file_is_read_anew(bench: Callable[..., Bench], server: OpenBao) -> None:
    running = bench('path "pki/*" { capabilities = ["read"] }')
    assert "may not sign under this role" in running.refused()
    good = server.token().encode()
    write_private(running.token_file, b"s.expired")
    assert "does not take the token" in running.refused()
    running.token_file.unlink()
    assert "cannot be read" in running.refused()
    write_private(running.token_file, good, mode=0o644)
    assert str(running.token_file) not in running.refused()
    assert "chmod 600" in running.daemon.server.output()  # for whoever reads the log
    write_private(running.token_file, b"two\nlines")
    assert running.refused()
    write_private(running.token_file, server.token().encode())
    assert running.issued()
    assert server.token() not in running.daemon.server.output()
