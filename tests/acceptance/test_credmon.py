"""A credential monitor of HTCondor's and the daemon: what makes a `.use` file, what keeps it, and what removes it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from af_credentials.proxy import ProxyClient, ProxyNotAvailableError

from proxy_gen.credential import Credential
from tests.acceptance.credmon import AUDIENCE, AccessPoint
from tests.acceptance.printers import Printers
from tests.tools import openssl
from tests.tools.administered import Administered, administered
from tests.tools.daemons import Daemon, LiveIam, change, client_environment, here, sandbox
from tests.tools.http import Answer, Web
from ttscache.sandbox.iam import IamConfig
from ttscache.sandbox.site import AUDIENCE as USUAL_AUDIENCE

pytestmark = pytest.mark.acceptance

REDEEM = "/v1/credentials/x509/redeem"
TOKEN_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
}


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Administered]:
    with LiveIam() as iam, administered(tmp_path, iam) as running:
        yield running


@pytest.fixture
def point(tmp_path: Path, admin: Administered) -> AccessPoint:
    return access_point(tmp_path, admin.daemon.web)


def access_point(directory: Path, web: Web) -> AccessPoint:
    (directory / "condor").mkdir()
    return AccessPoint(directory / "condor", web)


def top_token(boxed: Daemon, user: str = "jane", audience: str = AUDIENCE) -> str:
    told = here("sandbox", "token", "--dir", boxed.site.directory, "--user", user, "--audience", audience)
    assert told.status == 0, told
    return told.text.strip()


def jane() -> str:
    return f"/DC=org/DC=ttscache/O=sandbox/OU=production/CN=jane/CN=u-{IamConfig().user('jane').sub}"


def redeemed(point: AccessPoint, admin: Administered, user: str) -> Path:
    """Let somebody have a proxy by a token that the monitor goes on with; returns where it is."""
    use = point.store(user, admin.iam.token(user, audience=AUDIENCE))
    assert "refreshed=1" in point.scan()
    return use


def test_top_token_becomes_a_proxy_that_everybody_reads(boxed: Daemon, tmp_path: Path) -> None:
    point = access_point(tmp_path, boxed.web)
    use = point.store("jane", top_token(boxed))
    assert "refreshed=1 current=0 removed=0 failed=0" in point.scan()
    assert use.stat().st_mode & 0o777 == 0o400
    assert openssl.verify(use.read_bytes(), boxed.site.certificates, strict=True, crl_check=True)
    printers = Printers(tmp_path, boxed.site.certificates, boxed.site.vomsdir)
    for printed in (printers.voms_proxy_info(use), printers.grid_proxy_info(use)):
        assert printed.verdict, printed.verdict
        assert printed.of_proxy("identity") == jane()
    of_vo = printers.voms_proxy_info(use).of_vo("cms", "attribute")
    assert of_vo == ["/cms/Role=production/Capability=NULL", "/cms/Role=NULL/Capability=NULL"]


async def test_answer_is_what_the_monitors_library_makes_of_it(
    boxed: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with httpx2.AsyncClient(verify=boxed.web.context) as http:
        client = ProxyClient(boxed.web.url, min_remaining=11 * 3600, http_client=http)
        with await client.proxy_file(top_token(boxed)) as handle:
            leaf = Credential.parse(handle.path.read_bytes()).leaf
    assert handle.dn == jane()
    assert handle.nickname == "cmsprod"
    assert handle.voms_attributes == ["/cms/Role=production", "/cms"]
    assert handle.expires_at == leaf.not_valid_after_utc


def test_wakes_for_a_token_that_was_just_stored(boxed: Daemon, tmp_path: Path) -> None:
    point = access_point(tmp_path, boxed.web)
    first = point.store("jane", top_token(boxed))
    with point.monitor() as monitor:
        monitor.scanned()
        second = point.store("joe", top_token(boxed, "joe", USUAL_AUDIENCE))
        assert "refreshed=1 current=1 removed=0 failed=0" in monitor.wake()
    assert first.exists()
    assert "/CN=joe/" in openssl.subject(second.read_bytes())


def test_keeps_the_proxy_while_the_daemon_is_stopped(admin: Administered, point: AccessPoint) -> None:
    use = redeemed(point, admin, "jane")
    before = use.read_bytes()
    assert admin.daemon.stop() == 0
    with point.monitor() as monitor:
        assert "scan failed" in monitor.scanned()
        monitor.server.printed("ConnectError")
    assert use.read_bytes() == before


def test_keeps_the_proxy_of_who_is_mapped_no_longer(admin: Administered, point: AccessPoint) -> None:
    use = redeemed(point, admin, "joe")
    before = use.read_bytes()
    change(admin.site, lambda document: document["mapping"].pop())
    assert admin.daemon.reload()["event"] == "reloaded"
    log = point.scan()
    assert "refreshed=0 current=0 removed=0 failed=1" in log
    assert "failed with status 403" in log
    assert use.read_bytes() == before


def test_keeps_the_proxy_when_the_top_token_is_no_good(admin: Administered, point: AccessPoint) -> None:
    use = redeemed(point, admin, "jane")
    before = use.read_bytes()
    point.store("jane", admin.iam.token("jane", audience="af-credmon/krb5"))
    log = point.scan()
    assert "refreshed=0 current=0 removed=0 failed=1" in log
    assert "failed with status 401" in log
    assert use.read_bytes() == before


def test_keeps_the_proxy_while_iam_does_not_answer(admin: Administered, point: AccessPoint) -> None:
    use = redeemed(point, admin, "joe")
    before, other = use.read_bytes(), point.store("jane", admin.iam.token("jane", audience=AUDIENCE))
    other.write_bytes(before)
    admin.iam.stop()
    log = point.scan()
    admin.iam.start()
    assert "refreshed=1 current=0 removed=0 failed=1" in log, "joe's is in the cache"
    assert "failed with status 503" in log
    assert other.read_bytes() == before


def test_removes_the_proxy_of_who_is_revoked_until_he_is_restored(admin: Administered, point: AccessPoint) -> None:
    joe = ("--issuer", "sandbox", "--subject", admin.subject("joe"))
    point.store("jane", admin.iam.token("jane", audience=AUDIENCE))
    use = point.store("joe", admin.iam.token("joe", audience=AUDIENCE))
    point.scan()
    before = use.read_bytes()
    assert admin.cli("identity", "revoke", *joe).status == 0
    with point.monitor() as monitor:
        assert "refreshed=1 current=0 removed=1 failed=0" in monitor.scanned()
        assert not use.exists()
        assert "refreshed=0 current=1 removed=1 failed=0" in monitor.wake(), "he has no other"
        assert admin.cli("identity", "restore", *joe).status == 0
        assert "refreshed=1 current=1 removed=0 failed=0" in monitor.wake()
    assert openssl.certificates(use.read_bytes())[1] != openssl.certificates(before)[1], "his old one is revoked"


async def test_reason_of_a_removal_is_told(admin: Administered) -> None:
    """What the monitor logs is `detail`; who reads the answer has the code."""
    token = admin.iam.token("joe", audience=AUDIENCE)
    assert admin.cli("identity", "revoke", "--issuer", "sandbox", "--subject", admin.subject("joe")).status == 0
    answer = admin.daemon.web.post(REDEEM, {}, token)
    assert (answer.status, answer.code) == (404, "subject_revoked")
    async with httpx2.AsyncClient(verify=admin.daemon.web.context) as http:
        with pytest.raises(ProxyNotAvailableError, match="an administrator has revoked this identity"):
            await ProxyClient(admin.daemon.web.url, http_client=http).pem_bytes(token)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_top_token_is_good_for_nothing_else(boxed: Daemon, tmp_path: Path, *, after: bool) -> None:
    """Not even when it was redeemed a moment ago: that it was verified is remembered."""
    web, token = boxed.web, top_token(boxed, "admin")
    if after:
        assert web.post(REDEEM, {}, token).status == 200
    asked: list[Answer] = [
        web.get("/v1/proxy", token),
        web.post("/v1/proxy", {}, token),
        web.get("/v1/whoami", token),
        web.get("/admin/v1/sessions", token),
    ]
    assert {(answer.status, answer.code) for answer in asked} == {(401, "audience_mismatch")}
    exchanged = web.form(TOKEN_EXCHANGE | {"subject_token": token})
    assert (exchanged.status, exchanged.code) == (400, "audience_mismatch")
    refused = here("exchange", "-o", tmp_path / "proxy.pem", env=client_environment(boxed, BEARER_TOKEN=token))
    assert (refused.status, (tmp_path / "proxy.pem").exists()) == (3, False)
    assert web.post(REDEEM, {}, token).status == 200, "nor is it the worse for having been refused"


def test_of_other_audiences_only_the_daemons_own_is_taken(boxed: Daemon) -> None:
    statuses = {
        audience: boxed.web.post(REDEEM, {}, top_token(boxed, audience=audience)).status
        for audience in (AUDIENCE, USUAL_AUDIENCE, "af-credmon/krb5", "af-credmon/x509/", "https://elsewhere.test")
    }
    assert statuses == {AUDIENCE: 200, USUAL_AUDIENCE: 200} | dict.fromkeys(list(statuses)[2:], 401)
