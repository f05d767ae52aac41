"""The log: JSON lines with request ids, of which no request can forge one."""

from tests.tools.daemons import Daemon, LiveIam
from tests.tools.http import Web


def test_every_line_is_json_and_has_the_id_of_its_request(daemon: Daemon, web: Web, iam: LiveIam) -> None:
    since = daemon.server.position()
    web.get("/v1/proxy?profile=short", iam.token("admin"), X_Request_ID="first-request")
    issued = daemon.wait_for_event("credential_issued", since)
    assert issued["request_id"] == "first-request"
    assert issued["profile"] == "short"
    assert issued["rule"] == "users"
    since = daemon.server.position()
    web.get("/v1/proxy", "garbage", X_Request_ID="second-request")
    line = daemon.wait_for_event("request", since)
    assert (line["request_id"], line["status"], line["code"]) == ("second-request", 401, "token_malformed")
    assert {"time", "level", "logger", "method", "path", "peer", "seconds"} <= set(line)


def test_nothing_reaches_the_log_raw(daemon: Daemon, web: Web, iam: LiveIam) -> None:
    since = daemon.server.position()
    evil = 'x\r\n{"event": "forged"}\u202e\x1b[31m\x00'
    for claims in ({"sub": evil}, {"preferred_username": evil}, {"wlcg.groups": [evil]}, {"iss": evil}):
        assert web.get("/v1/proxy", iam.crafted("joe", claims=claims)).status in {401, 403}
    assert web.get("/%0d%0aforged%e2%80%ae%1b").status == 404
    assert web.get("/v1/proxy?%0d%0aforged=1", iam.token()).status == 400
    web.get("/nothing", X_Request_ID='forged"}\u00e9')
    web.get("/nothing", X_Request_ID="last-request")
    written = daemon.server.output(since)
    assert written.isascii()
    assert all(c.isprintable() or c == "\n" for c in written)
    assert not any(line["event"] == "forged" for line in daemon.log(since))


def test_a_path_is_logged_only_where_it_is_one_of_ours(daemon: Daemon, web: Web, token: str) -> None:
    since = daemon.server.position()
    assert web.get(f"/v1/proxy/{token}").status == 404
    assert web.get(f"/v1/proxy?token={token}", token).status == 400
    assert token[:12] not in daemon.server.output(since)
    assert [line["path"] for line in daemon.log(since) if line["event"] == "request"] == [None, "/v1/proxy"]
