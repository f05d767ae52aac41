"""The administrators' client: the real daemon's pages and answers, and one that is not what it should be."""

import json
import os
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.client.misbehaving import answering, http
from tests.net.private_ca import PrivateCa
from tests.tools.administered import Administered, administered
from tests.tools.daemons import LiveIam, change
from tests.tools.programs import PATIENCE
from ttscache.client import AdminClient, ClientCertificate, ClientError

SESSION: dict[str, object] = {
    "id": "a.b",
    "session": None,
    "issuer": "cms",
    "subject": "s",
    "state": "active",
    "end_reason": None,
    "generation": "1",
    "opened_at": "2026-01-01T00:00:00Z",
    "confirmed_at": "2026-01-01T00:00:00Z",
    "ends_at": "2026-01-02T00:00:00Z",
    "renewable": True,
}
CREDENTIAL: dict[str, object] = {
    "id": "a.b",
    "kind": "end-entity",
    "issuer": "cms",
    "subject": "s",
    "dn": "/CN=s",
    "authority": "/CN=ca",
    "profile": None,
    "serial": "7",
    "eec_serial": "7",
    "not_after": "2026-01-01T00:00:00Z",
    "revoked": False,
}
Ask = Callable[[AdminClient], object]


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Administered]:
    with LiveIam() as iam, administered(tmp_path_factory.mktemp("admin-client"), iam, _with_ec) as running:
        yield running


def _with_ec(document: dict[str, Any]) -> None:
    """Keys that take no time: many credentials are made."""
    document["profiles"]["ec"] = {"type": "x509-proxy", "key": "p-256", "min_lifetime": "1m"}
    for rule in document["mapping"]:
        rule["profiles"].append("ec")


@pytest.fixture
def client(admin: Administered) -> AdminClient:
    return AdminClient.over_network(admin.daemon.web.url, admin.site.server_ca, token=admin.iam.token("admin"))


def page(*entries: object, following: object = None) -> bytes:
    return http(json.dumps({"entries": entries, "next": following}).encode())


def test_all_pages_are_read(admin: Administered, client: AdminClient) -> None:
    token, joe = admin.iam.token("joe"), admin.subject("joe")
    for lifetime in range(1000, 1120):
        assert admin.daemon.web.get(f"/v1/proxy?profile=ec&lifetime={lifetime}", token).status == 200
    found = list(client.credentials("sandbox", joe))
    assert len({each.id for each in found}) == len(found) == 121
    assert {each.profile for each in found} == {"ec", None}
    (eec,) = {each.eec_serial for each in found}
    assert [each.serial for each in found if each.kind == "end-entity"] == [eec]
    assert all(each.not_after > datetime.now(UTC) for each in found)
    assert list(client.credentials(subject="nobody")) == []


def test_statistics_map_files_and_reload(admin: Administered, client: AdminClient) -> None:
    assert client.statistics()["dependencies"]["store"] == "ok"
    assert admin.daemon.web.get("/v1/proxy?profile=ec", admin.iam.token("joe")).status == 200
    made = AdminClient.over_socket(admin.socket).mapfile("gridmap")
    assert made.format == "gridmap"
    assert f'u-{admin.subject("joe")}" joe\n' in made.text
    assert [each.rule for each in made.left_out] == ["production"], "nobody was given a name of its"
    assert client.mapfile("xrootd-scitokens", issuer="sandbox").text
    with pytest.raises(ClientError, match="there is no such format") as raised:
        client.mapfile("no/thing")
    assert (raised.value.code, raised.value.status) == ("not_found", 404)
    client.reload()
    change(admin.site, lambda document: document["store"].update(stale_for="soon"))
    with pytest.raises(ClientError, match="stale_for"):
        client.reload()
    change(admin.site, lambda document: document["store"].update(stale_for="1m"))
    client.reload("mended")
    asked = [line for line in admin.daemon.log() if line["event"] == "reload_asked"]
    assert [line["reason"] for line in asked] == ["", "", "mended"]
    assert all(line["by"] == f"{admin.subject('admin')} of sandbox" for line in asked)


def test_what_is_asked_is_what_was_wanted() -> None:
    done = {"issuer": "cms", "subject": "s", "session": "pilot", "eec_serial": "7", "authority": "/CN=ca"}
    answers = [http(json.dumps({"revoked": done, "opened": done}).encode())]
    with answering(*answers) as server:
        client = AdminClient.over_network(server.url + "/below/", token="token")
        assert client.revoke_session("a/b?c", "why").session == "pilot"
        assert client.open_session("pil ot").subject == "s"
        assert client.revoke_credential(7).eec_serial == 7
        client.revoke_identity("cms", "s", "why")
        client.restore_identity("cms", "s")
    asked = [request.partition(b"\r\n\r\n") for request in server.asked]
    assert [head.split(b" HTTP/")[0].decode() for head, _, _ in asked] == [
        "POST /below/admin/v1/sessions/a%2Fb%3Fc/revoke",
        "POST /below/admin/v1/standing/pil%20ot/open",
        "POST /below/admin/v1/credentials/7/revoke",
        "POST /below/admin/v1/identities/revoke",
        "POST /below/admin/v1/identities/restore",
    ]
    assert all(b"\r\nAuthorization: Bearer token\r\n" in head for head, _, _ in asked)
    assert [json.loads(body) for _, _, body in asked] == [
        {"reason": "why"},
        {"reason": ""},
        {"reason": ""},
        {"issuer": "cms", "subject": "s", "reason": "why"},
        {"issuer": "cms", "subject": "s", "reason": ""},
    ]


def test_pages_follow_one_another() -> None:
    with answering(page(SESSION, following="a.b"), page({**SESSION, "id": "c.d", "of a newer daemon": 1})) as server:
        found = list(AdminClient.over_network(server.url).sessions("c m&s", "s"))
    assert [each.id for each in found] == ["a.b", "c.d"]
    first, second = (request.split(b" ")[1].decode() for request in server.asked)
    assert first == "/admin/v1/sessions?issuer=c+m%26s&subject=s"
    assert second == first + "&after=a.b"
    assert b"Authorization" not in server.asked[0]


@pytest.mark.parametrize(
    "answers, ask",
    [
        ((page(SESSION, following=1),), lambda client: list(client.sessions())),
        ((page(SESSION, following="a"), page(following="a")), lambda client: list(client.sessions())),
        ((page("x"),), lambda client: list(client.sessions())),
        ((page(None),), lambda client: list(client.credentials())),
        ((http(b'{"entries": {}}'),), lambda client: client.revoked_identities()),
        ((http(b"{}"),), lambda client: client.revoke_session("a")),
        ((http(b'{"opened": []}'),), lambda client: client.open_session("a")),
        ((http(b'{"format": "condor", "text": "", "left_out": [1]}'),), lambda client: client.mapfile("condor")),
        ((http(b"[]"),), lambda client: client.statistics()),
    ],
)
def test_answers_that_are_none(answers: tuple[bytes, ...], ask: Ask) -> None:
    with answering(*answers) as server, pytest.raises(ClientError) as raised:
        ask(AdminClient.over_network(server.url))
    assert raised.value.code == "answer_invalid"


@pytest.mark.parametrize("value", [None, 1, [], {}, "x", True, "9" * 5000])
@pytest.mark.parametrize("field", sorted({*SESSION, *CREDENTIAL}))
def test_a_field_of_another_form_is_no_entry_or_a_harmless_one(field: str, value: object) -> None:
    for entry, ask in ((SESSION, AdminClient.sessions), (CREDENTIAL, AdminClient.credentials)):
        with answering(page({**entry, field: value})) as server, suppress(ClientError):  # and no other exception
            (found,) = ask(AdminClient.over_network(server.url))
            assert field not in entry or isinstance(value, type(getattr(found, field))) or field.endswith("serial")


def test_what_is_no_token_is_not_sent() -> None:
    with pytest.raises(ClientError) as raised:
        AdminClient.over_network("https://daemon.example", token="a\r\nX-Evil: b")
    assert raised.value.code == "token_malformed"


def test_a_certificate_is_shown_over_tls_only(admin: Administered, tmp_path: Path) -> None:
    with pytest.raises(ClientError) as raised:
        AdminClient.over_network("http://127.0.0.1:1", certificate=ClientCertificate(admin.certificate))
    assert raised.value.code == "url_invalid"
    (tmp_path / "empty").touch()
    for certificate in (ClientCertificate(tmp_path / "empty"), ClientCertificate(admin.certificate, tmp_path)):
        with pytest.raises(ClientError) as raised:
            AdminClient.over_network("https://127.0.0.1:1", certificate=certificate)
        assert raised.value.code == "certificate_invalid"


def test_a_server_that_says_why_it_hangs_up(admin: Administered, tmp_path: Path) -> None:
    """Others than our daemon send TLS's alert; the client's last words may be lost to it all the same."""
    ca = PrivateCa()
    context = ca.server_context(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    with _tls_server(context) as port:
        shown = ClientCertificate(admin.certificate)
        client = AdminClient.over_network(
            f"https://127.0.0.1:{port}", ca.write(tmp_path / "ca.pem"), certificate=shown, timeout=PATIENCE
        )
        for _ in range(10):
            with pytest.raises(ClientError) as raised:
                client.statistics()
            assert (raised.value.code, raised.value.unavailable) == ("certificate_refused", False)


@contextmanager
def _tls_server(context: ssl.SSLContext) -> Iterator[int]:
    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="asks as another user")
def test_the_socket_is_not_for_other_users(iam_of_its_own: LiveIam) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        with administered(Path(directory), iam_of_its_own) as running:
            client = AdminClient.over_socket(running.socket)
            assert client.statistics()
            for mode in (0o600, 0o666):  # kept out by the socket's mode, and by the daemon
                running.socket.chmod(mode)
                with pytest.raises(ClientError) as raised, _as_nobody():
                    client.statistics()
                assert (raised.value.code, raised.value.status) == ("admin_required", 403)


@pytest.fixture
def iam_of_its_own() -> Iterator[LiveIam]:
    with LiveIam() as iam:
        yield iam


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
