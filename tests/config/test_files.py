"""Secrets by reference: whose files are taken, and what they must hold."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.test_mistakes import mistakes, put
from tests.tools.daemons import COMMAND
from tests.tools.programs import environment, run
from ttscache.config.load import load
from ttscache.config.secrets import SecretError, SecretReference, read_secret_file
from ttscache.config.settings import LocalAuthority
from ttscache.sandbox.site import Site
from ttscache.store.sealing import SealingKey

Write = Callable[[object], Path]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o606, 0o620, 0o660, 0o602, 0o777])
@pytest.mark.parametrize("name", ["client-secret", "seal.key", "server.key"])
def test_files_that_others_may_read_or_the_group_may_write(site: Site, name: str, mode: int) -> None:
    (site.directory / name).chmod(mode)
    told = mistakes(site.configuration)
    assert any(f"{name} may be read by others or written by its group; chmod 600" in mistake for mistake in told)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_files_of_ours_alone(site: Site, mode: int) -> None:
    for name in ("client-secret", "seal.key", "server.key"):
        (site.directory / name).chmod(mode)
    assert load(site.configuration).store.sealing_keys[0].key_id == "k1"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize(
    "owner, group, good",
    [(0, 4242, True), (0, 4243, False), (4242, 4242, False)],
)
def test_group_read_passes_where_root_owns_and_the_group_is_ours(
    tmp_path_factory: pytest.TempPathFactory, owner: int, group: int, *, good: bool
) -> None:
    secret = tmp_path_factory.mktemp("mounted") / "secret"
    secret.write_text("hunter2")
    os.chown(secret, owner, group)
    secret.chmod(0o440)
    for directory in secret.parents:
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(0o711)
    # imported first: another user may not be able to read the checkout
    program = (
        "import os, pathlib, sys, ttscache.config.secrets as secrets\n"
        "os.setgroups([4242]); os.setgid(100); os.setuid(4242)\n"
        "secrets.read_secret_file(pathlib.Path(sys.argv[1]))"
    )
    told = run([COMMAND.with_name("python"), "-c", program, secret], env=environment())
    assert told.ok is good, told
    assert good or "SecretError" in told.text


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_sealing_key_is_exactly_32_bytes(site: Site, size: int) -> None:
    (site.directory / "seal.key").write_bytes(b"k" * size)
    told = mistakes(site.configuration)
    assert any("is empty" in mistake or "is not exactly 32 bytes" in mistake for mistake in told)


def test_raw_bytes_of_a_sealing_key_are_not_trimmed(site: Site) -> None:
    material = b"\n" + bytes(range(128, 158)) + b"\n"
    (site.directory / "seal.key").write_bytes(material)
    assert load(site.configuration).store.sealing_keys == (SealingKey("k1", material),)


def test_two_sealing_keys_of_one_id(site: Site, write: Write, document: Any) -> None:  # noqa: ANN401 - YAML
    document["store"]["sealing_keys"] *= 2
    assert any("two keys have one id" in mistake for mistake in mistakes(write(document)))


def test_what_a_reference_can_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    for content, expected in ((b"hunter2", "hunter2"), (b"hunter2\n", "hunter2"), (b" h\r\n", " h")):
        secret.write_bytes(content)
        secret.chmod(0o600)
        assert SecretReference.of({"file": "secret"}, tmp_path).read() == expected
    monkeypatch.setenv("PLANTED", "hunter2")
    assert SecretReference.of({"env": "PLANTED"}, tmp_path).read() == "hunter2"
    for content in (b"", b"\n", b"\xff\xfe", b"x" * 70_000):
        secret.write_bytes(content)
        with pytest.raises(SecretError) as raised:
            SecretReference.of({"file": "secret"}, tmp_path).read()
        assert "xxx" not in str(raised.value)
    monkeypatch.delenv("PLANTED")
    with pytest.raises(SecretError, match="PLANTED is not set"):
        SecretReference.of({"env": "PLANTED"}, tmp_path).read()
    with pytest.raises(SecretError):
        read_secret_file(tmp_path)
    with pytest.raises(SecretError):
        read_secret_file(tmp_path / "absent")


def test_paths_start_at_the_files_own_directory(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(site.directory)
    settings = load(Path(site.configuration.name))
    assert settings.store.path == site.directory / "state.db"
    assert isinstance(settings.authority, LocalAuthority)
    assert settings.authority.directory == site.directory / "ca"


def test_a_certificate_and_another_key(site: Site, write: Write, document: Any) -> None:  # noqa: ANN401 - YAML
    put(document, "server.tls.cert", "server-ca.pem")
    assert any("are not a PEM certificate and its unencrypted key" in told for told in mistakes(write(document)))
