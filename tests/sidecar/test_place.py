"""The way to a directory."""

import errno
import os
from pathlib import Path

import pytest

from ttscache.sidecar.place import UnsafePlaceError, open_directory, trusted_users

OURS = trusted_users(None)


def opened(path: Path) -> tuple[int, int]:
    """Return which directory is opened by a path."""
    descriptor = open_directory(path, OURS)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return status.st_dev, status.st_ino


def inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Directories a/b/c and d, a file, and links of all kinds between them."""
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "d").mkdir()
    (tmp_path / "file").touch()
    for name, target in (
        ("to_b", "a/b"),
        ("to_to_b", "./to_b"),
        ("a/b/up", "../../d"),
        ("a/b/c/far_up", "../../../../../../../../../../../.."),
        ("d/absolute", str(tmp_path / "a//b/./c")),
        ("d/root", "/"),
        ("d/here", "."),
        ("to_file", "file"),
        ("dangling", "nowhere"),
        ("self", "self"),
        ("ping", "pong"),
        ("pong", "ping"),
    ):
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "a/b/c", "to_b", "to_b/c", "to_to_b/c", "a/b/up", "a/b/up/absolute", "to_b/up/../a", "to_b/..",
        "d/here/here/absolute/..", "a/../a/./b//c/..", "a/b/c/far_up", "d/root", "d/root/..", "d/absolute/far_up",
    ],
)  # fmt: skip
def test_the_way_is_the_systems(tree: Path, path: str) -> None:
    assert opened(tree / path) == inode(tree / path)


def test_the_way_from_here(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "a")
    assert opened(Path("b/up")) == inode(tree / "d")
    assert opened(Path("../to_b/c/..")) == inode(tree / "a/b")
    assert opened(Path()) == inode(tree / "a")
    assert opened(Path("/")) == inode(Path("/"))


@pytest.mark.parametrize(
    "path, number",
    [
        ("nowhere", errno.ENOENT), ("a/nowhere/..", errno.ENOENT), ("dangling", errno.ENOENT),
        ("file", errno.ENOTDIR), ("file/..", errno.ENOTDIR), ("to_file", errno.ENOTDIR), ("to_file/x", errno.ENOTDIR),
        ("self", errno.ELOOP), ("ping", errno.ELOOP), ("pong/..", errno.ELOOP), ("n" * 256, errno.ENAMETOOLONG),
    ],
)  # fmt: skip
def test_ways_that_lead_nowhere(tree: Path, path: str, number: int) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for open_it in (opened, lambda path: os.open(path, os.O_RDONLY | os.O_DIRECTORY)):
        with pytest.raises(OSError, match=rf"Errno {number}\b"):
            open_it(tree / path)
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("links", [40, 41])
def test_as_many_links_as_the_system_follows(tmp_path: Path, links: int) -> None:
    (tmp_path / "0").mkdir()
    for number in range(links):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    last = tmp_path / str(links)
    if links > 40:
        with pytest.raises(OSError, match=f"Errno {errno.ELOOP}"):
            opened(last)
    else:
        assert opened(last) == inode(tmp_path / "0")


def test_users_that_are_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(UnsafePlaceError) as raised:
        open_directory(tmp_path, frozenset())
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)
