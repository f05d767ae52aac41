"""A token in, a token for a service out: with the daemon and without, on standard output and in a file."""

import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.cli.test_exchange import failed, good
from tests.client.misbehaving import answering, http
from tests.tools.daemons import Daemon, LiveIam, Outcome, change, client_environment, here, make_site, serve, ttscache
from tests.tools.programs import environment
from ttscache.client import Client, ClientError
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.site import Site

XCACHE, STORAGE = "https://xcache.example", "https://storage.example"
READ, CREATE = "storage.read:/", "storage.create:/cms"
ASKED = ("exchange", "--as", "access-token")

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def iam() -> Iterator[LiveIam]:
    with LiveIam() as live:
        yield live


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, iam: LiveIam) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("tokens")
    site = make_site(directory, iam)
    change(site, _extend)
    with serve(site, directory) as running:
        yield running


def _extend(document: dict[str, Any]) -> None:
    document["server"]["deadline"] = "5s"
    document["profiles"]["storage"] = {"type": "access-token", "audiences": [XCACHE, STORAGE]}
    document["profiles"]["brief"] = {"type": "access-token", "lifetime": "10m", "audiences": [XCACHE]}
    for rule in document["mapping"]:
        rule["profiles"].append("brief")
        rule["scopes"] = [READ, CREATE]


@pytest.fixture(scope="module")
def token(daemon: Daemon, iam: LiveIam) -> Path:
    file = daemon.site.token
    file.write_text(iam.token())
    return file


@pytest.fixture(params=["url", "c"])
def either(request: pytest.FixtureRequest, daemon: Daemon, token: Path, tmp_path: Path) -> Cli:
    """Run the exchange with the daemon, and from the same configuration without it."""
    extra: tuple[str | Path, ...] = ()
    env = client_environment(daemon, X509_USER_PROXY=tmp_path / "proxy")
    if request.param == "c":
        extra = ("-c", make_site_like(daemon.site, tmp_path).configuration)
        env = environment(X509_USER_PROXY=tmp_path / "proxy")

    def run(*arguments: str | Path, **more: str) -> Outcome:
        return here(*ASKED, "--token-file", token, *extra, *arguments, env={**env, **more})

    return run


def make_site_like(site: Site, directory: Path) -> Site:
    """Return a site of the same configuration, with a state of its own."""
    made = Site(directory / "like")
    made.directory.mkdir()
    for file in site.directory.iterdir():
        if file.is_file() and not file.name.startswith("state.db"):
            (made.directory / file.name).write_bytes(file.read_bytes())
            (made.directory / file.name).chmod(stat.S_IMODE(file.stat().st_mode))
    return made


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def printed(outcome: Outcome) -> dict[str, Any]:
    """Return the claims of the token that standard output consists of."""
    (line,) = good(outcome).text.splitlines()
    return claims(line)


def test_the_token_and_nothing_else(either: Cli, iam: LiveIam, tmp_path: Path) -> None:
    told = printed(either())
    assert (told["aud"], set(told["scope"].split())) == (XCACHE, {READ, CREATE})
    assert told["sub"] == iam.config.user("jane").sub
    assert printed(either("-o", "-"))["jti"] == told["jti"], "it is cached"
    assert not (tmp_path / "proxy").exists(), "a token is no proxy"


def test_what_is_asked_for(either: Cli) -> None:
    told = printed(either("--audience", STORAGE, "--scope", READ + "cms", "--lifetime", "30m", "--profile", "storage"))
    assert (told["aud"], told["scope"]) == (STORAGE, READ + "cms")
    several = printed(either("--audience", STORAGE, "--audience", XCACHE, "--scope", READ, "--scope", CREATE))
    assert (set(several["aud"]), set(several["scope"].split())) == ({XCACHE, STORAGE}, {READ, CREATE})
    brief = good(either("--output", "json", TTSCACHE_PROFILE="brief")).json
    assert 590 < brief["expires_in"] <= 600


def test_scopes_in_one_word(either: Cli) -> None:
    """As `oidc-token` and others take them."""
    assert set(printed(either("--scope", f"{READ} {CREATE}"))["scope"].split()) == {READ, CREATE}


def test_as_json(either: Cli) -> None:
    told = good(either("--output", "json")).json
    assert set(told) == {"token", "expires_in", "scopes"}
    assert (claims(told["token"])["aud"], set(told["scopes"])) == (XCACHE, {READ, CREATE})
    assert 3500 < told["expires_in"] <= 3600


def test_in_a_file(either: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bearer"
    file.write_text("something older")
    file.chmod(0o644)
    told = good(either("-o", file)).text
    assert told.startswith(f"wrote {file}: access token for ")
    assert {READ, CREATE} <= set(told.replace(",", "").split())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = file.read_text().splitlines()
    assert claims(line)["aud"] == XCACHE
    assert line not in told
    as_json = good(either("-o", file, "--output", "json")).json
    assert set(as_json) == {"file", "not_after", "scopes"}
    assert as_json["file"] == str(file)
    ends = datetime.strptime(as_json["not_after"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert 3500 < (ends - datetime.now(UTC)).total_seconds() <= 3601
    assert [path.name for path in tmp_path.iterdir() if path.name != "like"] == ["bearer"]


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["--limited"], 2, ["are for proxies"]),
        (["--full"], 2, ["are for proxies"]),
        (["--fqan", "/cms"], 2, ["are for proxies"]),
        (["--server-key"], 2, ["are for proxies"]),
        (["--min-left", "1h"], 2, ["are for proxies"]),
        (["--as", "refresh-token"], 2, ["access-token", "condor-idtoken"]),
        (["--audience"], 2, ["--audience"]),
        (["--lifetime", "soon"], 2, ["--lifetime"]),
        (["-o", "/absent/bearer"], 2, ["/absent", "does not exist"]),
        (["-o", "/"], 1, []),
        (["--audience", "https://elsewhere.example"], 3, ["audience_refused", XCACHE]),
        (["--audience", f"{XCACHE} {STORAGE}"], 3, []),
        (["--scope", "storage.modify:/"], 3, ["scope_refused", READ]),
        (["--scope", READ, "--scope", "offline_access"], 3, ["scope_refused", "offline_access"]),
        (["--scope", f"{READ} offline_access"], 3, ["scope_refused"]),
        (["--scope", "offline_access"], 3, ["scope_refused"]),
        (["--scope", CREATE + "/../x"], 3, ["scope_refused"]),
        (["--lifetime", "25h"], 3, ["lifetime_refused"]),
        (["--lifetime", "-5"], 3, ["lifetime_refused"]),
        (["--profile", "pilot"], 3, ["request_invalid", "another type"]),
        (["--profile", "nothing"], 3, ["profile_unknown"]),
    ],
)
def test_exit_statuses(either: Cli, token: Path, arguments: list[str], status: int, words: list[str]) -> None:
    outcome = failed(either(*arguments), status, *words)
    assert outcome.out == b""
    assert token.read_text()[-40:-20] not in outcome.err


def test_audiences_and_scopes_are_of_access_tokens(daemon: Daemon, token: Path) -> None:
    env = client_environment(daemon)
    for kind in ("x509-proxy", "condor-idtoken"):
        for option in ("--audience", "--scope"):
            told = here("exchange", "--as", kind, "--token-file", token, option, XCACHE, env=env)
            failed(told, 2, "--audience and --scope are for access tokens")


def test_who_may_have_none(daemon: Daemon, iam: LiveIam) -> None:
    for bearer, words in (
        (iam.token(scope="openid profile"), "mapping_refused"),
        (iam.token(audience=XCACHE), "audience_mismatch"),
    ):
        failed(here(*ASKED, env=client_environment(daemon, BEARER_TOKEN=bearer)), 3, words)


def test_what_iam_drops_is_told(daemon: Daemon, iam: LiveIam) -> None:
    env = client_environment(daemon, BEARER_TOKEN=iam.token("joe"))
    iam.fault(Fault(grant="token_exchange", times=1))  # the one that opens the session
    iam.fault(Fault(grant="token_exchange", claims={"scope": READ}, times=1))
    assert good(here(*ASKED, "--output", "json", env=env)).json["scopes"] == [READ]


def test_as_a_process_of_its_own(daemon: Daemon, iam: LiveIam) -> None:
    env = client_environment(daemon, BEARER_TOKEN=iam.token(), PYTHONWARNINGS="error")
    assert printed(ttscache(*ASKED, env=env))["aud"] == XCACHE


def test_while_iam_does_not_answer(daemon: Daemon, iam: LiveIam, token: Path) -> None:
    env = client_environment(daemon)
    known = printed(here(*ASKED, "--token-file", token, env=env))
    iam.fault(Fault(endpoint="token", status=503, body="html"))
    try:
        assert printed(here(*ASKED, "--token-file", token, env=env))["jti"] == known["jti"]
        failed(here(*ASKED, "--token-file", token, "--scope", READ + "new", env=env), 4, "upstream_unavailable")
    finally:
        iam.clear_faults()
        daemon.wait_for_status("ok")


@pytest.mark.parametrize(
    "answer, status, word",
    [
        (b"", 4, "unreachable"),
        (http(b"<html>"), 1, "answer_invalid"),
        (http(b"{}"), 1, "answer_invalid"),
        (http(b'{"access_token": "a.b.c", "expires_in": "60", "scope": "x"}'), 1, "answer_invalid"),
        (http(b'{"access_token": "a.b.c", "expires_in": 60}'), 1, "answer_invalid"),
        (http(b'{"access_token": "a\\nb", "expires_in": 60, "scope": "x"}'), 1, "answer_invalid"),
        (http(b'{"access_token": 1, "expires_in": 60, "scope": "x"}'), 1, "answer_invalid"),
    ],
)
def test_answers_that_are_none(token: Path, tmp_path: Path, answer: bytes, status: int, word: str) -> None:
    file = tmp_path / "bearer"
    file.write_text("old")
    with answering(answer) as server:
        failed(here(*ASKED, "--url", server.url, "--token-file", token, "-o", file), status, word)
    assert file.read_text() == "old"


def test_what_the_client_asks(token: Path) -> None:
    given_out = json.dumps({"access_token": "a.b.c", "expires_in": 60, "scope": "x y"}).encode()
    with answering(http(given_out), http(given_out)) as server:
        client = Client(server.url)
        issued = client.access_token("pre.sent.ed", audiences=("a", "b"), scopes=("x", "y"), lifetime=60)
        client.access_token("pre.sent.ed")
    assert (issued.token, issued.expires_in, issued.scopes) == ("a.b.c", 60, ("x", "y"))
    assert "a.b.c" not in repr(issued)
    first, second = (request.partition(b"\r\n\r\n")[2].decode().split("&") for request in server.asked)
    assert {"audience=a", "audience=b", "scope=x+y", "lifetime=60", "subject_token=pre.sent.ed"} <= set(first)
    assert {part.partition("=")[0] for part in second} == {
        "grant_type",
        "subject_token_type",
        "requested_token_type",
        "subject_token",
    }
    with pytest.raises(ClientError):
        Client("http://127.0.0.1:1").access_token("not\nsendable")
