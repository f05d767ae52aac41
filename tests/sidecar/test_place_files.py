"""Files in a directory that others may write to: what is read there, put there, and swept away."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ttscache.durable import temporary_prefix
from ttscache.sidecar.place import Held, Place

DIGITS = "0123456789abcdef"
OLD, NEW = b"old" * 1000, b"new" * 2000
Plant = Callable[[Path, Path], object]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "kept").mkdir()
    with Place(tmp_path / "kept", 0o600, None) as place:
        yield place


@pytest.fixture
def file(tmp_path: Path, place: Place) -> Path:
    file = tmp_path / "kept/file"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o640)
    return victim


def test_the_directory_stays_the_one_that_was_opened(tmp_path: Path, place: Place, victim: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place.write("file", OLD)
    (tmp_path / "kept").rename(tmp_path / "moved")
    (tmp_path / "kept").symlink_to("elsewhere")
    place.write("file", NEW)
    assert (tmp_path / "moved/file").read_bytes() == NEW
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_is_read(file: Path, place: Place) -> None:
    os.utime(file, (1000, 1000))
    assert place.read(file.name) == Held(OLD, 1000)


def link_to_victim(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def fifo(path: Path, _: Path) -> None:
    os.mkfifo(path, 0o600)


def unix_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)


def dangling_link(path: Path, _: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path, _: Path) -> None:
    path.symlink_to(path.name)


def link_to_itself_by_proc(path: Path, _: Path) -> None:
    path.symlink_to("/proc/self/exe")


def nothing(_: Path, __: Path) -> None:
    return


@pytest.mark.parametrize(
    "plant",
    [link_to_victim, hard_link, fifo, unix_socket, dangling_link, loop, link_to_itself_by_proc, nothing],
)
def test_what_is_planted_is_not_read_and_is_replaced(tmp_path: Path, place: Place, victim: Path, plant: Plant) -> None:
    path = tmp_path / "kept/file"
    plant(path, victim)
    before = victim.stat()
    assert place.read("file") is None
    place.write("file", NEW)
    assert place.read("file") is not None
    assert (path.read_bytes(), path.is_symlink(), path.stat().st_nlink) == (NEW, False, 1)
    assert victim.read_bytes() == b"precious"
    assert victim.stat().st_mode == before.st_mode
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_link_to_another_file_of_ours_is_not_read(file: Path, place: Place) -> None:
    (file.parent / "link").symlink_to(file.name)
    assert place.read("link") is None


def test_a_directory_in_the_way_is_told_and_left(tmp_path: Path, place: Place) -> None:
    (tmp_path / "kept/file").mkdir()
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(IsADirectoryError):
        place.read("file")
    with pytest.raises(IsADirectoryError):
        place.write("file", NEW)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["file"]
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("mode", [0o400, 0o644, 0o660, 0o700, 0o4600, 0o000])
def test_a_file_of_another_mode_is_not_ours(file: Path, place: Place, mode: int) -> None:
    file.chmod(mode)
    assert place.read(file.name) is None


@pytest.mark.parametrize("size, read", [(0, True), (1000, True), (1001, False), (2**40, False)])
def test_files_that_are_too_large(tmp_path: Path, size: int, *, read: bool) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    os.truncate(path, size)
    with Place(tmp_path, 0o600, None, most=1000) as place:
        held = place.read("file")
    assert (held is not None) is read
    assert held is None or len(held.content) == size


def test_removing(tmp_path: Path, place: Place, victim: Path) -> None:
    link = tmp_path / "kept/link"
    link.symlink_to(victim)
    for _ in range(2):
        place.remove("link")
        assert not link.is_symlink()
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "name, left",
    [
        (f".file.{DIGITS}", False),
        (f".file.{DIGITS[:-1]}", True), (f".file.{DIGITS}0", True), (f".file.{DIGITS.upper()}", True),
        (f".file.x.{DIGITS}", True), (f".files.{DIGITS}", True), (f"file.{DIGITS}", True), (f"..file.{DIGITS}", True),
        (f".file.{DIGITS}.x", True), (".file", True), ("file", True), ("other", True),
    ],
)  # fmt: skip
def test_only_leftovers_of_the_file_are_swept(tmp_path: Path, place: Place, name: str, *, left: bool) -> None:
    (tmp_path / "kept" / name).touch()
    place.sweep("file")
    assert (tmp_path / "kept" / name).exists() is left


def test_what_is_planted_among_the_leftovers(tmp_path: Path, place: Place, victim: Path) -> None:
    for number, plant in enumerate((link_to_victim, hard_link, fifo, dangling_link)):
        plant(tmp_path / f"kept/.file.{number:016x}", victim)
    (tmp_path / f"kept/.file.{DIGITS}").mkdir()
    place.sweep("file")
    assert [each.name for each in (tmp_path / "kept").iterdir()] == [f".file.{DIGITS}"]
    assert victim.read_bytes() == b"precious"
    place.write("file", NEW)


def test_a_planted_temporary_name_is_an_error(
    file: Path, place: Place, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: DIGITS)
    planted = file.with_name(f".file.{DIGITS}")
    for plant in (link_to_victim, hard_link, fifo, dangling_link):
        plant(planted, victim)
        with pytest.raises(FileExistsError):
            place.write("file", NEW)
        planted.unlink()
    assert (file.read_bytes(), victim.read_bytes()) == (OLD, b"precious")


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "𝄞" * 63], ids=["one", "two", "four"])
def test_the_longest_names(tmp_path: Path, place: Place, name: str) -> None:
    place.write(name, NEW)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == [name]
    (tmp_path / "kept" / f"{temporary_prefix(name)}{DIGITS}").touch()
    place.sweep(name)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == [name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_waits_for_the_end_of_a_write(
    file: Path, place: Place, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    seen: list[bytes] = []
    before = signal.signal(number, lambda *_: seen.append(file.read_bytes()))
    flush = os.fsync

    def flushed(descriptor: int) -> None:
        signal.pthread_kill(threading.get_ident(), number)  # no other thread takes it
        flush(descriptor)
        assert not seen

    monkeypatch.setattr("os.fsync", flushed)
    try:
        place.write("file", NEW)
    finally:
        signal.signal(number, before)
    assert seen == [NEW]


def test_the_time_of_a_file_is_told(place: Place) -> None:
    before = time.time()
    place.write("file", NEW)
    held = place.read("file")
    assert held is not None
    assert before - 1 <= held.written_at <= time.time() + 1
