"""Proxies below those that IAM keeps for its users."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proxy_gen.credential import Credential
from proxy_gen.pci import ProxyKind
from tests.acceptance.library import Library
from tests.tools import openssl
from tests.tools.daemons import Daemon, LiveIam, change, replace_authority
from tests.tools.http import Answer
from tests.tools.minting import DAY, HOUR, authority, delegate, end_entity
from ttscache.sandbox.iam import Fault
from ttscache.sandbox.site import Site

CA = authority("/DC=ch/DC=example/CN=CA")
JANE = "/DC=ch/DC=example/OU=Users/CN=jane/CN=Jane Doe"
SCOPES = ["openid", "offline_access", "wlcg.groups", "proxy:generate"]


class Bench:
    """A daemon whose parents are IAM's, and what users have linked there."""

    def __init__(self, daemon: Daemon, iam: LiveIam) -> None:
        self.daemon = daemon
        self.iam = iam

    def link(self, credential: Credential | None, user: str = "jane") -> None:
        self.iam._do(lambda: self.iam.iam.state.link(user, credential))

    @property
    def fetched(self) -> int:
        return self.iam._do(lambda: self.iam.iam.counters.requests["proxycert"])

    def asked(self, user: str = "jane", **fields: object) -> Answer:
        return self.daemon.web.post("/v1/proxy", fields, self.iam.token(user))

    def issued(self, user: str = "jane", **fields: object) -> dict[str, Any]:
        answer = self.asked(user, **fields)
        assert answer.status == 200, answer.body
        return answer.json

    def refused(self, user: str = "jane", **fields: object) -> tuple[object, str]:
        answer = self.asked(user, **fields)
        assert answer.status in {403, 503}, answer.body
        return answer.code, str(answer.json["detail"])


@pytest.fixture
def bench(start: Callable[[], Daemon], site: Site, iam: LiveIam) -> Bench:
    def edit(document: dict[str, Any]) -> None:
        replace_authority(document, {"kind": "iam-proxycert", "ca_file": "linked-ca.pem"})
        document["issuers"][0]["exchange"]["scopes"] = SCOPES
        for rule in document["mapping"]:
            del rule["dn"]

    change(site, edit)
    (site.directory / "linked-ca.pem").write_bytes(CA.certificate_pem())
    return Bench(start(), iam)


def test_proxies_stand_below_what_the_user_has_linked(bench: Bench, site: Site) -> None:
    joe = JANE.replace("jane", "joe")
    bench.link(end_entity(CA, JANE))
    bench.link(delegate(end_entity(CA, joe), lifetime=6 * HOUR), "joe")
    for user, dn, depth in (("jane", JANE, 3), ("joe", joe, 4)):
        issued = bench.issued(user, profile="short", lifetime=600)
        pem = issued["pem"].encode()
        assert len(openssl.certificates(pem)) == depth
        assert openssl.verify(pem, site.certificates, strict=True)
        assert Library(site.certificates, site.vomsdir).takes(pem)
        assert (issued["identity"], issued["issuer"]) == (dn, "/DC=ch/DC=example/CN=CA")
        assert openssl.subject(pem) == issued["subject"]
    assert bench.daemon.web.get("/trust/crl.der").status == 404
    assert bench.daemon.wait_for_status("ok")


def test_one_fetch_serves_many_and_iam_s_limit_shortens(bench: Bench) -> None:
    bench.link(end_entity(CA, JANE, lifetime=30 * DAY))
    for ask in ({}, {"profile": "limited"}, {"lifetime": 3600}, {"profile": "short"}):
        bench.issued(**ask)
    day = bench.issued(lifetime=24 * 3600)
    assert day["shortened_by"] == ["parent"]
    assert bench.fetched == 1


def test_the_name_that_is_brought_along_has_an_owner(bench: Bench) -> None:
    bench.link(end_entity(CA, JANE))
    bench.link(end_entity(CA, JANE), "joe")
    assert bench.issued()["account"] == "cmsprod"
    code, told = bench.refused("joe")
    assert (code, "belongs to another" in told) == ("dn_refused", True)
    bench.link(end_entity(CA, JANE.replace("jane", "joe")), "admin")
    assert bench.issued("admin")["identity"] == JANE.replace("jane", "joe")


def test_what_iam_refuses(bench: Bench) -> None:
    code, told = bench.refused()
    assert (code, "no managed proxy of this user" in told) == ("exchange_refused", True)
    bench.link(end_entity(CA, JANE, now=datetime.now(UTC) - DAY, lifetime=HOUR))
    assert bench.refused()[0] == "exchange_refused"
    bench.iam._do(lambda: bench.iam.iam.state.deny_scopes("joe", ["proxy:generate"]))
    bench.link(end_entity(CA, JANE), "joe")
    code, told = bench.refused("joe")
    assert (code, "proxy:generate" in told) == ("exchange_refused", True)


def test_an_old_access_token_is_renewed_first(bench: Bench) -> None:
    bench.link(end_entity(CA, JANE))
    bench.iam.fault(Fault(grant="token_exchange", times=1, answer={"expires_in": 20}))
    bench.issued()
    assert bench.iam.grants["refresh_token"] == 1
    bench.issued(lifetime=3600)
    assert (bench.iam.grants["refresh_token"], bench.fetched) == (1, 1)


def chain(credential: Credential) -> dict[str, object]:
    return {"certificate_chain": credential.to_pem().decode()}


def test_answers_that_nothing_can_be_signed_under(bench: Bench) -> None:
    bench.link(end_entity(CA, JANE))
    jane = end_entity(CA, JANE)
    old = datetime.now(UTC) - timedelta(hours=3)
    bad: dict[str, dict[str, object]] = {
        "untrusted": chain(delegate(end_entity(authority("/DC=ch/DC=example/CN=other"), JANE))),
        "limited": chain(delegate(jane, ProxyKind.LIMITED)),
        "keyless": chain(Credential(delegate(jane).chain)),
        "expired": chain(delegate(end_entity(CA, JANE, now=old), now=old)),
        "no-eec": chain(Credential(delegate(jane).chain[:1])),
        "nothing": {"certificate_chain": ""},
        "null": {"certificate_chain": None},
        "list": {"certificate_chain": ["x"]},
        "large": {"certificate_chain": "x" * 300_000},
    }
    for name, answer in bad.items():
        bench.iam.fault(Fault(endpoint="proxycert", times=1, answer=answer))
        code, told = bench.refused()
        assert code == "upstream_unavailable", (name, told)
        assert "\n" not in told
    assert bench.issued()
    assert b"PRIVATE" not in bench.daemon.server.output().encode()


def test_faults_of_iam_s(bench: Bench) -> None:
    bench.link(end_entity(CA, JANE))
    cached = bench.issued()
    bench.link(end_entity(CA, JANE.replace("jane", "joe")), "joe")
    for fault in (
        Fault(endpoint="proxycert", body="html"),
        Fault(endpoint="proxycert", status=503),
        Fault(endpoint="proxycert", reset=True),
    ):
        bench.iam.clear_faults()
        bench.iam.fault(fault)
        assert bench.refused("joe")[0] == "upstream_unavailable"
    assert bench.issued(lifetime=3600)["identity"] == cached["identity"]
    bench.iam.clear_faults()
