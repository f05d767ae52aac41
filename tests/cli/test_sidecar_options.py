"""Wrong options of `ttscache sidecar`: one line, exit status 2, and nobody is asked."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.client.misbehaving import answering, http
from tests.tools.daemons import here
from tests.tools.programs import environment
from ttscache.cli.sidecar import _address

USER = "no-such-user"

# each with a word of the line; {} is a directory
MISTAKES: dict[str, tuple[list[str], str]] = {
    "nothing to keep": ([], "nothing to keep"),
    "a profile of nothing": (["--bearer-profile", "p", "--proxy", "{}/p"], "--bearer-profile needs --bearer"),
    "a proxy's profile of nothing": (["--proxy-profile", "p", "--bearer", "{}/b"], "--proxy-profile needs --proxy"),
    "an IDTOKEN's profile of nothing": (["--idtoken-profile", "p", "--proxy", "{}/p"], "--idtoken-profile needs"),
    "a base of nothing": (["--trust-base", "{}", "--proxy", "{}/p"], "--trust-base needs --trust"),
    "a VOMS base of nothing": (["--vomsdir-base", "{}", "--trust", "{}/t"], "--vomsdir-base needs --vomsdir"),
    "one path for two": (["--proxy", "{}/x", "--bearer", "{}/x"], "at one path"),
    "one directory for two": (["--trust", "{}/x", "--vomsdir", "{}/x"], "at one path"),
    "a directory as a proxy": (["--proxy", "{}"], "is a directory"),
    "a file as a trust directory": (["--trust", "{}/token"], "is a file"),
    "a directory as a token file": (["--token-file", "{}", "--proxy", "{}/p"], "is a directory"),
    "a mode for all": (["--mode", "0644", "--proxy", "{}/p"], "--mode"),
    "a mode that is none": (["--mode", "rw", "--proxy", "{}/p"], "--mode"),
    "nobody": (["--owner", USER, "--proxy", "{}/p"], f"there is no user {USER}"),
    "no user": (["--owner", "", "--proxy", "{}/p"], "--owner"),
    "nobody's group": (["--owner", "root:no-such-group", "--proxy", "{}/p"], "there is no group no-such-group"),
    "no group": (["--owner", "root:", "--proxy", "{}/p"], "--owner"),
    "a number without its group": (["--owner", "54321987", "--proxy", "{}/p"], "a number needs its group"),
    "a large number": (["--owner", "99999999999:0", "--proxy", "{}/p"], "--owner"),
    "a large group": (["--owner", "0:4294967295", "--proxy", "{}/p"], "--owner"),
    "a number below all": (["--owner=-1:0", "--proxy", "{}/p"], "--owner"),
    "no duration": (["--min-left", "soon", "--proxy", "{}/p"], "--min-left"),
    "less than nothing": (["--min-left=-1m", "--proxy", "{}/p"], "--min-left"),
    "a command that is none": (["--on-change", "", "--proxy", "{}/p"], "--on-change: names no command"),
    "a command of blanks": (["--on-change", "  ", "--proxy", "{}/p"], "--on-change: names no command"),
    "an open quotation": (["--on-change", "reload 'it", "--proxy", "{}/p"], "--on-change: No closing quotation"),
    "no such signal": (["--signal", "FOO:/run/x.pid", "--proxy", "{}/p"], "--signal must be NAME:PID-FILE"),
    "a signal's number": (["--signal", "1:/run/x.pid", "--proxy", "{}/p"], "--signal must be NAME:PID-FILE"),
    "no PID file": (["--signal", "HUP", "--proxy", "{}/p"], "--signal must be NAME:PID-FILE"),
    "an empty PID file": (["--signal", "HUP:", "--proxy", "{}/p"], "--signal must be NAME:PID-FILE"),
    "no signal": (["--signal", ":/run/x.pid", "--proxy", "{}/p"], "--signal must be NAME:PID-FILE"),
    "what is only named like a signal": (["--signal", "_DFL:/run/x.pid", "--proxy", "{}/p"], "--signal must be"),
    "no port": (["--health", "localhost:", "--proxy", "{}/p"], "--health must be [HOST:]PORT"),
    "a port of a word": (["--health", "http", "--proxy", "{}/p"], "--health must be [HOST:]PORT"),
    "a port too high": (["--health", "65536", "--proxy", "{}/p"], "--health must be [HOST:]PORT"),
    "a port below all": (["--health=-1", "--proxy", "{}/p"], "--health must be [HOST:]PORT"),
    "a port of another script": (["--health", "\u0663\u0663", "--proxy", "{}/p"], "--health"),
    "another's address": (
        ["--health", "192.0.2.1:0", "--proxy", "{}/p"],
        "--health: 192.0.2.1:0 cannot be listened on",
    ),
    "a host that is none": (["--health", "no host:0", "--proxy", "{}/p"], "--health: no host:0 cannot be listened on"),
    "a host of a long name": (["--health", "a" * 70 + ":0", "--proxy", "{}/p"], "--health"),
    "once, beside a command": (["--once", "--proxy", "{}/p", "--", "true"], "--once and a command exclude each other"),
    "a program that is none": (["--proxy", "{}/p", "--", "no-such-program"], "no-such-program cannot be run"),
    "a command without dashes": (["--proxy", "{}/p", "no-such-program"], "no-such-program cannot be run"),
    "no such option": (["--proxies", "{}/p"], "--proxies"),
    "an option without its value": (["--proxy"], "--proxy"),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("token")
    return tmp_path


def failed(arguments: list[str], directory: Path, word: str, *, url: str | None = None) -> str:
    known = [] if url is None else ["--url", url]
    token = [] if "--token-file" in arguments else ["--token-file", str(directory / "token")]
    before = sorted(directory.rglob("*"))
    given = [argument.replace("{}", str(directory)) for argument in arguments]
    outcome = here("sidecar", *known, *token, *given, env=environment())
    assert (outcome.status, outcome.out) == (2, b""), outcome
    (line,) = outcome.err.splitlines()
    assert line.startswith("ttscache: ")
    assert word in line
    assert sorted(directory.rglob("*")) == before
    return line


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str, directory: Path) -> None:
    arguments, word = MISTAKES[case]
    with answering(http(b"{}")) as daemon:
        failed(arguments, directory, word, url=daemon.url)
        assert daemon.asked == []


def test_no_daemon(directory: Path) -> None:
    failed(["--proxy", "{}/p"], directory, "give --url (or set TTSCACHE_URL)")


def test_no_token_file(directory: Path) -> None:
    outcome = here("sidecar", "--url", "https://localhost", "--proxy", directory / "p", env=environment())
    assert outcome.status == 2
    assert "--token-file" in outcome.err


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://192.0.2.1", "ftp://localhost", "https://", "https://user@localhost", "https://[", "//x"],
)
@pytest.mark.parametrize("once", [[], ["--once"], ["--", "true"]])
def test_a_url_that_leads_nowhere_is_found_out_by_the_first_turn(url: str, once: list[str], directory: Path) -> None:
    proxy = ["--token-file", str(directory / "token"), "--proxy", str(directory / "p")]
    mixed = [*once, *proxy] if once == ["--once"] else [*proxy, *once]
    outcome = here("sidecar", "--url", url, *mixed, env=environment())
    assert outcome.status == 2, outcome
    (line,) = outcome.err.splitlines()
    assert '"code": "url_invalid"' in line or line.startswith("ttscache: give --url")


@pytest.mark.parametrize(
    "text, address",
    [
        ("127.0.0.1:8081", ("127.0.0.1", 8081)),
        ("[::1]:0", ("::1", 0)),
        ("::1:80", ("::1", 80)),
        ("host:1", ("host", 1)),
    ],
)
def test_addresses_of_the_health_endpoint(text: str, address: tuple[str, int]) -> None:
    assert _address(text) == address


@pytest.mark.parametrize("text", ["8081", ":8081", "[]:8081"])
def test_without_a_host_it_is_all_of_them(text: str) -> None:
    host, port = _address(text)
    assert ip_address(host).is_unspecified
    assert port == 8081


def test_help_names_every_option() -> None:
    outcome = here("sidecar", "--help", env=environment())
    assert outcome.status == 0
    told = outcome.text
    for option in ("url", "ca-file", "token-file", "proxy", "bearer", "idtoken", "trust", "trust-base", "vomsdir"):
        assert f"--{option}" in told
    for option in ("mode", "owner", "min-left", "on-change", "signal", "status", "health", "once"):
        assert f"--{option}" in told


@pytest.mark.parametrize("text", ["root", "0", "0:0", "root:root", f"{os.getuid()}:{os.getgid()}", "54321987:54321987"])
def test_owners_that_can_be(text: str, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    known = ("--url", "http://127.0.0.1:1", "--token-file", directory / "token", "--proxy", directory / "p", "--once")
    outcome = here("sidecar", *known, "--owner", text, env=environment())
    assert outcome.status == 4, outcome
