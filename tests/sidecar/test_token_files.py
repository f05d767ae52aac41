"""The sidecar's own token file: gone, empty, rotated as a kubelet does, rewritten as it is read."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sidecar.hostile import Hostile, answers, hostile, minted
from tests.sidecar.running import Sidecar, is_running, sidecar
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for
from ttscache.client import TokenSourceError
from ttscache.sidecar.visit import steady_token

LONG = 4000


@contextmanager
def beside(tmp_path: Path, token: Path) -> Iterator[tuple[Sidecar, Hostile]]:
    """Run a sidecar whose proxy is there, at a daemon that keeps the tokens that it is shown."""
    kept = ("--token-file", token, "--proxy", tmp_path / "proxy")
    with hostile(proxy=answers(minted)) as daemon:
        with sidecar(tmp_path, "--url", daemon.url, *kept, env=environment()) as running:
            running.wait_for(event="ready")
            yield running, daemon
        assert "planted" not in running.server.output()


def shown(daemon: Hostile, token: str) -> None:
    wait_for(lambda: True if token in daemon.tokens else None, lambda: f"shown: {daemon.tokens}")


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b" \n"),
        lambda path: path.write_bytes(b"a" * 100_000),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to(path)),
    ],
    ids=["gone", "empty", "blank", "huge", "a directory", "a link to itself"],
)
def test_without_a_token_the_file_stays_until_there_is_one(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"planted-one")
    with beside(tmp_path, token) as (running, daemon):
        before = (tmp_path / "proxy").read_bytes()
        spoil(token)
        running.signal(signal.SIGHUP)
        running.wait_for(event="failed", code="token_unreadable")
        assert (tmp_path / "proxy").read_bytes() == before
        if token.is_dir():
            token.rmdir()
        else:
            token.unlink(missing_ok=True)
        write_private(token, b"planted-two\n")
        shown(daemon, "planted-two")  # in seconds, without being told
        running.renew("proxy")
        assert (tmp_path / "proxy").read_bytes() != before
        assert set(daemon.tokens) == {"planted-one", "planted-two"}


def kubelet_writes(volume: Path, number: int, token: str) -> None:
    """Do as the kubelet does: a new directory, and a link to it that is swapped by a rename."""
    payload = volume / f"..2026_{number}"
    payload.mkdir(parents=True)
    (payload / "token").write_text(token)
    (volume / "..data_tmp").symlink_to(payload.name)
    (volume / "..data_tmp").rename(volume / "..data")
    if not (volume / "token").is_symlink():
        (volume / "token").symlink_to("..data/token")


def test_a_token_that_a_kubelet_rotates(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    kubelet_writes(volume, 0, "planted-0")
    with beside(tmp_path, volume / "token") as (running, daemon):
        for number in (1, 2):
            kubelet_writes(volume, number, f"planted-{number}")
            running.signal(signal.SIGHUP)
            shown(daemon, f"planted-{number}")
        assert list(dict.fromkeys(daemon.tokens)) == ["planted-0", "planted-1", "planted-2"]
        (volume / "..data").unlink()
        running.signal(signal.SIGHUP)
        running.wait_for(event="failed", code="token_unreadable")
        kubelet_writes(volume, 3, "planted-3")
        shown(daemon, "planted-3")


@contextmanager
def meanwhile(act: Callable[[int], object]) -> Iterator[None]:
    """Do something again and again in a thread."""
    ended = threading.Event()

    def again() -> None:
        number = 0
        while not ended.is_set():
            act(number)
            number += 1

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def readings(file: Path) -> Iterator[str]:
    for _ in range(300):
        try:
            yield steady_token(file)
        except TokenSourceError as error:
            yield str(error)


def test_one_that_is_rotated_as_it_is_read_is_the_old_or_the_new(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    kubelet_writes(volume, 0, "a" * LONG)
    with meanwhile(lambda number: kubelet_writes(volume, number + 1, "ab"[number % 2] * LONG)):
        seen = set(readings(volume / "token"))
    # rotated faster than it is read, it is "being written", and read the next time
    written = {each for each in seen if not each.startswith("the token file")}
    assert written
    assert all(len(set(each)) == 1 and len(each) == LONG for each in written)


def test_one_that_is_rewritten_as_it_is_read(tmp_path: Path) -> None:
    file = write_private(tmp_path / "token", b"a" * LONG)
    with meanwhile(lambda number: file.write_bytes(b"ab"[number % 2 :][:1] * LONG)):
        seen = set(readings(file))
    written = {each for each in seen if not each.startswith("the token file")}
    assert all(len(set(each)) == 1 for each in written), "never a part of one with a part of the other"
    assert {each.removeprefix(f"the token file {file} ") for each in seen - written} <= {"is empty", "is being written"}


def test_a_pipe_that_nobody_writes_to_does_not_hold_up_the_end(tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"planted-one")
    with beside(tmp_path, token) as (running, _):
        token.unlink()
        os.mkfifo(token)
        running.signal(signal.SIGHUP)
        (worker,) = wait_for(lambda: running.workers() or None, running.server.output)
        assert running.stop() == 0
        assert not is_running(worker)
