"""Proxies below a robot's certificate from files."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, private_pem
from proxy_gen.pci import ProxyKind
from tests.acceptance.library import Library
from tests.cli.test_exchange import failed, good
from tests.tools import openssl
from tests.tools.daemons import Daemon, LiveIam, change, here, replace_authority
from tests.tools.minting import DAY, HOUR, authority, delegate, end_entity, key_of, write_private
from ttscache.sandbox.site import Site

CA = authority("/DC=ch/DC=example/CN=CA", KeyKind.RSA_2048)
ROBOT = "/DC=ch/DC=example/O=Robots/CN=Robot:ttscache"


def place(site: Site, robot: Credential) -> None:
    (site.directory / "robot.pem").write_bytes(robot.leaf.public_bytes(Encoding.PEM))
    write_private(site.directory / "robot.key", private_pem(key_of(robot)))


@pytest.fixture
def robot(site: Site) -> Credential:
    """A site whose authority is a robot."""
    made = end_entity(CA, ROBOT, KeyKind.RSA_2048, lifetime=5 * DAY)

    def edit(document: dict[str, Any]) -> None:
        kind = {"kind": "robot", "cert": "robot.pem", "key": "robot.key", "ca_file": "robot-ca.pem"}
        replace_authority(document, kind)
        for rule in document["mapping"]:
            del rule["dn"]
            rule["shared"] = True

    change(site, edit)
    (site.directory / "robot-ca.pem").write_bytes(CA.certificate_pem())
    place(site, made)
    return made


def test_all_proxies_are_the_robot_s(
    robot: Credential, start: Callable[[], Daemon], site: Site, iam: LiveIam, tmp_path: Path
) -> None:
    daemon = start()

    def issued(user: str = "jane") -> dict[str, Any]:
        answer = daemon.web.post("/v1/proxy", {}, iam.token(user))
        assert answer.status == 200, answer.body
        return answer.json

    for user in ("jane", "joe"):
        made = issued(user)
        pem = made["pem"].encode()
        assert openssl.verify(pem, site.certificates, strict=True)
        assert Library(site.certificates, site.vomsdir).takes(pem)
        assert (made["identity"], made["issuer"], made["shortened_by"]) == (ROBOT, CA.subject.slash, [])
    assert daemon.wait_for_status("ok")
    assert daemon.web.get("/trust/crl.der").code == "not_found"

    renewed = end_entity(CA, ROBOT, KeyKind.RSA_2048, lifetime=2 * HOUR)
    place(site, renewed)
    assert issued()["pem"].encode().count(openssl.certificates(robot.to_pem())[0]) == 1, "not before it is reloaded"
    assert daemon.reload()["event"] == "reloaded"
    cut = issued()
    assert cut["shortened_by"] == ["robot"]
    assert openssl.certificates(cut["pem"].encode())[1] == openssl.certificates(renewed.to_pem())[0]
    assert daemon.wait_for_status("degraded")

    write_private(site.directory / "robot.key", private_pem(key_of(robot)))
    assert daemon.reload()["event"] == "reload_refused"
    assert issued() == cut
    with closing(sqlite3.connect(site.directory / "state.db")) as store:
        names = [name for (name,) in store.execute("SELECT key FROM records")]
    assert not any(name.startswith("parent/") for name in names)
    assert names
    assert "PRIVATE" not in daemon.server.output()


def test_an_expired_one(robot: Credential, start: Callable[[], Daemon], site: Site, iam: LiveIam) -> None:
    place(site, end_entity(CA, ROBOT, KeyKind.RSA_2048, now=datetime.now(UTC) - DAY, lifetime=HOUR))
    daemon = start()
    answer = daemon.web.post("/v1/proxy", {}, iam.token())
    assert (answer.status, answer.code) == (503, "signer_unavailable")
    assert "has ended (robot)" in answer.json["detail"]
    assert daemon.wait_for_status("down")


def test_what_it_says_before_it_starts(robot: Credential, site: Site) -> None:
    check = ("config", "check", site.configuration)
    good(here(*check))
    stranger = end_entity(authority("/DC=ch/DC=example/CN=other"), ROBOT, KeyKind.RSA_2048)
    place(site, stranger)
    failed(here(*check), 2, "authority", "ca_file")
    place(site, Credential((CA.certificate,), CA.key))
    failed(here(*check), 2, "authority", "ca_file")
    limited = delegate(robot, ProxyKind.LIMITED)
    write_private(site.directory / "robot.key", private_pem(key_of(limited)))
    (site.directory / "robot.pem").write_bytes(Credential(limited.chain).to_pem())
    failed(here(*check), 2, "authority", "limited proxy")
