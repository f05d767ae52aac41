"""WLCG Bearer Token Discovery: its order, and what ends it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ttscache.client import TokenSourceError, discover_token, read_token_file

NAME = f"bt_u{os.geteuid()}"


@pytest.fixture
def last_resort() -> Iterator[Path]:
    """The place in /tmp, where it is free."""
    path = Path("/tmp") / NAME  # noqa: S108 - the place that the specification names
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        pytest.skip(f"{path} is in use")
    os.write(descriptor, b"of tmp\n")
    os.close(descriptor)
    yield path
    path.unlink(missing_ok=True)


def test_the_order(tmp_path: Path, last_resort: Path) -> None:
    (tmp_path / NAME).write_text("of runtime\n")
    named = tmp_path / "named"
    named.write_text("  of the file\n")
    environment = {
        "BEARER_TOKEN": " of the variable\n",
        "BEARER_TOKEN_FILE": str(named),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    for name, expected in (
        ("BEARER_TOKEN", "of the variable"),
        ("BEARER_TOKEN_FILE", "of the file"),
        ("XDG_RUNTIME_DIR", "of runtime"),
        ("", "of tmp"),
    ):
        assert discover_token(environment) == expected
        environment.pop(name, None)
    assert discover_token({"BEARER_TOKEN": "", "BEARER_TOKEN_FILE": ""}) == "of tmp"
    last_resort.unlink()
    with pytest.raises(TokenSourceError, match="no bearer token"):
        discover_token({})


def test_a_place_that_is_named_and_cannot_be_read_ends_the_search(tmp_path: Path, last_resort: Path) -> None:
    with pytest.raises(TokenSourceError, match="No such file"):
        discover_token({"BEARER_TOKEN_FILE": str(tmp_path / "absent"), "XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / NAME).write_text("")
    with pytest.raises(TokenSourceError, match="is empty"):
        discover_token({"XDG_RUNTIME_DIR": str(tmp_path)})


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another")
def test_a_file_of_another_users_in_a_shared_place(tmp_path: Path) -> None:
    path = tmp_path / "planted"
    path.write_text("planted")
    os.chown(path, 4242, 4242)
    with pytest.raises(TokenSourceError, match="another user"):
        read_token_file(path, ours_only=True)


def test_files_that_hold_no_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content in (b"", b" \n\t", b"x" * 70_000):
        path.write_bytes(content)
        with pytest.raises(TokenSourceError) as raised:
            read_token_file(path)
        assert "xxx" not in str(raised.value)
    with pytest.raises(TokenSourceError):
        read_token_file(tmp_path)
