"""`session`, `credential`, `identity`: what administrators see and do, and that nobody else does it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.cli.test_exchange import failed, good
from tests.client.misbehaving import answering, http
from tests.tools import openssl
from tests.tools.administered import ADMIN_DN, Administered, administered
from tests.tools.daemons import Daemon, LiveIam, Outcome, change, here, serve, ttscache
from tests.tools.minting import authority, delegate, end_entity, write_private
from tests.tools.programs import environment, wait_for

Act = Callable[..., Outcome]
# how old what a process knows of the others' revocations may be, and a little
HEARD = 1.1
LISTS = (("session", "list"), ("credential", "list"), ("identity", "list"))


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Administered]:
    with LiveIam() as iam, administered(tmp_path_factory.mktemp("administered"), iam) as running:
        yield running
        require_no_secret(running.daemon.server.output())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Administered]:
    """One for a test that does more to it than others can bear."""
    with LiveIam() as iam, administered(tmp_path, iam) as running:
        yield running


@pytest.fixture(params=["token", "socket", "certificate"])
def act(request: pytest.FixtureRequest, admin: Administered) -> Act:
    """Run a command in each of the ways in; beside a token, none is to be found."""
    ways: dict[str, tuple[str | Path, ...]] = {
        "token": (),
        "socket": ("--socket", admin.socket),
        "certificate": ("--cert", admin.certificate),
    }
    token = None if request.param == "token" else ""

    def run(*arguments: str) -> Outcome:
        return holds_no_secret(good(admin.cli(*arguments, *ways[request.param], token=token)))

    return run


def holds_no_secret(outcome: Outcome) -> Outcome:
    require_no_secret(outcome.text + outcome.err)
    return outcome


def require_no_secret(text: str) -> None:
    assert "PRIVATE" not in text
    assert "eyJ" not in text, "a JWT"


def end_entity_of(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(openssl.certificates(pem)[1])


def is_on_crl(daemon: Daemon, serial: int) -> bool:
    crl = x509.load_der_x509_crl(daemon.web.get("/trust/crl.der").body)
    return crl.get_revoked_certificate_by_serial_number(serial) is not None


def served(daemon: Daemon, token: str) -> bytes:
    answer = daemon.web.get("/v1/proxy", token)
    assert answer.status == 200, answer
    return answer.body


def entries(outcome: Outcome) -> list[dict[str, Any]]:
    found = outcome.json["entries"]
    assert isinstance(found, list)
    return found


def session_of(admin: Administered, user: str) -> dict[str, Any]:
    (found,) = entries(admin.cli("session", "list", "--subject", admin.subject(user), "--output", "json"))
    return found


def standing(admin: Administered, name: str) -> dict[str, Any]:
    found = entries(good(admin.cli("session", "list", "--output", "json")))
    return next(each for each in found if each["session"] == name)


def test_lists(act: Act, admin: Administered) -> None:
    joe = admin.subject("joe")
    eec = end_entity_of(served(admin.daemon, admin.iam.token("joe")))
    whose = ("--issuer", "sandbox", "--subject", joe)
    (session,) = entries(act("session", "list", *whose, "--output", "json"))
    assert (session["subject"], session["session"], session["state"]) == (joe, None, "active")
    line = f"{session['id']}  active  sandbox  {joe}  {session['ends_at']}\n"
    assert act("session", "list", *whose).text == line
    everybody = act("session", "list").text
    assert line in everybody
    assert "  pilot (standing)  " in everybody
    parent = next(
        each for each in entries(act("credential", "list", *whose, "--output", "json")) if not each["profile"]
    )
    assert (parent["kind"], parent["serial"]) == ("end-entity", str(eec.serial_number))
    lines = act("credential", "list", *whose).text.splitlines()
    assert f"{eec.serial_number}  end-entity  {parent['dn']}  -  {parent['not_after']}  -" in lines
    assert any(line.startswith(f"{eec.serial_number}  proxy  {parent['dn']}/CN=") for line in lines)
    for command in LISTS:
        assert act(*command, "--issuer", "sandbox", "--subject", "nobody").out == b""
        assert act(*command, "--issuer", "nowhere", "--output", "json").json == {"entries": []}


def test_an_identity_is_revoked_and_restored(act: Act, admin: Administered) -> None:
    joe, token = admin.subject("joe"), admin.iam.token("joe")
    serial = end_entity_of(served(admin.daemon, token)).serial_number
    whose = ("--issuer", "sandbox", "--subject", joe)
    assert act("identity", "revoke", *whose, "--reason", "lost\u00e9").text == f"revoked: {joe} of sandbox\n"
    refused = admin.daemon.web.get("/v1/proxy", token)
    assert (refused.status, refused.code) == (403, "subject_revoked")
    assert is_on_crl(admin.daemon, serial)
    (listed,) = entries(act("identity", "list", *whose, "--output", "json"))
    assert listed["by"] in {f"{admin.subject('admin')} of sandbox", "uid 0", ADMIN_DN}
    assert act("identity", "list").text == "  ".join(
        ("sandbox", joe, listed["revoked_at"], listed["by"], "lost\u00e9\n")
    )
    assert act("credential", "list", *whose).out == b""
    assert session_of(admin, "joe")["state"] == "ended"
    assert act("identity", "restore", *whose, "--output", "json").json == {
        "restored": {"issuer": "sandbox", "subject": joe}
    }
    assert act("identity", "list").out == b""
    assert end_entity_of(served(admin.daemon, token)).serial_number != serial
    assert is_on_crl(admin.daemon, serial)


def test_what_has_been_followed_by_another_is_revoked_too(admin: Administered) -> None:
    token, at_home = admin.iam.token("admin"), ("--socket", admin.socket)
    whose = ("--issuer", "sandbox", "--subject", admin.subject("admin"), *at_home)
    short = end_entity_of(admin.daemon.web.get("/v1/proxy?profile=short", token).body)
    longer = end_entity_of(served(admin.daemon, token))
    assert longer.not_valid_after_utc > short.not_valid_after_utc
    listed = entries(good(admin.cli("credential", "list", *whose, "--output", "json")))
    serials = {str(each.serial_number) for each in (short, longer)}
    assert serials == {each["serial"] for each in listed if each["kind"] == "end-entity"}
    good(admin.cli("credential", "revoke", str(short.serial_number)))
    assert is_on_crl(admin.daemon, short.serial_number)
    assert not is_on_crl(admin.daemon, longer.serial_number)
    good(admin.cli("identity", "revoke", *whose))
    assert is_on_crl(admin.daemon, longer.serial_number)
    failed(admin.cli("identity", "list"), 3, "subject_revoked")
    good(admin.cli("identity", "restore", *whose))


def test_a_session_is_revoked(act: Act, admin: Administered) -> None:
    old = admin.iam.token("joe")
    served(admin.daemon, old)
    before = session_of(admin, "joe")
    told = act("session", "revoke", before["id"], "--reason", "his laptop", "--output", "json").json
    assert told == {"revoked": {"issuer": "sandbox", "subject": admin.subject("joe"), "session": None}}
    ended = session_of(admin, "joe")
    assert (ended["state"], ended["end_reason"]) == ("ended", "revoked by an administrator: his laptop")
    assert admin.daemon.web.get("/v1/proxy", old).code == "subject_revoked"
    # the tokens of the second of the revocation count as old
    wait_for(
        lambda: admin.daemon.web.get("/v1/proxy", admin.iam.token("joe")).status == 200 or None,
        lambda: "no new token is taken",
    )
    assert session_of(admin, "joe")["generation"] != before["generation"]
    assert admin.daemon.web.get("/v1/proxy", old).code == "subject_revoked"


@pytest.mark.parametrize("name", ["pilot", "service"])
def test_a_standing_session_is_revoked_and_opened(act: Act, admin: Administered, name: str) -> None:
    before = wait_for_standing(admin, name)
    assert act("session", "revoke", before["id"]).text == f"revoked: the session of standing session {name}\n"
    assert standing(admin, name)["state"] == "ended"
    subject = before["subject"]
    assert act("session", "open", name).text == f"opened: standing session {name}, for {subject} of sandbox\n"
    opened = act("session", "open", name, "--output", "json").json
    assert opened == {"opened": {"issuer": "sandbox", "subject": subject, "session": name}}
    now = standing(admin, name)
    assert now["state"] == "active"
    assert now["generation"] != before["generation"]


def test_a_standing_session_stays_closed(admin: Administered) -> None:
    before, since = wait_for_standing(admin, "pilot"), admin.daemon.server.position()
    good(admin.cli("session", "revoke", before["id"]))
    down = admin.daemon.wait_for_event("standing_session_down", since)
    assert (down["session"], down["code"]) == ("pilot", "subject_revoked")
    assert standing(admin, "pilot")["state"] == "ended"
    good(admin.cli("session", "open", "pilot"))


def test_an_identitys_standing_session_ends_with_it(admin: Administered) -> None:
    before = wait_for_standing(admin, "pilot")
    whose = ("--issuer", "sandbox", "--subject", before["subject"])
    good(admin.cli("identity", "revoke", *whose))
    assert standing(admin, "pilot")["state"] == "ended"
    failed(admin.cli("session", "open", "pilot"), 3, "subject_revoked")
    good(admin.cli("identity", "restore", *whose))
    good(admin.cli("session", "open", "pilot"))
    assert standing(admin, "pilot")["generation"] != before["generation"]


def wait_for_standing(admin: Administered, name: str) -> dict[str, Any]:
    """Return a standing session once it is open: the daemon is ready before it."""

    def probe() -> dict[str, Any] | None:
        found = entries(good(admin.cli("session", "list", "--output", "json")))
        return next((each for each in found if (each["session"], each["state"]) == (name, "active")), None)

    return wait_for(probe, lambda: f"{name} is not open")


def test_an_end_entity_certificate_is_revoked(act: Act, admin: Administered) -> None:
    token = admin.iam.token("joe")
    before = served(admin.daemon, token)
    serial = end_entity_of(before).serial_number
    told = act("credential", "revoke", str(serial), "--output", "json").json
    assert told["revoked"] == {"eec_serial": str(serial), "authority": "/DC=org/DC=ttscache/O=sandbox/CN=sandbox CA"}
    assert is_on_crl(admin.daemon, serial)
    lines = act("credential", "list", "--subject", admin.subject("joe")).text.splitlines()
    assert all(line.endswith("  revoked") for line in lines if line.startswith(f"{serial} "))
    assert end_entity_of(served(admin.daemon, token)).serial_number != serial
    again = str(end_entity_of(served(admin.daemon, token)).serial_number)
    assert act("credential", "revoke", again).text.startswith(f"revoked: end-entity certificate {again} of /DC=org/")


def test_another_process_on_the_same_store_hears_of_it(own: Administered, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    joe, token = own.subject("joe"), own.iam.token("joe")
    whose, there = ("--issuer", "sandbox", "--subject", joe), ("--socket", own.site.directory / "second.sock")
    change(own.site, lambda document: document["admin"].update(socket="second.sock"))
    with serve(own.site, tmp_path / "second") as second:
        served(own.daemon, token)
        serial = end_entity_of(served(second, token)).serial_number
        good(own.cli("identity", "revoke", *whose))
        time.sleep(HEARD)
        refused = second.web.get("/v1/proxy", token)
        assert (refused.status, refused.code) == (403, "subject_revoked")
        assert is_on_crl(second, serial)
        good(own.cli("identity", "restore", *whose))
        time.sleep(HEARD)
        anew = end_entity_of(served(second, token)).serial_number
        assert anew != serial
        good(own.cli("credential", "revoke", str(anew)))
        time.sleep(HEARD)
        marks = [line.rsplit("  ", 1)[1] for line in good(own.cli("credential", "list", *there)).text.splitlines()]
        assert marks
        assert set(marks) == {"revoked"}
        assert is_on_crl(second, anew)


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_nobody_else(admin: Administered, command: tuple[str, str], tmp_path: Path) -> None:
    failed(admin.cli(*command, token=admin.iam.token("joe")), 3, "admin_required")
    failed(admin.cli(*command, token=""), 2, "no bearer token")
    failed(admin.cli(*command, token="not one"), 3, "token_malformed")
    failed(admin.cli(*command, token=admin.iam.token("admin", audience="https://elsewhere")), 3, "audience_mismatch")
    failed(admin.cli(*command, "--token-file", tmp_path / "absent"), 2, "absent")


def test_certificates_of_nobody(admin: Administered, tmp_path: Path) -> None:
    proxy = write_private(tmp_path / "proxy", delegate(admin.ada).to_pem())
    foreign = end_entity(authority("/DC=org/CN=elsewhere"), ADMIN_DN)
    stranger = write_private(tmp_path / "stranger", foreign.to_pem())
    for file in (proxy, stranger):
        failed(admin.cli("session", "list", "--cert", file, token=""), 3, "certificate_refused")
    joes = write_private(tmp_path / "joes", admin.daemon.web.get("/v1/proxy", admin.iam.token("joe")).body)
    failed(admin.cli("session", "list", "--cert", joes), 3, "certificate_refused")


def test_a_certificate_that_is_not_listed(own: Administered) -> None:
    other = {"client_dns": ["/DC=org/DC=ttscache/O=admins/CN=Somebody Else"]}
    change(own.site, lambda document: document["admin"].update(other))
    assert own.daemon.reload()["event"] == "reloaded"
    failed(own.cli("session", "list", "--cert", own.certificate, token=""), 3, "token_missing")
    token_file = write_private(own.site.directory / "token", own.iam.token("admin").encode())
    good(own.cli("session", "list", "--cert", own.certificate, "--token-file", token_file))


def test_the_cas_of_administrators_are_not_ours(own: Administered, tmp_path: Path) -> None:
    assert own.daemon.stop() == 0
    ours = (own.site.directory / "ca/ca.pem").read_bytes()
    (own.site.directory / "admins.pem").write_bytes((own.site.directory / "admins.pem").read_bytes() + ours)
    failed(ttscache("serve", "-c", own.site.configuration), 2, "admin.client_ca")


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (("session", "revoke", "nothing"), 3, ("not_found",)),
        (("session", "revoke", "../statistics"), 3, ("not_found",)),
        (("session", "revoke", ""), 3, ("not_found",)),
        (("session", "open", "nothing"), 3, ("not_found",)),
        (("credential", "revoke", "4711"), 3, ("not_found",)),
        (("credential", "revoke", "9" * 60), 3, ("request_invalid",)),
        (("credential", "revoke", "serial"), 2, ("SERIAL",)),
        (("identity", "restore", "--issuer", "sandbox", "--subject", "nobody"), 3, ("not_found",)),
        (("identity", "revoke", "--issuer", "nowhere", "--subject", "s"), 3, ("request_invalid", "sandbox")),
        (("identity", "revoke", "--issuer", "sandbox"), 2, ("--subject",)),
        (("identity", "revoke", "--issuer", "sandbox", "--subject", "s", "--reason", "x" * 201), 3, ("`reason`",)),
        (("identity", "revoke", "--issuer", "sandbox", "--subject", "s", "--reason", "a\x1bb"), 3, ("`reason`",)),
        (("session", "list", "--key", "KEY"), 2, ("--cert",)),
        (("session", "list", "--cert", "/absent"), 2, ("certificate_invalid", "/absent")),
        (("session", "list", "--cert", "KEY"), 2, ("certificate_invalid",)),
        (("session", "list", "--url", "http://127.0.0.1:1", "--cert", "ADA"), 2, ("url_invalid",)),
        (("session", "list", "--url", "https://127.0.0.1:1", "--socket", "SOCKET"), 2, ("not both",)),
        (("session", "list", "--socket", "SOCKET", "--token-file", "KEY"), 2, ("--url",)),
        (("session", "list", "--socket", "SOCKET", "--cert", "ADA"), 2, ("--url",)),
        (("session", "list", "--socket", "/absent"), 4, ("unreachable", "/absent", "No such file")),
        (("session", "list", "--url", "https://127.0.0.1:1"), 4, ("unreachable", "Connection refused")),
        (("session", "list", "--ca-file", "/absent"), 2, ("ca_file_invalid",)),
    ],
)
def test_exit_statuses(
    admin: Administered, tmp_path: Path, arguments: tuple[str, ...], status: int, words: tuple[str, ...]
) -> None:
    files = {"SOCKET": admin.socket, "ADA": admin.certificate, "KEY": write_private(tmp_path / "key", b"no key")}
    outcome = admin.cli(*(files.get(part, part) for part in arguments))
    failed(outcome, status, *words)
    assert outcome.out == b""


def test_where_the_daemon_is(admin: Administered) -> None:
    assert good(admin.cli("session", "list", token="", TTSCACHE_ADMIN_SOCKET=admin.socket)).out
    given = ("session", "list", "--url", admin.daemon.web.url)
    good(admin.cli(*given, TTSCACHE_ADMIN_SOCKET="/absent"))
    failed(here("session", "list", env=environment(BEARER_TOKEN="token")), 2, "TTSCACHE_URL", "TTSCACHE_ADMIN_SOCKET")
    certificate, key = admin.site.directory / "ada.crt", admin.site.directory / "ada.key"
    certificate.write_bytes(b"".join(openssl.certificates(admin.certificate.read_bytes())))
    write_private(key, admin.certificate.read_bytes())
    good(admin.cli("session", "list", "--cert", certificate, "--key", key, token=""))
    failed(admin.cli("session", "list", "--cert", certificate, token=""), 2, "certificate_invalid")


def test_a_daemon_that_is_gone(own: Administered) -> None:
    token_file = write_private(own.site.directory / "token", own.iam.token("admin").encode())
    assert own.daemon.stop() == 0
    assert not own.socket.exists()
    for way in (("--token-file", token_file), ("--cert", own.certificate), ("--socket", own.socket)):
        failed(own.cli("session", "list", *way, token=""), 4, "unreachable")


def test_what_is_told_does_not_steer_a_terminal() -> None:
    evil = "evil\x1b[31m\nforged"
    revoked = {"issuer": evil, "subject": evil, "revoked_at": "2026-01-01T00:00:00Z", "by": evil, "reason": evil}
    with answering(http(json.dumps({"entries": [revoked], "next": None}).encode())) as server:
        asked = ("identity", "list", "--url", server.url)
        told = good(here(*asked, env=environment(BEARER_TOKEN="token"))).text
        document = good(here(*asked, "--output", "json", env=environment(BEARER_TOKEN="token")))
    assert told.isascii()
    assert "\x1b" not in told
    assert told.count("\n") == 1
    assert entries(document) == [revoked]
    assert b"\x1b" not in document.out
