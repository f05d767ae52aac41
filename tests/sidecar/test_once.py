"""`sidecar --once`, as init containers run it: what its exit status says, with and without a good file there."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sidecar.hostile import good_proxy, hostile, says
from tests.sidecar.living import Living
from tests.sidecar.running import once
from tests.tools.daemons import Outcome
from tests.tools.minting import write_private
from tests.tools.programs import environment

# asks, and says which code and exit status are to come of it
Case = tuple[Callable[[Living, Path], dict[str, str | Path]], str, int]

CASES: dict[str, Case] = {
    "no token": (lambda _, tmp: {"--token-file": tmp / "nothing"}, "token_unreadable", 2),
    "no token in the file": (lambda _, tmp: {"--token-file": _file(tmp, "")}, "token_unreadable", 2),
    "no URL": (lambda _, __: {"--url": "gopher://localhost"}, "url_invalid", 2),
    "plain http to others": (lambda _, __: {"--url": "http://192.0.2.1"}, "url_invalid", 2),
    "no CAs": (lambda _, tmp: {"--ca-file": _file(tmp, "garbage")}, "ca_file_invalid", 2),
    "a token of nobody": (lambda _, tmp: {"--token-file": _file(tmp, "garbage")}, "token_malformed", 3),
    "no mapping": (
        lambda world, tmp: {"--token-file": _file(tmp, world.site.iam.token(scope="openid"))},
        "mapping_refused",
        3,
    ),
    "no such profile": (lambda _, __: {"--proxy-profile": "nothing"}, "profile_unknown", 3),
    "a profile of another kind": (lambda _, __: {"--proxy-profile": "storage"}, "request_invalid", 3),
    "nobody there": (lambda _, __: {"--url": "https://127.0.0.1:1"}, "unreachable", 4),
    "no name": (lambda _, __: {"--url": "https://nothing.invalid"}, "unreachable", 4),
    "a daemon of other CAs": (lambda world, _: {"--ca-file": _a_ca(world)}, "unreachable", 4),
}


@pytest.fixture
def proxy(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files/proxy"


def _file(directory: Path, content: str) -> Path:
    return write_private(directory / "given", content.encode())


def _a_ca(world: Living) -> Path:
    return next(world.site.site.certificates.glob("*.0"))


def ask(world: Living, proxy: Path, **options: str | Path) -> tuple[Outcome, list[dict[str, object]]]:
    known = {"--token-file": world.token, "--proxy": proxy, **options}
    return once(*(part for option in known.items() for part in option), env=world.env)


@pytest.mark.parametrize("case", CASES)
def test_status(case: str, world: Living, good: bytes, proxy: Path, tmp_path: Path) -> None:
    make, code, status = CASES[case]
    wrong = make(world, tmp_path)
    missing, log = ask(world, proxy, **wrong)
    assert (missing.status, missing.out) == (status, b"")
    assert [(line["event"], line["kind"], line["code"]) for line in log] == [("failed", "proxy", code)]
    assert list(proxy.parent.iterdir()) == []

    before = old_proxy(good, proxy)
    there, log = ask(world, proxy, **wrong)
    assert there.status == 0, "it is there and lives for long"
    assert [line["event"] for line in log] == ["failed", "ready"]
    assert log[0]["code"] == code
    assert proxy.read_bytes() == before
    assert list(proxy.parent.iterdir()) == [proxy]


@pytest.fixture(scope="module")
def good(world: Living, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    proxy = tmp_path_factory.mktemp("good") / "proxy"
    assert ask(world, proxy)[0].status == 0
    return proxy.read_bytes()


def old_proxy(good: bytes, proxy: Path) -> bytes:
    """Write a proxy that is good for hours; of its age only its file tells."""
    write_private(proxy, good)
    then = time.time() - 86400
    os.utime(proxy, (then, then))
    return good


def test_less_life_than_asked_for(world: Living, proxy: Path) -> None:
    short, log = ask(world, proxy, **{"--min-left": "30d"})
    assert (short.status, [line["event"] for line in log]) == (5, ["renewed", "ready"]), "better than nothing"
    before = proxy.read_bytes()
    os.utime(proxy, (0, 0))
    again, log = ask(world, proxy, **{"--min-left": "30d"})
    assert (again.status, log[0]["code"]) == (5, "lifetime_short")
    assert proxy.read_bytes() == before


def test_nowhere_to_write(world: Living, tmp_path: Path) -> None:
    missing, log = ask(world, tmp_path / "nowhere/proxy")
    assert (missing.status, log[0]["code"]) == (1, "file_failed")
    (tmp_path / "proxy").mkdir()
    (link := tmp_path / "link").symlink_to(tmp_path / "proxy/file")
    there, log = ask(world, link)
    assert (there.status, log[0]["event"]) == (0, "renewed")
    assert link.is_file()
    assert not link.is_symlink(), "what is there is replaced, not followed"
    assert list((tmp_path / "proxy").iterdir()) == []


def test_the_first_that_lacks_decides(world: Living, proxy: Path, tmp_path: Path) -> None:
    options: dict[str, str | Path] = {
        "--proxy-profile": "brief",
        "--bearer": tmp_path / "files/bearer",
        "--bearer-profile": "nothing",
    }
    outcome, log = ask(world, proxy, **options)
    assert [(line["event"], line["kind"]) for line in log] == [("renewed", "proxy"), ("failed", "bearer")]
    assert outcome.status == 5, "a proxy of seconds is not what was asked for"
    outcome, _ = ask(world, proxy, **options, **{"--min-left": "1s"})
    assert outcome.status == 3


def test_what_is_no_daemon(proxy: Path, tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"planted-token")
    with hostile(proxy=says(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecret!")) as daemon:
        asked = ("--url", daemon.url, "--token-file", token, "--proxy", proxy)
        outcome, log = once(*asked, env=environment())
        assert (outcome.status, log[0]["code"]) == (1, "answer_invalid")
        assert len(log) == 1
        assert "secret!" not in outcome.err
        assert "planted" not in outcome.err
        daemon.answers["/v1/proxy"] = good_proxy
        assert once(*asked, env=environment())[0].status == 0


def test_trust_that_is_there_is_good_while_the_daemon_is_away(world: Living, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    closed = ("--url", "https://127.0.0.1:1")
    outcome, log = world.once("--trust", trust, *closed)
    assert (outcome.status, log[0]["code"], trust.exists()) == (4, "unreachable", False)
    assert world.once("--trust", trust)[0].status == 0
    outcome, log = world.once("--trust", trust, *closed)
    assert (outcome.status, [line["event"] for line in log]) == (0, ["failed", "ready"])
    next(trust.glob("*.0")).unlink()
    assert world.once("--trust", trust, *closed)[0].status == 4, "it is not all there"
