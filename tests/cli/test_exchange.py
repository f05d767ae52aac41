"""A token in, a proxy out: with the daemon and without, kept or fetched anew, and what is left when it fails."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.pci import ProxyKind, proxy_cert_info
from tests.client.misbehaving import answering, http
from tests.tools import openssl
from tests.tools.daemons import Daemon, Outcome, change, here, ttscache
from tests.tools.programs import environment, run
from ttscache.sandbox.site import Site

Cli = Callable[..., Outcome]


def good(outcome: Outcome) -> Outcome:
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return outcome


def failed(outcome: Outcome, status: int, *words: str) -> Outcome:
    assert outcome.status == status, outcome
    (line,) = outcome.err.splitlines()
    assert line.startswith("ttscache: ")
    assert all(word in line for word in words), line
    return outcome


def kind(file: Path) -> ProxyKind | None:
    info = proxy_cert_info(Credential.parse(file.read_bytes()).leaf)
    assert info is not None
    return info.kind


def test_a_proxy_that_openssl_verifies(cli: Cli, token: Path, tmp_path: Path, daemon: Daemon) -> None:
    told = good(cli("exchange", "--token-file", token))
    proxy = tmp_path / "proxy"
    assert told.text.startswith(f"wrote {proxy}: /DC=org/DC=ttscache/O=sandbox/OU=production/CN=jane/")
    assert stat.S_IMODE(proxy.stat().st_mode) == 0o600
    assert Credential.parse(proxy.read_bytes()).key is not None
    assert openssl.verify(proxy.read_bytes(), daemon.site.certificates, strict=True, crl_check=True)
    assert list(tmp_path.iterdir()) == [proxy], "no temporary file is left"


def test_the_key_never_travels_unless_the_daemon_makes_it(token: Path, tmp_path: Path, daemon: Daemon) -> None:
    whoami = daemon.web.get("/v1/whoami", token.read_text().strip())
    for arguments, made_there in ((["--server-key"], True), ([], False)):
        with answering(*([] if made_there else [http(whoami.body)]), http(b"{}")) as recorder:
            ttscache("exchange", "--url", recorder.url, "--token-file", token, "-o", tmp_path / "p", *arguments)
        asked = json.loads(recorder.asked[-1].partition(b"\r\n\r\n")[2])
        assert ("csr" in asked) is not made_there
        assert not any(b"PRIVATE" in request for request in recorder.asked)
        if not made_there:
            answer = daemon.web.post("/v1/proxy", asked, token.read_text().strip())
            assert "PRIVATE" not in answer.body.decode()


def test_options_reach_the_daemon(cli: Cli, token: Path, tmp_path: Path) -> None:
    proxy = tmp_path / "proxy"
    asked = ("exchange", "--token-file", token, "--profile", "short", "--lifetime", "30m", "--limited")
    for extra in ((), ("--server-key",)):
        told = good(cli(*asked, *extra, "--output", "json")).json
        assert told["file"] == str(proxy)
        assert (told["profile"], told["reused"], told["account"]) == ("short", False, "cmsprod")
        assert kind(proxy) is ProxyKind.LIMITED
    good(cli("exchange", "--token-file", token, TTSCACHE_PROFILE="limited"))
    assert kind(proxy) is ProxyKind.LIMITED
    good(cli("exchange", "--token-file", token, "--profile", "limited", "--full"))
    assert kind(proxy) is ProxyKind.FULL


def test_standard_output_is_nothing_but_the_proxy(cli: Cli, token: Path, tmp_path: Path) -> None:
    told = good(cli("exchange", "--token-file", token, "-o", "-"))
    assert Credential.parse(told.out).key is not None
    assert told.text.startswith("-----BEGIN CERTIFICATE-----")
    assert list(tmp_path.iterdir()) == []


def test_the_default_place(daemon: Daemon, token: Path) -> None:
    place = Path(f"/tmp/x509up_u{os.geteuid()}")  # noqa: S108 - where all look for it
    if place.exists():
        pytest.skip(f"{place} is in use")
    known = environment(TTSCACHE_URL=daemon.web.url, TTSCACHE_CA_FILE=daemon.site.server_ca)
    try:
        good(ttscache("exchange", "--token-file", token, env=known))
        assert Credential.parse(place.read_bytes()).key is not None
    finally:
        place.unlink(missing_ok=True)


def test_tokens_are_found(cli: Cli, token: Path, tmp_path: Path) -> None:
    good(cli("exchange", BEARER_TOKEN=token.read_text()))
    good(cli("exchange", BEARER_TOKEN_FILE=str(token)))
    shutil.copy(token, tmp_path / f"bt_u{os.geteuid()}")
    good(cli("exchange", XDG_RUNTIME_DIR=str(tmp_path)))


def test_a_file_that_fits_is_kept(cli: Cli, token: Path, tmp_path: Path, daemon: Daemon) -> None:
    proxy = tmp_path / "proxy"
    asked = ("exchange", "--token-file", token, "--min-left", "1h", "--output", "json")
    joe = tmp_path / "joe"
    joe.write_bytes(ttscache("sandbox", "token", "--dir", daemon.site.directory, "--user", "joe").out)

    def reused(*arguments: str | Path) -> bool:
        before = proxy.read_bytes()
        answer = good(cli(*asked, *arguments)).json
        assert answer["reused"] is (proxy.read_bytes() == before)
        return bool(answer["reused"])

    assert good(cli(*asked)).json["reused"] is False
    assert reused()
    assert reused("--server-key")
    assert reused("--full")
    assert not reused("--min-left", "13h"), "it does not live so long"
    assert not reused("--limited")
    assert not reused(), "it is limited"
    assert reused()
    assert not reused("--token-file", joe), "it is another's"
    assert not reused(), "it is joe's"
    failed(cli(*asked, "--profile", "nothing"), 3, "profile_unknown")
    failed(cli(*asked, "--fqan", "/cms/Role=admin"), 3, "fqan_refused")
    proxy.chmod(0o644)
    assert not reused() or stat.S_IMODE(proxy.stat().st_mode) == 0o600
    for content in (b"", b"garbage", proxy.read_bytes()[:-40], openssl.certificates(proxy.read_bytes())[0]):
        proxy.write_bytes(content)
        assert not reused(), content


def test_without_a_daemon(token: Path, tmp_path: Path, daemon: Daemon) -> None:
    site = Site(tmp_path / "site")
    shutil.copytree(daemon.site.directory, site.directory, ignore=shutil.ignore_patterns("state.db*"))
    asked = ("exchange", "-c", site.configuration, "--token-file", token, "-o", tmp_path / "proxy")
    good(ttscache(*asked))
    assert openssl.verify((tmp_path / "proxy").read_bytes(), daemon.site.certificates, crl_check=True)
    kept = good(here(*asked, "--min-left", "1h", "--output", "json"))
    assert kept.json["reused"] is True
    good(here(*asked, "--server-key"))
    failed(here(*asked, "--profile", "nothing"), 3, "profile_unknown")
    change(site, lambda document: document["issuers"][0].update(url="http://127.0.0.1:1/"))
    failed(here(*asked), 3, "issuer_unknown")
    change(site, lambda document: document["issuers"][0].update(token_issuer=daemon.ready["iam_url"]))
    failed(here(*asked), 4, "issuer_unreachable")
    change(site, lambda document: document["store"].update(stale_for="soon"))
    failed(here(*asked), 2, "store.stale_for", f"{site.configuration}:")


@pytest.fixture(scope="session")
def elsewheres(daemon: Daemon) -> bytes:
    """A token for another audience."""
    audience = "https://elsewhere.example"
    return good(ttscache("sandbox", "token", "--dir", daemon.site.directory, "--audience", audience)).out


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["--token-file", "/absent"], 2, ["/absent"]),
        (["--token-file", "/"], 2, []),
        ([], 2, ["no bearer token"]),
        (["--token-file", "TOKEN", "--lifetime", "soon"], 2, ["--lifetime", "--help"]),
        (["--token-file", "TOKEN", "--min-left", "1x"], 2, ["--min-left"]),
        (["--token-file", "TOKEN", "--unknown"], 2, ["--unknown"]),
        (["--token-file", "TOKEN", "extra"], 2, ["extra"]),
        (["--token-file", "TOKEN", "--url", "http://daemon.example"], 2, ["url_invalid"]),
        (["--token-file", "TOKEN", "--url", "https://[::1"], 2, ["url_invalid"]),
        (["--token-file", "TOKEN", "--ca-file", "/absent"], 2, ["ca_file_invalid"]),
        (["--token-file", "TOKEN", "-c", "/absent"], 2, ["/absent"]),
        (["--token-file", "TOKEN", "-o", "/absent/proxy"], 2, ["/absent", "does not exist"]),
        (["--token-file", "TOKEN", "-o", "/"], 1, []),
        (["--token-file", "MALFORMED"], 3, ["token_malformed"]),
        (["--token-file", "BINARY"], 3, ["token_malformed"]),
        (["--token-file", "EXPIRED"], 3, ["token_"]),
        (["--token-file", "OTHER"], 3, ["audience_mismatch"]),
        (["--token-file", "TOKEN", "--lifetime", "25h"], 3, ["lifetime_refused"]),
        (["--token-file", "TOKEN", "--lifetime", "-5"], 3, ["lifetime_refused"]),
        (["--token-file", "TOKEN", "--profile", "nothing"], 3, ["profile_unknown"]),
        (["--token-file", "TOKEN", "--profile", "limited", "--fqan", "/cms"], 3, ["fqan_refused"]),
        (["--token-file", "TOKEN", "--url", "https://127.0.0.1:1"], 4, ["unreachable", "Connection refused"]),
    ],
)
def test_exit_statuses(
    cli: Cli, token: Path, tmp_path: Path, elsewheres: bytes, arguments: list[str], status: int, words: list[str]
) -> None:
    contents = {
        "TOKEN": token.read_bytes(),
        "MALFORMED": b"hunter2-hunter2",
        "BINARY": bytes(range(256)),
        "EXPIRED": b".".join(token.read_bytes().strip().split(b".")[:2]) + b".AAAA",
        "OTHER": elsewheres,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    outcome = cli("exchange", *(str(tmp_path / part) if part in contents else part for part in arguments))
    failed(outcome, status, *words)
    assert outcome.out == b""
    assert not (tmp_path / "proxy").exists()
    assert "hunter2" not in outcome.err
    assert token.read_text()[-40:-20] not in outcome.err


def test_a_daemon_that_nobody_vouches_for(cli: Cli, token: Path, daemon: Daemon) -> None:
    failed(cli("exchange", "--token-file", token, TTSCACHE_CA_FILE="/etc/ssl/certs/ca-certificates.crt"), 4, "trusted")
    elsewhere = daemon.web.url.replace("127.0.0.1", "127.0.0.2")
    failed(cli("exchange", "--token-file", token, "--url", elsewhere), 4)
    failed(ttscache("exchange", "--token-file", token), 2, "TTSCACHE_URL")


def test_answers_that_are_none(token: Path, tmp_path: Path, daemon: Daemon) -> None:
    bearer = token.read_text().strip()
    whoami = http(daemon.web.get("/v1/whoami", bearer).body)
    other_key = http(daemon.web.call("POST", "/v1/proxy", {"Accept": "application/json"}, b"{}", bearer).body)
    proxy = tmp_path / "proxy"
    proxy.write_text("old")
    described = json.loads(daemon.web.get("/v1/whoami", bearer).body)
    broken = [{**described, "decision": {}}, {**described, "decision": {**described["decision"], "profiles": {}}}]
    cases: list[tuple[tuple[bytes, ...], int, str]] = [
        ((b"",), 4, "unreachable"),
        ((http(b"<html>"),), 1, "answer_invalid"),
        ((http(b"{}"),), 1, "answer_invalid"),
        ((whoami, http(b"{}")), 1, "answer_invalid"),
        ((whoami, whoami[: len(whoami) // 2]), 4, "unreachable"),
        ((whoami, other_key), 5, "key_mismatch"),
        *(((http(json.dumps(document).encode()),), 1, "answer_invalid") for document in broken),
    ]
    for answers, status, word in cases:
        with answering(*answers) as server:
            failed(here("exchange", "--url", server.url, "--token-file", token, "-o", proxy), status, word)
        assert proxy.read_text() == "old"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_target_that_cannot_be_written_leaves_the_old_file(cli: Cli, token: Path, tmp_path: Path, how: str) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    told = run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", mounted])
    if not told:
        pytest.skip(f"cannot mount: {told.text}")
    try:
        proxy = mounted / "proxy"
        proxy.write_text("old")
        if how == "full":
            (mounted / "filler").write_bytes(b"x" * 12288)
        else:
            assert run(["mount", "-o", "remount,ro", mounted])
        expected = "No space left" if how == "full" else "Read-only"
        failed(cli("exchange", "--token-file", token, "-o", proxy), 1, expected)
        assert proxy.read_text() == "old"
        assert {path.name for path in mounted.iterdir()} <= {"proxy", "filler"}
    finally:
        run(["umount", mounted])
