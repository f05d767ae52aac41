"""The local CA's files."""

import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.keys import KeyKind, generate_key, private_pem
from proxy_gen.names import DistinguishedName
from tests.faults.disks import remount, tmpfs
from tests.faults.striking import Program
from tests.tools.programs import need
from ttscache.authority import local
from ttscache.errors import ConfigurationError

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SUBJECT = DistinguishedName.parse("/DC=ch/CN=CA")
MAKER = Program(
    "from datetime import UTC, datetime, timedelta\nfrom proxy_gen.keys import KeyKind\n"
    "from proxy_gen.names import DistinguishedName\nfrom ttscache.authority import local\n",
    "local.load_or_create(Path(sys.argv[1]), DistinguishedName.parse('/DC=ch/CN=CA'), KeyKind.P_256,"
    " now=datetime(2030, 1, 1, tzinfo=UTC), lifetime=timedelta(days=1))",
)


def create(directory: Path) -> tuple[bytes, bool]:
    generations, made = local.load_or_create(directory, SUBJECT, KeyKind.P_256, now=NOW, lifetime=timedelta(days=100))
    (authority,) = generations.all
    return authority.certificate_pem(), made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ca"


def test_made_once_and_loaded_ever_after(directory: Path) -> None:
    assert local.load(directory) is None
    pem, made = create(directory)
    assert made
    assert create(directory) == (pem, False)
    loaded = local.load(directory)
    assert loaded is not None
    assert loaded.all[0].certificate_pem() == pem
    assert loaded.all[0].subject.slash == "/DC=ch/CN=CA"


def test_files_and_their_modes(directory: Path) -> None:
    create(directory)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, ".lock": 0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_of_many_that_start_at_once_one_makes_it(directory: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: create(directory), range(16)))
    assert len({pem for pem, _ in results}) == 1
    assert sum(made for _, made in results) == 1


def test_killed_at_any_step_it_can_be_made_or_finished(tmp_path: Path) -> None:
    need("strace")
    writing = ("mkdir", "fchmod", "write", "fsync", "renameat", "rename")
    steps = MAKER.calls(writing, tmp_path / "whole")
    assert len(steps) >= 10
    for number, step in enumerate(steps):
        directory = tmp_path / str(number)
        assert MAKER.struck(step, "signal=KILL", directory)[1] == -signal.SIGKILL, step
        certificate = directory / "ca.pem"
        published = certificate.read_bytes() if certificate.exists() else None
        pem, made = create(directory)
        # one that others may have seen already is not replaced
        assert (pem == published) is not made, step
        assert create(directory) == (pem, False)


@pytest.mark.parametrize("lost", ["ca.pem", "ca.key"])
def test_a_ca_that_lost_a_file_is_not_made_anew(directory: Path, lost: str) -> None:
    create(directory)
    kept = {file: file.read_bytes() for file in directory.iterdir() if file.name != lost}
    (directory / lost).unlink()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        create(directory)
    assert {file: file.read_bytes() for file in directory.iterdir()} == kept


@pytest.mark.parametrize("mode", [0o660, 0o604, 0o620])
def test_a_key_that_others_may_read_is_refused(directory: Path, mode: int) -> None:
    create(directory)
    (directory / "ca.key").chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        create(directory)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_mounted_one_is_loaded_and_never_written(tmp_path: Path) -> None:
    """As a Secret is mounted: root's, with the group that may read, where nobody can write."""
    with tmpfs(tmp_path / "empty") as directory:
        remount(directory, "ro")
        with pytest.raises(ConfigurationError, match="cannot be written: Read-only"):
            create(directory)
    with tmpfs(tmp_path / "mounted") as directory:
        pem, _ = create(directory)
        (directory / ".lock").unlink()
        for file in directory.iterdir():
            file.chmod(0o440)
        remount(directory, "ro")
        assert create(directory) == (pem, False)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("ca.pem", b"nonsense", "no PEM certificate"),
        ("ca.key", b"nonsense", "cannot be used"),
        ("ca.key", private_pem(generate_key(KeyKind.P_256)), "not the key of its certificate"),
    ],
)
def test_files_that_cannot_be_used(directory: Path, name: str, content: bytes, said: str) -> None:
    create(directory)
    (directory / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        create(directory)
    assert len(caught.value.mistakes) == 1
    assert "PRIVATE" not in str(caught.value)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        create(tmp_path / "file" / "ca")
