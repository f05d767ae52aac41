"""The client before a daemon that is not what it should be: one clear error, whatever comes."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.misbehaving import answering, http
from ttscache.client import Client, ClientError

GOOD: dict[str, object] = {
    "pem": "x",
    "subject": "/CN=a/CN=1",
    "identity": "/CN=a",
    "account": None,
    "issuer": "/CN=ca",
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2026-01-01T12:00:00Z",
    "fqans": [],
    "serial": "1",
    "profile": "pilot",
    "shortened_by": [],
}


def problem(code: object, status: str, *headers: str) -> bytes:
    return http(json.dumps({"code": code, "detail": "told\nby\x1b the daemon"}).encode(), status, *headers)


def refused(answer: bytes) -> ClientError:
    with answering(answer) as server, pytest.raises(ClientError) as raised:
        Client(server.url, timeout=5).proxy("token")
    assert "\n" not in str(raised.value)
    assert str(raised.value).isprintable()
    return raised.value


@pytest.mark.parametrize(
    "answer, code, unavailable",
    [
        (b"", "unreachable", True),
        (b"nonsense\r\n\r\n", "unreachable", True),
        (b"HTTP/1.1 999999 x\r\n\r\n", "unreachable", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "unreachable", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + json.dumps(GOOD).encode()[:50], "unreachable", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", "unreachable", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{", "unreachable", True),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", "unreachable", True),
        (http(b""), "answer_invalid", False),
        (http(b"<html>"), "answer_invalid", False),
        (http(b"[]"), "answer_invalid", False),
        (http(b"{}"), "answer_invalid", False),
        (http(b"[" * 100_000), "answer_invalid", False),
        (http(b" " * (1024 * 1024 + 1)), "answer_invalid", False),
        (http(b"", "302 Found", "Location: https://elsewhere.example/"), "answer_invalid", False),
        (http(b"<html>", "502 Bad Gateway"), "answer_invalid", True),
        (http(b"<html>", "404 Not Found"), "answer_invalid", False),
        (problem("mapping_refused", "403 Forbidden"), "mapping_refused", False),
        (problem("store_unavailable", "503 Unavailable"), "store_unavailable", True),
        (problem("x" * 100, "400 Bad Request"), "answer_invalid", False),
        (problem(["a"], "400 Bad Request"), "answer_invalid", False),
        (problem("Evil\r\ncode", "400 Bad Request"), "answer_invalid", False),
    ],
)
def test_what_comes_back_is_one_error(answer: bytes, code: str, *, unavailable: bool) -> None:
    error = refused(answer)
    assert (error.code, error.unavailable) == (code, unavailable)


def test_a_redirect_is_not_followed() -> None:
    with answering(http(json.dumps(GOOD).encode())) as target:
        answer = http(b"", "307 Temporary Redirect", f"Location: {target.url}/v1/proxy")
        assert refused(answer).status == 307
        assert target.asked == []


def test_when_to_come_again() -> None:
    assert refused(problem("overloaded", "503 Unavailable", "Retry-After: 7")).retry_after == 7
    for value in ("soon", "-1", "\u0663", "nan"):
        answer = problem("overloaded", "503 Unavailable").replace(b"\r\n", f"\r\nRetry-After: {value}\r\n".encode(), 1)
        assert refused(answer).retry_after is None


@pytest.mark.parametrize("field", sorted(GOOD))
@pytest.mark.parametrize("value", [None, 1, [], {}, "x", [1], "9" * 5000])
def test_a_field_of_another_form_is_no_proxy_or_a_harmless_one(field: str, value: object) -> None:
    answer = http(json.dumps({**GOOD, field: value}).encode())
    with answering(answer) as server, suppress(ClientError):  # and no other exception
        Client(server.url).proxy("token")


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=st.binary(max_size=80), prefix=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
def test_any_bytes(answer: bytes, prefix: bytes) -> None:
    with answering(prefix + answer) as server, pytest.raises(ClientError):
        Client(server.url, timeout=5).whoami("token")


def test_nobody_listens_and_nobody_answers() -> None:
    with answering(b"") as server:
        pass
    with pytest.raises(ClientError, match="cannot be reached: Connection refused"):
        Client(server.url).whoami("token")
    with pytest.raises(ClientError, match="cannot be reached") as raised:
        Client(f"https://{'a' * 70}.example").whoami("token")
    assert raised.value.unavailable


@pytest.mark.parametrize(
    "url",
    [
        "",
        "daemon.example",
        "ftp://daemon.example",
        "http://daemon.example",
        "http://10.0.0.1:80",
        "https://",
        "https://daemon.example:99999",
        "https://daemon.example:x",
        "https://[::1",
        "https://user:secret@daemon.example",
        "https://daemon.example/?token=x",
        "https://daemon.example/#x",
        "https://daemon.example/a b",
        "https://daemon.example/\r\nX: y",
        "https://d\u00e4mon.example",
        "http+unix:/run/daemon.sock",
    ],
)
def test_urls_that_are_not_called(url: str) -> None:
    with pytest.raises(ClientError) as raised:
        Client(url)
    assert raised.value.code == "url_invalid"
    assert "secret" not in str(raised.value)


def test_ca_files_that_are_none(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for file in (empty, tmp_path / "absent.pem", tmp_path):
        with pytest.raises(ClientError) as raised:
            Client("https://daemon.example", file)
        assert raised.value.code == "ca_file_invalid"


@pytest.mark.parametrize("token", ["", "a b", "a\nX-Evil: b", "a\x00", "\u00e9", "\ufffd"])
def test_what_is_no_token_is_not_sent(token: str) -> None:
    with answering(http(b"{}")) as server:
        with pytest.raises(ClientError) as raised:
            Client(server.url).whoami(token)
        assert raised.value.code == "token_malformed"
        assert server.asked == []


def test_what_is_asked_is_what_was_wanted() -> None:
    with answering(http(json.dumps(GOOD).encode())) as server:
        client = Client(server.url + "/below/")
        proxy = client.proxy("token", profile="p", lifetime=1, limited=False, fqans=("/a",), csr=b"c")
        client.proxy("token")
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /below/v1/proxy HTTP/1.1\r\n")
    assert b"Authorization: Bearer token\r\n" in head
    assert json.loads(body) == {"profile": "p", "lifetime": 1, "limited": False, "fqans": ["/a"], "csr": "c"}
    assert json.loads(server.asked[1].partition(b"\r\n\r\n")[2]) == {}
    assert "pem" not in repr(proxy)


@pytest.mark.parametrize("lost", [b"", http(b"{}")[:-1]], ids=["nothing", "half"])
def test_a_connection_that_is_lost_is_tried_once_more(lost: bytes) -> None:
    refused = http(b'{"code": "not_found", "detail": "it answers"}', "404 Not Found")
    with answering(lost, refused) as server:
        with pytest.raises(ClientError, match="it answers"):
            Client(server.url).whoami("a.b.c")
        assert len(server.asked) == 2
    with answering(lost) as server:
        with pytest.raises(ClientError) as told:
            Client(server.url).whoami("a.b.c")
        assert (told.value.code, len(server.asked)) == ("unreachable", 2)
