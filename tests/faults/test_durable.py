"""Files that are whole or not there, struck at every step of their writing."""

import os
import signal
import stat
from pathlib import Path

import pytest

from tests.faults.striking import Program
from tests.tools.programs import need
from ttscache.durable import write_atomically

OLD, NEW = b"old" * 1000, b"new" * 2000
# all that write_atomically does, in its order
STEPS = [
    ("openat", 1), ("openat", 2), ("fchmod", 1), ("write", 1), ("fsync", 1),
    ("renameat", 1), ("close", 1), ("fsync", 2), ("close", 2),
]  # fmt: skip
WRITER = Program(
    "from ttscache.durable import write_atomically",
    f"try:\n    write_atomically(Path(sys.argv[1]), {NEW!r}, mode=0o640)\n"
    "except OSError as error:\n    os.write(1, error.strerror.encode()); os._exit(9)",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    need("strace")
    file = tmp_path / "file"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_the_steps_are_all_there_are(path: Path) -> None:
    assert WRITER.calls({name for name, _ in STEPS}, path) == STEPS
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{step[1]}")
def test_killed_at_any_step(path: Path, step: tuple[str, int]) -> None:
    _, code = WRITER.struck(step, "signal=KILL", path)
    assert code == -signal.SIGKILL
    assert path.read_bytes() == (NEW if STEPS.index(step) > STEPS.index(("renameat", 1)) else OLD)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) in {0o600, 0o640}
    # what a killed writer leaves is in nobody's way
    write_atomically(path, b"next")
    assert path.read_bytes() == b"next"


@pytest.mark.parametrize(
    "step, error, said",
    [
        (("openat", 2), "ENOSPC", "No space left on device"),
        (("openat", 2), "EROFS", "Read-only file system"),
        (("fchmod", 1), "EPERM", "Operation not permitted"),
        (("write", 1), "ENOSPC", "No space left on device"),
        (("write", 1), "EIO", "Input/output error"),
        (("fsync", 1), "EIO", "Input/output error"),
        (("renameat", 1), "EIO", "Input/output error"),
    ],
)
def test_an_error_leaves_the_old_file_and_nothing_else(
    path: Path, step: tuple[str, int], error: str, said: str
) -> None:
    assert WRITER.struck(step, f"error={error}", path) == (said, 9)
    assert path.read_bytes() == OLD
    assert names(path) == {path.name}


def test_a_directory_that_cannot_be_flushed_is_told(path: Path) -> None:
    assert WRITER.struck(("fsync", 2), "error=EIO", path) == ("Input/output error", 9)
    assert path.read_bytes() == NEW


def test_space_that_runs_out_after_a_short_write(tmp_path: Path) -> None:
    """A real limit: the first write is cut short, the next one refused."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    limited = Program(
        "import resource\nfrom ttscache.durable import write_atomically\n"
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))",
        f"try:\n    write_atomically(Path(sys.argv[1]), {NEW!r})\nexcept OSError:\n    os._exit(9)",
    )
    assert limited.run(path) == ("", 9)
    assert path.read_bytes() == OLD
    assert names(path) == {"file"}


def test_a_link_is_replaced_and_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    write_atomically(link, NEW)
    assert not link.is_symlink()
    assert (link.read_bytes(), path.read_bytes()) == (NEW, OLD)


def test_a_planted_link_of_the_temporary_name_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    planted = path.with_name(f".{path.name}.guessed")
    planted.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_atomically(path, NEW)
    assert victim.read_bytes() == b"precious"
    assert path.read_bytes() == OLD
    assert planted.is_symlink()


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_mode_is_not_left_to_the_umask(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        write_atomically(path, NEW, mode=0o644)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "file", NEW)


def test_a_very_long_name(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), NEW)
    assert names(tmp_path / "x") == {"n" * 255}
