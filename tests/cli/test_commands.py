"""The other commands: help, inspect, explain, ca, config, sandbox, completion."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from proxy_gen.credential import Credential
from tests.cli.test_exchange import failed, good
from tests.proxy_gen.corpus_maker import CORPUS
from tests.tools import openssl
from tests.tools.daemons import COMMAND, Daemon, Outcome, change, here, ttscache
from tests.tools.minting import DAY, authority, end_entity
from tests.tools.programs import at_clock, environment, run
from ttscache.cli.main import cli as root
from ttscache.cli.main import run as run_here
from ttscache.sandbox.site import Site

Cli = Callable[..., Outcome]


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from _commands(sub, (*path, name))


@pytest.mark.parametrize("path", list(_commands(root)), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here([*path, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Usage: {' '.join(('ttscache', *path))} ")
    assert max(map(len, told.splitlines())) <= 100


def test_mistaken_commands() -> None:
    failed(here("exchnage"), 2, "exchnage")
    failed(here("--unknown"), 2, "--unknown")
    failed(here("ca", "show"), 2, "--config")
    failed(here("config", "check"), 2, "FILE")
    assert good(ttscache("--version")).text.startswith("ttscache ")


def test_completion() -> None:
    script = good(ttscache(env=environment(_TTSCACHE_COMPLETE="bash_source"))).text
    assert "_TTSCACHE_COMPLETE=bash_complete" in script
    words = environment(_TTSCACHE_COMPLETE="bash_complete", COMP_WORDS="ttscache ex", COMP_CWORD="1")
    assert {"plain,exchange", "plain,explain"} <= set(ttscache(env=words).text.splitlines())


@pytest.fixture
def proxy(cli: Cli, token: Path, tmp_path: Path) -> Path:
    good(cli("exchange", "--token-file", token, "--profile", "short"))
    return tmp_path / "proxy"


def test_inspect_tells_what_voms_proxy_info_tells(cli: Cli, proxy: Path) -> None:
    told = good(cli("inspect", proxy)).text
    for name in ("subject", "issuer", "identity", "type", "strength", "path", "timeleft"):
        assert any(line.startswith(f"{name:<11} : ") for line in told.splitlines()), name
    assert "RFC 3820 full proxy" in told
    assert "RSA 2048" in told
    assert "verified    : yes, by /DC=org/DC=ttscache/O=sandbox/CN=sandbox CA" in told
    document = good(cli("inspect", proxy, "--output", "json")).json
    assert document["valid"] is document["verified"] is document["private_key"] is True
    assert document["subject"] == openssl.subject(proxy.read_bytes())
    assert document["identity"] == document["chain"][1]["subject"]
    assert [entry["type"] for entry in document["chain"]] == ["RFC 3820 full proxy", "end-entity certificate"]
    assert 0 < document["seconds_left"] <= 600
    assert "PRIVATE" not in told + json.dumps(document)


def test_inspect_says_when_nothing_was_verified(proxy: Path) -> None:
    told = good(here("inspect", proxy))
    assert "verified    : no, no trust directory was given" in told.text


def test_inspect_refuses_what_is_invalid(cli: Cli, proxy: Path, tmp_path: Path, daemon: Daemon) -> None:
    whole = proxy.read_bytes()
    leaf, end_entity_pem = openssl.certificates(whole)
    foreign = end_entity(authority("/DC=org/CN=foreign"), "/DC=org/CN=jane").to_pem()
    flipped = bytearray(leaf)
    middle = len(leaf) - 60
    flipped[middle] = ord("A") if flipped[middle] != ord("A") else ord("B")
    files = {
        "tampered": bytes(flipped) + end_entity_pem,
        "untrusted": foreign,
        "without its end entity": leaf,
        "in another order": end_entity_pem + leaf,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        for arguments in ((), ("--output", "json")):
            outcome = cli("inspect", tmp_path / name, *arguments)
            assert (outcome.status, outcome.err.count("\n") <= 1) == (5, True), (name, outcome)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cli("inspect", proxy, "--certdir", empty).status == 5
    failed(cli("inspect", proxy, "--certdir", tmp_path / "absent"), 2, "absent")


def test_inspect_asks_the_trust_directory(cli: Cli, proxy: Path, tmp_path: Path, daemon: Daemon) -> None:
    good(cli("inspect", proxy, "--require-crls"))
    failed(here("inspect", proxy, "--require-crls"), 2, "--certdir")
    directory = tmp_path / "certificates"

    def reason(without: str, *arguments: str) -> str | None:
        shutil.copytree(daemon.site.certificates, directory, ignore=shutil.ignore_patterns(without))
        outcome = cli("inspect", proxy, "--certdir", directory, "--output", "json", *arguments)
        shutil.rmtree(directory)
        document = outcome.json
        assert outcome.status == (0 if document["valid"] else 5)
        told = document["reason"]
        assert told is None or isinstance(told, str)
        return told

    assert reason("*.r0") is None
    assert str(reason("*.r0", "--require-crls")).startswith("crl_missing at depth 1: ")
    assert str(reason("*.signing_policy")).startswith("signing_policy_missing at depth 1: ")


def test_inspect_refuses_what_cannot_be_parsed(cli: Cli, proxy: Path, tmp_path: Path) -> None:
    whole = proxy.read_bytes()
    encrypted = whole.replace(b"RSA PRIVATE KEY-----", b"ENCRYPTED PRIVATE KEY-----")
    for content in (b"", b"garbage", bytes(range(256)), whole[:-50], whole + whole, encrypted, b"x" * 300_000):
        file = tmp_path / "spoiled"
        file.write_bytes(content)
        failed(cli("inspect", file), 5)
    failed(cli("inspect", tmp_path / "absent"), 5, "No such file")


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_inspect_of_bad_input_is_one_line_or_a_report(tmp_path: Path) -> None:
    for file in CORPUS.glob("*.pem"):
        outcome = here("inspect", file)
        assert outcome.status in {0, 5}, (file, outcome)
        assert len(outcome.err.splitlines()) <= 1, (file, outcome)


@pytest.mark.parametrize("offset, word", [(timedelta(days=2), "expired"), (timedelta(days=-2), "not_yet_valid")])
def test_inspect_at_another_time(proxy: Path, daemon: Daemon, offset: timedelta, word: str) -> None:
    told = run(at_clock(offset, [COMMAND, "inspect", proxy]), env=environment())
    assert not told
    assert word in told.text
    verified = run(at_clock(offset, [COMMAND, "inspect", proxy, "--certdir", daemon.site.certificates]))
    assert not verified


def test_inspect_prints_nothing_that_steers_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "evil\x1b[31m"
    file.write_bytes(end_entity(authority("/DC=org/CN=ca"), "/DC=org/CN=jane", lifetime=DAY).to_pem())
    assert b"\x1b" not in here("inspect", file).out
    assert "\x1b" not in here("inspect", tmp_path / "absent\x1b[31m").err


def test_explain_by_the_daemon_and_without(cli: Cli, token: Path, daemon: Daemon, tmp_path: Path) -> None:
    for arguments in ((), ("-c", daemon.site.configuration)):
        told = good(cli("explain", "--token-file", token, *arguments)).text
        assert "+ rule production: every condition holds" in told
        assert "account  : cmsprod" in told
        answer = good(cli("explain", "--token-file", token, "--output", "json", *arguments)).json
        assert answer["decision"]["rule"] == "production"
    nobody = tmp_path / "nobody"
    outcome = ttscache("sandbox", "token", "--dir", daemon.site.directory, "--scope", "openid profile")
    nobody.write_bytes(good(outcome).out)
    refused = cli("explain", "--token-file", nobody)
    assert refused.status == 3
    assert "- rule users: " in refused.text
    assert "refused  : mapping_refused" in refused.text
    nobody.write_text("garbage")
    failed(cli("explain", "--token-file", nobody), 3, "token_malformed")
    failed(here("explain", "--token-file", token), 2, "--url")


def test_explain_claims(daemon: Daemon, tmp_path: Path) -> None:
    claims, configuration = tmp_path / "claims.json", daemon.site.configuration
    issuer = daemon.ready["iam_url"]
    asked = ("explain", "--claims", claims, "-c", configuration)

    def told(document: object, *arguments: str) -> Outcome:
        claims.write_text(json.dumps(document))
        return here(*asked, *arguments)

    joe = {"iss": issuer, "sub": "s", "preferred_username": "joe", "wlcg.groups": ["/cms"]}
    text = good(told(joe)).text
    assert "- rule production: " in text
    assert "dn       : /DC=org/DC=ttscache/O=sandbox/OU=people/CN=joe/CN=u-s" in text
    assert good(told(joe, "--output", "json")).json["decision"]["account"] == "joe"
    refused = told({**joe, "preferred_username": "joe/CN=x"})
    assert refused.status == 3
    assert "preferred_username" in refused.text
    assert b"\x1b" not in told({**joe, "wlcg.groups": ["/cms", "/\x1b[31m\nforged"]}).out
    failed(told({**joe, "iss": issuer + "/"}), 2, "iss")
    failed(told([]), 2, "claims.json")
    failed(told({**joe, "sub": 5}), 3, "token_malformed")
    claims.write_text("{")
    failed(here(*asked), 2, "claims.json")
    claims.unlink()
    failed(here(*asked), 2, "No such file")
    failed(here("explain", "--claims", claims, "--url", daemon.web.url), 2, "-c FILE")


def test_the_ca_from_its_making_to_its_export(daemon: Daemon, tmp_path: Path, token: Path) -> None:
    site = Site(tmp_path / "site")
    shutil.copytree(daemon.site.directory, site.directory, ignore=shutil.ignore_patterns("state.db*", "ca"))
    configuration, trust = ("-c", site.configuration), tmp_path / "trust"
    failed(here("ca", "show", *configuration), 2, "ca init")
    failed(here("ca", "export", *configuration, trust), 2, "ca init")
    made = good(here("ca", "init", *configuration, "--output", "json")).json
    failed(here("ca", "init", *configuration), 2, "already")
    shown = good(here("ca", "show", *configuration, "--output", "json")).json
    assert shown == {**made, "others": []}
    assert shown["subject"] == "/DC=org/DC=ttscache/O=sandbox/CN=sandbox CA"
    assert shown["signs"] == [
        "/DC=org/DC=ttscache/O=sandbox/OU=people/*",
        "/DC=org/DC=ttscache/O=sandbox/OU=production/*",
    ]
    assert f"sha256     : {shown['sha256']}" in good(here("ca", "show", *configuration)).text
    good(here("exchange", *configuration, "--token-file", token, "-o", tmp_path / "proxy"))
    good(here("ca", "export", *configuration, trust))
    assert openssl.verify((tmp_path / "proxy").read_bytes(), trust, strict=True, crl_check=True)
    good(here("inspect", tmp_path / "proxy", "--certdir", trust))
    assert not any(b"PRIVATE" in file.read_bytes() for file in trust.iterdir())
    (site.directory / "ca/ca.key").chmod(0o644)
    failed(here("ca", "show", *configuration), 2, "chmod 600")


def test_config_commands(daemon: Daemon, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    shutil.copytree(daemon.site.directory, site.directory)
    assert "1 issuer(s), 2 mapping rule(s), 5 profile(s)" in good(here("config", "check", site.configuration)).text
    shown = good(here("config", "show", site.configuration, "--output", "json")).json
    assert shown["server"]["deadline"] == "15s"
    as_yaml = good(here("config", "show", site.configuration)).text
    assert "deadline: 15s" in as_yaml
    assert (site.directory / "client-secret").read_text() not in as_yaml
    assert good(here("config", "schema")).json["title"] == "ttscache configuration"
    change(site, lambda document: document["server"].update(dedline="1s", deadline="x"))
    wrong = here("config", "check", site.configuration)
    assert wrong.status == 2
    assert len(wrong.err.splitlines()) == 2
    assert all(line.startswith(f"ttscache: {site.configuration}:") for line in wrong.err.splitlines())
    assert here("config", "show", site.configuration).err == wrong.err
    failed(here("config", "check", tmp_path / "absent"), 2, "cannot be read")
    failed(here("serve", "-c", tmp_path / "absent"), 2, "cannot be read")


def test_serve_says_why_it_does_not_start(daemon: Daemon, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    shutil.copytree(daemon.site.directory, site.directory, ignore=shutil.ignore_patterns("state.db*"))
    (site.directory / "state.db").mkdir()
    failed(ttscache("serve", "-c", site.configuration), 4, "store_unavailable")
    failed(ttscache("serve", "-c", site.configuration, "--log-level", "loud"), 2, "--log-level")


def test_what_the_sandbox_writes(daemon: Daemon, tmp_path: Path) -> None:
    directory = daemon.site.directory
    assert daemon.ready == {"url": daemon.web.url, "iam_url": daemon.ready["iam_url"]}
    assert {path.name for path in directory.iterdir()} >= {
        "ttscache.yaml",
        "token",
        "env.sh",
        "certificates",
        "vomsdir",
    }
    variables = 'echo "$TTSCACHE_URL,$TTSCACHE_CA_FILE,$X509_CERT_DIR,$X509_VOMS_DIR"'
    told = run(["sh", "-c", f". {directory}/env.sh && {variables}"])
    expected = [daemon.web.url, daemon.site.server_ca, daemon.site.certificates, daemon.site.vomsdir]
    assert told.text.strip().split(",") == [str(value) for value in expected]
    for name in ("token", "seal.key", "client-secret", "iam.json", "server.key"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    assert daemon.server.output().isascii()
    assert daemon.log()


def test_sandbox_tokens(daemon: Daemon, tmp_path: Path, cli: Cli) -> None:
    asked = ("sandbox", "token", "--dir", daemon.site.directory)
    for user in ("jane", "joe", "admin"):
        fresh = good(ttscache(*asked, "--user", user)).text.strip()
        assert f"CN={user}/" in good(cli("exchange", BEARER_TOKEN=fresh)).text
    failed(here(*asked, "--user", "nobody"), 2, "jane, joe, admin")
    failed(here("sandbox", "token", "--dir", tmp_path), 2, "no sandbox")
    failed(here("sandbox"), 2, "--dir")
    accounts = json.loads(daemon.site.accounts.read_text())
    for iam_url, status in (("http://127.0.0.1:1/", 4), (accounts["iam_url"] + "sandbox/", 3)):
        (tmp_path / "iam.json").write_text(json.dumps({**accounts, "iam_url": iam_url}))
        failed(here("sandbox", "token", "--dir", tmp_path), status)


def test_the_proxy_is_what_it_says(proxy: Path) -> None:
    credential = Credential.parse(proxy.read_bytes())
    assert credential.leaf.not_valid_after_utc > datetime.now(UTC)
