"""What goes wrong around the daemon: the IAM, the store, and its own end."""

import os
import resource
import signal
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.tools.daemons import Daemon, LiveIam, change, ttscache
from tests.tools.http import Answer, read_answer
from tests.tools.programs import wait_for
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site

Start = Callable[[], Daemon]


class InFlight:
    """A request in a thread of its own."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(ask()))
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join()
        return self._answers[0]


def test_sigterm_lets_requests_finish_and_turns_readiness_first(start: Start, iam: LiveIam) -> None:
    daemon = start()
    iam.fault(Fault(endpoint="token", grant="token_exchange", delay=60))
    request = InFlight(lambda: daemon.web.get("/v1/proxy", iam.token()))
    iam.wait_for_grant("token_exchange")
    daemon.signal(signal.SIGTERM)
    draining = daemon.wait_for_status("draining")
    assert draining["dependencies"]["store"] == "ok"
    assert daemon.web.get("/readyz").status == 503
    assert daemon.web.get("/healthz").status == 200, "while others look elsewhere, who still comes is served"
    iam.clear_faults()
    assert request.answer().status == 200
    daemon.server.ended()
    assert daemon.server.process.returncode == 0
    assert daemon.log()[-1]["event"] == "stopped"


def test_state_survives_a_restart(start: Start, site: Site, iam: LiveIam) -> None:
    token = iam.token()
    first = start()
    proxy = first.web.get("/v1/proxy", token).body
    crl, ca = first.web.get("/trust/crl.der").body, first.web.get("/trust/ca.pem").body
    assert first.stop() == 0
    second = start()
    assert second.web.get("/readyz").json["status"] == "ok"
    assert second.web.get("/v1/proxy", token).body == proxy
    assert second.web.get("/v1/proxy?profile=limited", token).status == 200
    assert iam.grants["token_exchange"] == 1
    assert (second.web.get("/trust/crl.der").body, second.web.get("/trust/ca.pem").body) == (crl, ca)
    for name in ("state.db", "ca/ca.key"):
        assert stat.S_IMODE((site.directory / name).stat().st_mode) == 0o600


def test_a_refresh_of_services_that_a_reload_replaced_reaches_the_store(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document["issuers"][0].update(session={"confirm": "1s"}))
    daemon, token = start(), iam.token()
    assert daemon.web.get("/v1/proxy", token).status == 200
    iam.fault(Fault(endpoint="token", grant="refresh_token", delay=60))

    def refreshing() -> bool | None:
        daemon.web.get("/v1/proxy", token)
        return True if iam.grants.get("refresh_token") else None

    wait_for(refreshing, lambda: "no refresh")
    assert daemon.reload()["event"] == "reloaded"
    daemon.signal(signal.SIGTERM)
    daemon.wait_for_status("draining")
    iam.clear_faults()
    daemon.server.ended()
    again = start()
    assert again.web.get("/v1/proxy?profile=limited", token).status == 200
    assert iam.grants["token_exchange"] == 1, "the rotated token was kept"


def test_readiness_follows_the_iam(start: Start, iam: LiveIam) -> None:
    daemon, token = start(), iam.token()
    newcomer = iam.token("joe")
    proxy = daemon.web.get("/v1/proxy", token)
    iam.stop()
    degraded = daemon.wait_for_status("degraded")
    assert degraded["dependencies"]["issuer:sandbox"] == "degraded"
    assert daemon.web.get("/readyz").status == 200
    assert daemon.web.get("/v1/proxy", token).body == proxy.body
    refused = daemon.web.get("/v1/proxy", newcomer)
    assert (refused.status, refused.code) == (503, "upstream_unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    iam.start()
    daemon.wait_for_status("ok")
    assert daemon.web.get("/v1/proxy", newcomer).status == 200


def test_without_its_only_issuer_it_is_not_ready(start: Start, iam: LiveIam) -> None:
    token = iam.token()
    iam.stop()
    daemon = start()
    answer = daemon.web.get("/readyz")
    assert (answer.status, answer.json["dependencies"]["issuer:sandbox"]) == (503, "down")
    refused = daemon.web.get("/v1/proxy", token)
    assert (refused.status, refused.code) == (503, "issuer_unreachable")
    iam.start()
    daemon.wait_for_status("ok")
    assert daemon.web.get("/v1/proxy", token).status == 200


def test_without_its_store_it_is_not_ready(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document["store"].update(stale_for="1s"))
    daemon, token = start(), iam.token()
    with sqlite3.connect(site.directory / "state.db", isolation_level=None) as other:
        other.execute("ALTER TABLE records RENAME TO hidden")
        down = daemon.wait_for_status("down")
        assert down["dependencies"]["store"] == "down"
        assert daemon.web.get("/readyz").status == 503
        refused = daemon.web.get("/v1/proxy", token)
        assert (refused.status, refused.code) == (503, "store_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        other.execute("ALTER TABLE hidden RENAME TO records")
    other.close()
    daemon.wait_for_status("ok")
    assert daemon.web.get("/v1/proxy", token).status == 200


def test_nobody_waits_longer_than_the_deadline(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document["server"].update(deadline="1s"))
    daemon = start()
    iam.fault(Fault(endpoint="token", grant="token_exchange", delay=20))
    asked_at = time.monotonic()
    answer = daemon.web.get("/v1/proxy", iam.token())
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
    assert time.monotonic() - asked_at < 5
    iam.clear_faults()
    wait_for(lambda: daemon.web.get("/v1/proxy", iam.token()).status == 200 or None, lambda: "not answered")
    assert iam.grants["token_exchange"] == 1, "what was under way was not thrown away"


def test_a_session_that_the_issuer_ends(start: Start, site: Site, iam: LiveIam) -> None:
    change(site, lambda document: document["issuers"][0].update(session={"confirm": "1s"}))
    daemon, token = start(), iam.token()
    assert daemon.web.get("/v1/proxy", token).status == 200
    iam.suspend("jane")

    def refused() -> Answer | None:
        answer = daemon.web.get("/v1/proxy", token)
        return None if answer.status == 200 else answer

    answer = wait_for(refused, lambda: "still served")
    assert (answer.status, answer.code) == (403, "exchange_refused")


def test_a_unix_socket(start: Start, site: Site, iam: LiveIam) -> None:
    def edit(document: dict[str, dict[str, object]]) -> None:
        document["server"] = {"listen": "unix:daemon.sock", "public_url": "https://site.example"}

    change(site, edit)
    path = site.directory / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    daemon = start()
    assert daemon.ready["url"] == f"http+unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(path))
        stream.sendall(b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(stream).json["token_endpoint"] == "https://site.example/token"
    assert daemon.stop() == 0
    assert not path.exists()


def test_no_core_file_is_written(start: Start) -> None:
    daemon = start()
    assert resource.prlimit(daemon.server.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_a_ready_file_of_an_earlier_run_is_no_sign_of_life(site: Site, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        change(site, lambda document: document["server"].update(listen=f"127.0.0.1:{port}"))
        outcome = ttscache("serve", "-c", site.configuration, "--ready-file", ready)
    assert outcome.status == 2
    assert f"cannot listen on 127.0.0.1:{port}" in outcome.err
    assert not ready.exists()


def test_another_sealing_key_is_told_at_the_start(start: Start, site: Site, iam: LiveIam) -> None:
    daemon = start()
    assert daemon.web.get("/v1/proxy", iam.token()).status == 200
    assert daemon.stop() == 0
    (site.directory / "seal.key").write_bytes(os.urandom(32))
    outcome = ttscache("serve", "-c", site.configuration)
    assert outcome.status == 2
    assert "store.sealing_keys: " in outcome.err
