"""SIGHUP: a wrong configuration changes nothing, a good one holds for the next request."""

import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from proxy_gen.csr import make_csr
from proxy_gen.keys import KeyKind, generate_key
from tests.tools.daemons import Daemon, LiveIam, change
from tests.tools.http import Answer, Web, ask
from tests.tools.programs import run
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site, _write_server_certificate

Start = Callable[[], Daemon]


def _peer(daemon: Daemon) -> bytes:
    with daemon.web.socket() as stream:
        assert isinstance(stream, ssl.SSLSocket)
        return stream.getpeercert(binary_form=True) or b""


def test_a_wrong_configuration_leaves_the_running_one(start: Start, site: Site, iam: LiveIam) -> None:
    daemon, token = start(), iam.token()
    before = daemon.web.get("/v1/whoami", token).json
    text = site.configuration.read_text()
    site.configuration.write_text(text.replace("token_profile: wlcg", "token_profile: wlgc").replace("key:", "kee:"))
    since = daemon.server.position()
    assert daemon.reload()["event"] == "reload_refused"
    mistakes = [line["mistake"] for line in daemon.log(since) if line["event"] == "reload_refused"]
    assert len(mistakes) >= 2
    lines = site.configuration.read_text().splitlines()
    for mistake in mistakes:
        assert mistake.startswith(f"{site.configuration}:")
    wrong = next(number for number, line in enumerate(lines, 1) if "wlgc" in line)
    assert any(mistake.startswith(f"{site.configuration}:{wrong}:") for mistake in mistakes)
    assert daemon.web.get("/v1/whoami", token).json == before
    site.configuration.unlink()
    assert daemon.reload()["event"] == "reload_refused"
    assert daemon.web.get("/v1/proxy", token).status == 200


def test_a_good_one_holds_for_the_next_request(start: Start, site: Site, iam: LiveIam) -> None:
    daemon, token = start(), iam.token()
    first = daemon.web.get("/v1/proxy", token).body
    change(site, lambda document: document["mapping"][0].update(account="other"))
    assert daemon.reload()["event"] == "reloaded"
    assert daemon.web.get("/v1/whoami", token).json["decision"]["account"] == "other"
    assert daemon.web.get("/v1/proxy", token).body != first
    change(site, lambda document: document["mapping"].clear())
    assert daemon.reload()["event"] == "reloaded"
    assert daemon.web.get("/v1/proxy", token).code == "mapping_refused"
    assert iam.grants["token_exchange"] == 1, "the session was kept"


def test_a_reload_during_an_outage_forgets_nothing(start: Start, site: Site, iam: LiveIam) -> None:
    daemon, token = start(), iam.token()
    cached = daemon.web.get("/v1/proxy", token).body
    for endpoint in ("discovery", "jwks", "token"):
        iam.fault(Fault(endpoint=endpoint, status=503))
    assert daemon.reload()["event"] == "reloaded"
    assert daemon.web.get("/v1/proxy", token).body == cached
    assert daemon.web.get("/v1/whoami", iam.token()).status == 200, "a token that was never seen"
    assert daemon.wait_for_status("degraded")


def test_what_only_a_restart_can_change_is_refused_by_name(start: Start, site: Site) -> None:
    daemon = start()

    def edit(document: dict[str, dict[str, object]]) -> None:
        document["server"]["listen"] = "127.0.0.1:1"
        document["store"]["url"] = "memory:"

    change(site, edit)
    since = daemon.server.position()
    daemon.reload()
    daemon.web.get("/healthz")
    told = " ".join(line.get("mistake", "") for line in daemon.log(since))
    assert all(name in told for name in ("server.listen", "store (but stale_for)"))


def test_the_certificate_is_exchanged_without_dropping_a_connection(start: Start, site: Site, iam: LiveIam) -> None:
    daemon, token = start(), iam.token()
    connection = daemon.web.connection()

    def fetched() -> Answer:
        return ask(connection, "GET", "/v1/proxy", token=token)

    assert fetched().status == 200
    stream, old = connection.sock, _peer(daemon)
    (site.directory / "server.key").write_text("garbage")
    assert daemon.reload()["event"] == "reload_refused"
    assert _peer(daemon) == old
    _write_server_certificate(site)
    assert daemon.reload()["event"] == "reloaded"
    assert fetched().status == 200
    assert connection.sock is stream
    connection.close()
    assert _peer(daemon) != old, "verified against the new CA"


def test_a_certificate_that_is_renewed_in_its_place_is_taken_up_without_a_signal(start: Start, site: Site) -> None:
    daemon = start()
    old, since = _peer(daemon), daemon.server.position()
    (site.directory / "server.key").write_text("garbage")
    daemon.wait_for_event("certificate_refused", since)
    assert _peer(daemon) == old
    _write_server_certificate(site)
    daemon.wait_for_event("certificate_renewed", since)
    assert _peer(daemon) != old, "verified against the new CA"


def test_tls_is_1_2_or_newer_and_verified(start: Start) -> None:
    daemon = start()
    with daemon.web.socket() as stream:
        assert isinstance(stream, ssl.SSLSocket)
        assert stream.version() == "TLSv1.3"
    address = urlsplit(daemon.web.url).netloc
    for version, spoken in (("-tls1_2", True), ("-tls1_1", False), ("-tls1", False)):
        told = run(["openssl", "s_client", "-connect", address, version, "-cipher", "ALL:@SECLEVEL=0"])
        assert told.ok is spoken, told


def test_a_caller_with_other_cas_does_not_speak_to_it(start: Start, iam: LiveIam) -> None:
    daemon = start()
    stranger = Web(daemon.web.url)
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.get("/v1/proxy", iam.token())


def test_who_has_used_up_his_allowance_has_done_so_after_a_reload_too(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document.update(limits={"duplicates": "2/1h"}))
    daemon, token = start(), iam.token()
    csr = make_csr(generate_key(KeyKind.RSA_2048)).decode()
    assert [daemon.web.post("/v1/proxy", {"csr": csr}, token).status for _ in range(3)] == [200, 200, 429]
    assert daemon.reload()["event"] == "reloaded"
    refused = daemon.web.post("/v1/proxy", {"csr": csr}, token)
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 600
    change(site, lambda document: document.update(limits={"duplicates": "3/1h"}))
    assert daemon.reload()["event"] == "reloaded"
    assert daemon.web.post("/v1/proxy", {"csr": csr}, token).status == 200
