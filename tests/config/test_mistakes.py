"""Every mistake at once, each with its line; never a secret, never another exception."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ttscache.config.load import load
from ttscache.errors import ConfigurationError
from ttscache.sandbox.site import Site

Write = Callable[[object], Path]


def mistakes(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        load(path)
    assert all("\n" not in mistake for mistake in raised.value.mistakes)
    return raised.value.mistakes


def put(document: Any, path: str, value: object) -> None:  # noqa: ANN401 - YAML
    *above, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in above:
        document = document[part]
    document[last] = value


def line_of(path: Path, key: str, occurrence: int = 0) -> int:
    lines = [number for number, line in enumerate(path.read_text().splitlines(), 1) if key in line]
    return lines[occurrence]


def test_the_sandbox_configuration_is_good(site: Site) -> None:
    assert load(site.configuration).profiles["pilot"].max_lifetime == 86400


def test_every_mistake_is_told_with_its_line_in_their_order(write: Write, document: Any) -> None:  # noqa: ANN401
    put(document, "server.listen", "nowhere")
    put(document, "server.dedline", "15s")
    put(document, "issuers.0.token_profile", "wlgc")
    put(document, "issuers.0.leeway", "6m")
    put(document, "mapping.0.profiles", ["pilott"])
    put(document, "mapping.1.when.issuer", "nobody")
    put(document, "profiles.short.min_lifetime", "2h")
    put(document, "store.stale_for", "5 minutes")
    del document["authority"]["subject"]
    path = write(document)
    told = mistakes(path)
    expected = {
        "server.listen": "listen:",
        "server.dedline": "dedline",
        "issuers[0].token_profile": "token_profile",
        "mapping[0].profiles[0]": "pilott",
        "mapping[1].when.issuer": "nobody",
        "profiles.short": "  short:",
        "store.stale_for": "stale_for",
        "authority": "authority:",
    }
    for where, key in expected.items():
        assert any(f"{path}:{line_of(path, key)}: {where}: " in mistake for mistake in told), (where, told)
    numbers = [int(mistake.removeprefix(f"{path}:").partition(":")[0]) for mistake in told]
    assert numbers == sorted(numbers)
    assert len(told) == len(set(told))
    hint = next(mistake for mistake in told if "dedline" in mistake)
    assert "did you mean 'deadline'?" in hint


@pytest.mark.parametrize(
    "path, value, told",
    [
        ("server.listen", "0.0.0.0:8443", None),
        ("server.listen", "127.0.0.1:65536", "HOST:PORT"),
        ("server.listen", "unix:", "unix:PATH"),
        ("server.listen", "unix:/" + "x" * 107, "unix:PATH"),
        ("server.deadline", "0s", "at least 1s"),
        ("server.deadline", 15, "30s, 10m, 24h, 7d"),
        ("server.deadline", "15", "30s, 10m, 24h, 7d"),
        ("server.deadline", "1.5h", "30s, 10m, 24h, 7d"),
        ("server.deadline", "-1s", "30s, 10m, 24h, 7d"),
        ("server.deadline", "10m\n", "line end"),
        ("server.deadline", "9999999999s", "30s, 10m, 24h, 7d"),
        ("server.public_url", "http://site.example", "https"),
        ("server.public_url", "https://user:pw@site.example", "user name"),
        ("server.tls.cert", "absent.pem", "server.tls.cert"),
        ("server.tls.key", "seal.key", "server.tls.cert"),
        ("issuers", [], "must not be empty"),
        ("issuers.0.url", "http://iam.example/", "https"),
        ("issuers.0.url", "ftp://iam.example/", "https"),
        ("issuers.0.name", "a name", "must match"),
        ("issuers.0.audiences", [], "must not be empty"),
        ("issuers.0.algorithms", ["HS256"], "RS256"),
        ("issuers.0.algorithms", ["none"], "RS256"),
        ("issuers.0.leeway", "6m", "at most 5m"),
        ("issuers.0.ca_file", "absent.pem", "issuers[0].ca_file"),
        ("issuers.0.ca_file", "ttscache.yaml", "issuers[0].ca_file"),
        ("issuers.0.exchange.auth_method", "private_key_jwt", "client_key"),
        ("issuers.0.exchange.scopes", ['a"b'], "must match"),
        ("issuers.0.session", {"confirm": "7h"}, "grace"),
        ("issuers.0.session", {"absolute": "30m"}, "absolute"),
        ("mapping.0.dn", "CN=jane", "slash"),
        ("mapping.0.dn", "/CN={", "partner"),
        ("mapping.0.dn", "/CN={a b}", "names no claim"),
        ("mapping.0.dn", "/XX=a", "mapping[0].dn"),
        ("mapping.0.when", {"group": ["/cms"]}, "did you mean 'groups'?"),
        ("mapping.0.fqans.0", "cms", "not of the form"),
        ("mapping.0.name", "users", "already"),
        ("mapping.0.profiles", [], "must not be empty"),
        ("profiles", {}, "must not be empty"),
        ("profiles.pilot.lifetime", "48h", "min_lifetime <= lifetime <= max_lifetime"),
        ("profiles.pilot.type", "voms", "x509-proxy"),
        ("profiles.pilot.key", "rsa-1024", "rsa-2048"),
        ("authority.subject", "nothing", "authority"),
        ("authority.subject", "/DC=org/CN=the 'CA'", "signing policy"),
        ("mapping.0.dn", "/DC=org/O=a*/CN={sub}", "signing policy"),
        ("authority.lifetime", "10m", "at least 3600s"),
        ("store.url", "sqlite:///", "sqlite:///PATH"),
        ("store.url", "postgres://x", "sqlite:///PATH"),
        ("store.url", "sqlite:////nowhere/at/all.db", "does not exist"),
        ("store.sealing_keys", [], "sealing_keys"),
        ("store.sealing_keys.0.file", "server.key", None),
        ("store.sealing_keys.0.file", "\ud800", "control character"),
        ("server.tls.key", "a\0b", "control character"),
    ],
)
def test_one_mistake(write: Write, document: Any, path: str, value: object, told: str | None) -> None:  # noqa: ANN401
    put(document, path, value)
    if path == "server.listen" and told is None:
        del document["server"]["tls"]
        told = "loopback"
    assert any((told or "exactly 32 bytes") in mistake for mistake in mistakes(write(document)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# nothing\n",
        b"--- ~\n",
        b"\xff\xfe\xfd",
        b"a: \xe9\n",
        b"a: [\n",
        b"a: b: c\n",
        b"\tx: 1\n",
        b"a: *nowhere\n",
        b"just text\n",
        b"- a\n- b\n",
        b"---\na: 1\n---\nb: 2\n",
        b"a: &x [*x]\n",
        b"[" * 1500,
        b"{" * 1500,
        b"a: !!bool maybe\n",
        b'a: !!int ""\n',
        b'a: !!float ""\n',
        b"a: " + b"1:" * 400 + b"1.5\n",
        b"a: " + b"9" * 5000 + b"\n",
        b"a: 2001-02-30\n",
        b"a: !!python/object/apply:os.system [id]\n",
        b"? [a]\n: 1\n",
        b"server: {<<: {listen: x}}\n",
        b"x: " + b"a" * 1024 * 1024,
    ],
)
def test_what_is_no_configuration(write: Write, text: bytes) -> None:
    assert mistakes(write(text))


def test_a_bomb_of_aliases_is_not_unfolded(write: Write) -> None:
    levels = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)]
    (told,) = mistakes(write(b"\n".join(levels)))
    assert "100000 parts" in told


def test_keys_that_are_there_twice(write: Write, site: Site) -> None:
    text = site.configuration.read_text() + "store: {url: 'memory:'}\n"
    path = write(text.encode())
    assert f"{path}:{len(text.splitlines())}: store: the key is there twice" in mistakes(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(tmp_path / "absent.yaml")[0]
    assert "cannot be read" in mistakes(tmp_path)[0]


@pytest.mark.parametrize(
    "inline",
    [
        "hunter2-hunter2",
        "'hunter2-hunter2'",
        "{hunter2-hunter2}",
        "{hunter2-hunter2: x}",
        "{file: a, hunter2-hunter2: b}",
        "[hunter2-hunter2]",
        "*hunter2-hunter2",
        "!hunter2-hunter2!x y",
        "&hunter2-hunter2 &hunter2-hunter2 x",
        "!!binary hunter2-hunter2",
        "'hunter2-hunter2",
        "{env: hunter2-hunter2, file: hunter2-hunter2}",
    ],
)
def test_an_inline_secret_is_refused_and_not_repeated(write: Write, site: Site, inline: str) -> None:
    lines = site.configuration.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if "client_secret:" in line)
    lines[number : number + 2] = [lines[number].partition(":")[0] + f": {inline}"]
    told = mistakes(write("\n".join(lines).encode()))
    assert not any("hunter2" in mistake for mistake in told), told


def test_names_in_messages_are_those_of_the_file(write: Write, document: Any) -> None:  # noqa: ANN401
    document["mapping"].append({"name": "third"})
    told = mistakes(write(document))
    assert {mistake.rpartition(": ")[2] for mistake in told} >= {
        "the key 'when' is missing",
        "the key 'profiles' is missing",
    }
    assert yaml.safe_load(write(document).read_text()) == document
