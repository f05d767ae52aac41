"""Whom the daemon's own token is shown to, and what becomes of it when its file is renewed or gone."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.net.loopback import Loopback, loopback
from tests.net.private_ca import PrivateCa
from ttscache.net.authorized import AuthorizedFetcher
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher, FetchFailedError

TOKEN = "PLANTED.own.token"


class Watched(Loopback):
    """Answers everything, and keeps what token it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str | None] = []

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen[request.path] += 1
        self.shown.append(request.headers.get("Authorization"))
        answer = self.answers.get(request.path)
        return web.json_response(await _posted(request)) if answer is None else await answer(request)


async def _posted(request: web.Request) -> object:
    return await request.json() if request.method == "POST" else {}


@pytest.fixture
async def server() -> AsyncIterator[Watched]:
    running = Watched()
    async with running.listening():
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "token"
    made.write_text(TOKEN + "\n")
    return made


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Fetcher]:
    made = Fetcher(PrivateCa().write(tmp_path / "unrelated.pem"))  # to load the system's takes long
    yield made
    await made.close()


@pytest.fixture
def fetcher(plain: Fetcher, server: Watched, file: Path) -> AuthorizedFetcher:
    return AuthorizedFetcher(plain, server.url + "/k8s/", file)


def remove(file: Path) -> None:
    file.unlink()


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def spoil(file: Path, kind: str) -> None:
    file.unlink()
    if kind == "binary":
        file.write_bytes(b"PLANTED\xff\xfe")
    elif kind == "directory":
        file.mkdir()
    elif kind == "loop":
        file.symlink_to(file)
    else:
        file.symlink_to("nowhere")


async def status(fetcher: AuthorizedFetcher, url: str) -> int:
    return (await fetcher.get(url, Deadline.after(5.0))).status


async def failure(fetcher: AuthorizedFetcher, server: Watched) -> FetchFailedError:
    """Return how both requests fail, of which the server sees nothing."""
    with pytest.raises(FetchFailedError) as posting:
        await fetcher.post_json(server.url + "/a", {}, Deadline.after(5.0))
    with pytest.raises(FetchFailedError) as getting:
        await fetcher.get(server.url + "/a", Deadline.after(5.0))
    assert getting.value.reason == posting.value.reason
    assert (getting.value.sent, posting.value.sent) == (False, False)
    assert getting.value.__cause__ is None
    return getting.value


async def test_it_is_shown_to_its_server(fetcher: AuthorizedFetcher, server: Watched) -> None:
    assert await status(fetcher, server.url + "/anywhere?x=y") == 200
    answer = await fetcher.post_json(server.url + "/reviews", {"kind": "TokenReview"}, Deadline.after(5.0))
    assert (answer.status, answer.body) == (200, b'{"kind": "TokenReview"}')
    assert server.shown == [f"Bearer {TOKEN}"] * 2
    assert server.seen == {"/anywhere": 1, "/reviews": 1}


async def test_headers_of_the_caller_s(fetcher: AuthorizedFetcher, server: Watched) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.json_response(request.headers.getall("Accept"))

    server.answers["/a"] = echo
    headers = {"Accept": "application/jwk-set+json", "Authorization": "Bearer another"}
    answer = await fetcher.get(server.url + "/a", Deadline.after(5.0), headers=headers)
    assert answer.body == b'["application/jwk-set+json"]'
    assert server.shown == [f"Bearer {TOKEN}"]


async def test_to_no_other_port(fetcher: AuthorizedFetcher, server: Watched) -> None:
    other = Watched()
    async with other.listening():
        assert await status(fetcher, other.url + "/a") == 200
        await fetcher.post_json(other.url + "/a", {}, Deadline.after(5.0))
    assert other.shown == [None, None]
    assert server.shown == []


async def test_to_the_same_machine_by_no_other_name(fetcher: AuthorizedFetcher, server: Watched) -> None:
    port = server.url.rpartition(":")[2]
    assert await status(fetcher, f"http://localhost:{port}/a") == 200
    assert server.shown == [None]


@pytest.mark.parametrize(
    "own, url",
    [
        ("https://127.0.0.1:{port}", "http://127.0.0.1:{port}/a"),
        ("https://127.0.0.1", "http://127.0.0.1:{port}/a"),
        ("http://127.0.0.1", "http://127.0.0.1:{port}/a"),
        ("http://127.0.0.1:{port}0", "http://127.0.0.1:{port}/a"),
        ("http://a@127.0.0.1:{port}", "http://127.0.0.1:{port}/a"),
    ],
)
async def test_to_no_other_origin(plain: Fetcher, server: Watched, file: Path, own: str, url: str) -> None:
    port = server.url.rpartition(":")[2]
    fetcher = AuthorizedFetcher(plain, own.format(port=port), file)
    assert await status(fetcher, url.format(port=port)) == 200
    assert server.shown == [None]


async def test_a_name_is_the_same_in_any_case(plain: Fetcher, server: Watched, file: Path) -> None:
    port = server.url.rpartition(":")[2]
    fetcher = AuthorizedFetcher(plain, f"http://LocalHost:{port}", file)
    assert await status(fetcher, f"HTTP://localhost:{port}/a") == 200
    assert server.shown == [f"Bearer {TOKEN}"]


async def test_it_does_not_follow_a_redirect(fetcher: AuthorizedFetcher, server: Watched) -> None:
    async with loopback() as other:
        server.say("/a", status=302, headers={"Location": other.url + "/b"})
        assert await status(fetcher, server.url + "/a") == 302
        assert not other.seen


async def test_it_is_read_anew_each_time(fetcher: AuthorizedFetcher, server: Watched, file: Path) -> None:
    for token in ("first", "second", "third"):
        renewed = file.with_name("renewed")
        renewed.write_text(token)
        renewed.replace(file)  # as the kubelet does
        assert await status(fetcher, server.url + "/a") == 200
    assert server.shown == ["Bearer first", "Bearer second", "Bearer third"]


async def test_a_file_that_comes_later(fetcher: AuthorizedFetcher, server: Watched, file: Path) -> None:
    remove(file)
    assert (await failure(fetcher, server)).reason == "the file of this daemon's own token cannot be read"
    assert server.shown == []
    write(file, TOKEN.encode())
    assert await status(fetcher, server.url + "/a") == 200


async def test_others_are_asked_without_it_all_the_same(fetcher: AuthorizedFetcher, file: Path) -> None:
    remove(file)
    async with loopback() as other:
        other.say("/a")
        assert await status(fetcher, other.url + "/a") == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b" \t\r\n", b"a\r\nX-Remote-User: admin", b"a\x00b", b"a\nb", b"\x7f", b"PLANTED\x1b[2J"],
)
async def test_what_is_no_token(fetcher: AuthorizedFetcher, server: Watched, file: Path, content: bytes) -> None:
    write(file, content)
    assert (await failure(fetcher, server)).reason == "the file of this daemon's own token holds none"
    assert server.shown == []


@pytest.mark.parametrize("kind", ["binary", "directory", "loop", "dangling"])
async def test_what_cannot_be_read(fetcher: AuthorizedFetcher, server: Watched, file: Path, kind: str) -> None:
    spoil(file, kind)
    error = await failure(fetcher, server)
    assert error.reason == "the file of this daemon's own token cannot be read"
    # the decoder's error would have the content
    assert "PLANTED" not in "".join(traceback.format_exception(error))
    assert server.shown == []


async def test_no_more_than_a_token_is_read_of_a_large_file(
    fetcher: AuthorizedFetcher, server: Watched, file: Path
) -> None:
    with file.open("wb") as large:
        large.truncate(2**32)
    assert "holds none" in (await failure(fetcher, server)).reason
