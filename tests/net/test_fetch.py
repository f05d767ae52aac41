"""Fetches from real servers that misbehave."""

from __future__ import annotations

import asyncio
import email.utils
import json
import ssl
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.net.loopback import Loopback, loopback
from tests.net.private_ca import PrivateCa
from ttscache.net import fetch
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import MAX_BODY_BYTES, Answer, Fetcher, FetchFailedError


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


@pytest.fixture
async def fetcher(tmp_path: Path) -> AsyncIterator[Fetcher]:
    made = Fetcher(PrivateCa().write(tmp_path / "unrelated.pem"))  # to load the system's takes long
    yield made
    await made.close()


async def failure(fetcher: Fetcher, url: str, seconds: float = 5.0) -> FetchFailedError:
    with pytest.raises(FetchFailedError) as raised:
        await fetcher.get(url, Deadline.after(seconds))
    return raised.value


async def test_a_whole_answer(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/a", {"b": 1}, status=418)
    answer = await fetcher.get(server.url + "/a", Deadline.after(5.0))
    assert (answer.status, answer.body, answer.retry_after) == (418, b'{"b": 1}', None)


async def test_a_form_arrives_as_it_was_sent(server: Loopback, fetcher: Fetcher) -> None:
    form = {"a": "b c+d&e=f%", "ü": "\u202e\n"}

    async def echo(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Basic x"
        return web.json_response({name: str(value) for name, value in (await request.post()).items()})

    server.answers["/a"] = echo
    answer = await fetcher.post_form(server.url + "/a", form, Deadline.after(5.0), {"Authorization": "Basic x"})
    assert json.loads(answer.body) == form


async def test_redirects_are_not_followed(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/a", status=302, headers={"Location": server.url + "/b"})
    assert (await fetcher.get(server.url + "/a", Deadline.after(5.0))).status == 302
    assert server.seen == {"/a": 1}


async def test_cookies_are_not_kept(server: Loopback, fetcher: Fetcher) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert "Cookie" not in request.headers
        return web.Response(headers={"Set-Cookie": "a=b"})

    server.answers["/a"] = answer
    for _ in range(2):
        assert (await fetcher.get(server.url + "/a", Deadline.after(5.0))).status == 200


async def test_the_largest_body_and_one_byte_more(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/fits", "x" * MAX_BODY_BYTES)
    server.say("/more", "x" * (MAX_BODY_BYTES + 1))
    assert len((await fetcher.get(server.url + "/fits", Deadline.after(5.0))).body) == MAX_BODY_BYTES
    error = await failure(fetcher, server.url + "/more")
    assert str(MAX_BODY_BYTES) in error.reason
    assert error.sent


async def test_an_endless_body_is_read_no_further_than_the_limit(server: Loopback, fetcher: Fetcher) -> None:
    ended = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            ended.set()

    server.answers["/a"] = drip
    assert str(MAX_BODY_BYTES) in (await failure(fetcher, server.url + "/a")).reason
    await asyncio.wait_for(ended.wait(), 5.0)


async def test_a_compressed_body_is_not_blown_up(server: Loopback, fetcher: Fetcher) -> None:
    async def bomb(_: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"0" * 10_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    server.answers["/a"] = bomb
    assert len((await fetcher.get(server.url + "/a", Deadline.after(5.0))).body) < MAX_BODY_BYTES


async def test_a_header_that_repeats_a_whole_token_is_read(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/a", status=401, headers={"WWW-Authenticate": f'Bearer error="invalid_token {"x" * 16384}"'})
    assert (await fetcher.get(server.url + "/a", Deadline.after(5.0))).status == 401


async def test_outsized_headers_are_a_failure(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/a", headers={"X": "x" * 100_000})
    assert (await failure(fetcher, server.url + "/a")).sent


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_slow_answer_ends_with_the_deadline(server: Loopback, fetcher: Fetcher, part: str) -> None:
    released = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if part == "body":
            await response.prepare(request)
            await response.write(b"{")
        await released.wait()
        return response

    server.answers["/a"] = slow
    begun = time.monotonic()
    error = await failure(fetcher, server.url + "/a", 0.1)
    released.set()
    assert time.monotonic() - begun < 2.0
    assert (error.reason, error.sent) == ("no answer in time", True)


async def test_nothing_is_sent_when_no_time_is_left(server: Loopback, fetcher: Fetcher) -> None:
    server.say("/a")
    assert not (await failure(fetcher, server.url + "/a", 0.0)).sent
    assert not server.seen


async def test_nothing_is_sent_to_who_does_not_listen(server: Loopback, fetcher: Fetcher) -> None:
    async with loopback() as gone:
        url = gone.url
    assert not (await failure(fetcher, url)).sent


@pytest.mark.parametrize("url", ["http://iam.example/", "ftp://127.0.0.1/", "https://u:p@iam.example/", "nonsense"])
async def test_nothing_is_sent_to_what_may_not_be_called(fetcher: Fetcher, url: str) -> None:
    assert not (await failure(fetcher, url)).sent


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    ],
    ids=["nothing", "zeros", "ssh", "short", "length", "chunk", "status", "headers"],
)
async def test_what_is_not_http(fetcher: Fetcher, raw: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        error = await failure(fetcher, f"http://127.0.0.1:{port}/")
    assert error.sent
    assert error.reason.startswith("the connection broke")


async def test_a_cancelled_fetch_hangs_up(server: Loopback, fetcher: Fetcher) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    server.answers["/a"] = never
    server.say("/b")
    task = asyncio.create_task(fetcher.get(server.url + "/a", Deadline.after(30.0)))
    await asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert (await fetcher.get(server.url + "/b", Deadline.after(5.0))).status == 200


@pytest.mark.parametrize(
    "value, seconds",
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999999", 300.0),
        ("9" * 400, 300.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 300.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert fetch._retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    seconds = fetch._retry_after(email.utils.formatdate(time.time() + 60.0, usegmt=True))
    assert seconds is not None
    assert 55.0 < seconds <= 60.0


@given(st.text() | st.from_regex(r"\A\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ .{0,6}\Z"))
def test_no_retry_after_is_beyond_reason(value: str) -> None:
    seconds = fetch._retry_after(value)
    assert seconds is None or 0.0 <= seconds <= 300.0


def test_the_body_is_not_in_the_representation() -> None:
    assert "secret" not in repr(Answer(200, b"secret", None))


@pytest.fixture(scope="module")
def private_ca() -> PrivateCa:
    return PrivateCa()


async def test_a_private_ca_is_trusted_where_it_is_configured_and_nowhere_else(
    private_ca: PrivateCa, tmp_path: Path, fetcher: Fetcher
) -> None:
    ca_file = private_ca.write(tmp_path / "ca.pem")
    trusting, of_the_system = Fetcher(ca_file), Fetcher()
    async with loopback(private_ca.server_context(tmp_path)) as server:
        server.say("/a")
        assert (await trusting.get(server.url + "/a", Deadline.after(5.0))).status == 200
        for distrusting in (fetcher, of_the_system):
            error = await failure(distrusting, server.url + "/a")
            assert not error.sent
            assert "not trusted" in error.reason
        assert server.seen == {"/a": 1}
    await trusting.close()
    await of_the_system.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("fault", ["another host", "expired", "old TLS"])
async def test_peers_are_verified(private_ca: PrivateCa, tmp_path: Path, fault: str) -> None:
    host = "192.0.2.1" if fault == "another host" else "127.0.0.1"
    age = timedelta(days=-2) if fault == "expired" else timedelta()
    context = private_ca.server_context(tmp_path, host=host, shifted=age)
    if fault == "old TLS":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    trusting = Fetcher(private_ca.write(tmp_path / "ca.pem"))
    async with loopback(context) as server:
        assert not (await failure(trusting, server.url + "/")).sent
    await trusting.close()
