"""Other users of the machine, and the places that they share with us."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.striking import Program
from tests.sidecar.others import DIRECTORIES, FILES, PLANTED, STRANGER, Intruder, as_stranger
from tests.tools.programs import need, unavailable
from ttscache.durable import Owner
from ttscache.sidecar.place import Place, UnsafePlaceError, open_directory, trusted_users

pytestmark = pytest.mark.root
ANOTHER = STRANGER + 1
SECRET = b"secret"
OURS, HIS = trusted_users(None), trusted_users(Owner(STRANGER, STRANGER))
# what is told of another user's interference: the file was put elsewhere, taken away, or another lies there
INTERFERENCE = {errno.ESTALE, errno.ENOENT}


@pytest.fixture
def victim(shared: Path) -> Path:
    """Where he wants our files to be, or what he wants us to overwrite."""
    directory = shared.parent / "victim"
    directory.mkdir(0o755)
    (directory / "file").write_bytes(b"precious")
    (directory / "file").chmod(0o600)
    return directory


@pytest.fixture
def untouched(victim: Path) -> Iterator[None]:
    yield
    assert {each.name: each.read_bytes() for each in victim.iterdir()} == {"file": b"precious"}


def given(path: Path, owner: int) -> Path:
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


@pytest.mark.parametrize("how", ["directory", "link", "link on the way", "end of a link"])
def test_another_users_part_of_the_way_is_refused(shared: Path, victim: Path, how: str) -> None:
    way = shared / "way"
    if how == "directory":
        way.mkdir()
        given(way, STRANGER)
    elif how == "end of a link":
        (shared / "his").mkdir()
        given(shared / "his", STRANGER)
        way.symlink_to("his")
    else:
        way.symlink_to(victim if how == "link" else victim.parent)
        given(way, STRANGER)
    path = way / "victim" if how == "link on the way" else way
    with pytest.raises(UnsafePlaceError, match=f"uid {STRANGER}"):
        open_directory(path, OURS)
    with pytest.raises(UnsafePlaceError, match=f"uid {STRANGER}"):
        Place(path, 0o600, Owner(ANOTHER, ANOTHER))
    os.close(open_directory(path, HIS))  # for whom the files are may have them where he likes


def test_an_ordinary_users_way(shared: Path, victim: Path) -> None:
    for name, owner in (("roots", 0), ("his", STRANGER), ("anothers", ANOTHER)):
        (shared / name).symlink_to(victim)
        given(shared / name, owner)
    opening = "open_directory(Path(sys.argv[1]), trusted_users(None))"
    assert as_stranger(opening, shared / "roots")
    assert as_stranger(opening, shared / "his")
    told = as_stranger(opening, shared / "anothers")
    assert not told
    assert f"belongs to another user (uid {ANOTHER})" in told.text


def test_a_user_namespace_in_which_there_is_no_root() -> None:
    entering = (
        "libc = ctypes.CDLL(None)\n"
        "libc.prctl(4, 1)\n"  # PR_SET_DUMPABLE, or /proc/self would be root's
        "if libc.unshare(0x10000000) != 0: os._exit(9)\n"  # CLONE_NEWUSER
        f"Path('/proc/self/uid_map').write_text('{STRANGER} {STRANGER} 1')\n"
    )
    told = as_stranger(f"{entering}open_directory(Path('/usr'), trusted_users(None))")
    if not told and not told.text:
        unavailable("this kernel makes no user namespaces for ordinary users")
    assert told, told


def planted(path: Path, owner: int = STRANGER) -> Path:
    path.write_text(PLANTED)
    path.chmod(0o600)
    return given(path, owner)


def test_another_users_file_is_not_read_and_is_replaced(shared: Path) -> None:
    file = planted(shared / "file")
    with Place(shared, 0o600, None) as place:
        assert place.read("file") is None
        place.write("file", SECRET)
    assert (file.read_bytes(), file.stat().st_uid) == (SECRET, 0)


@pytest.mark.parametrize("owner, read", [(STRANGER, True), (0, False), (ANOTHER, False)])
def test_files_for_somebody(shared: Path, owner: int, *, read: bool) -> None:
    planted(shared / "file", owner)
    with Place(shared, 0o600, Owner(STRANGER, STRANGER)) as place:
        assert (place.read("file") is not None) is read


def test_a_place_that_is_taken_is_told(shared: Path) -> None:
    """In a directory like /tmp nobody removes what is another's."""
    shared.chmod(0o1777)
    file = planted(shared / "file", ANOTHER)
    told = as_stranger("Place(Path(sys.argv[1]), 0o600, None).write('file', b'secret')", shared)
    assert "PermissionError" in told.text
    assert file.read_text() == PLANTED
    assert [each.name for each in shared.iterdir()] == ["file"]


def test_files_cannot_be_given_away_without_the_right_to(shared: Path) -> None:
    file = planted(shared / "file")
    told = as_stranger("Place(Path(sys.argv[1]), 0o600, Owner(0, 0)).write('file', b'secret')", shared)
    assert "PermissionError" in told.text
    assert file.read_text() == PLANTED
    assert [each.name for each in shared.iterdir()] == ["file"]


def written(place: Place, times: int) -> Counter[int]:
    """Write so often, and return what was told: 0 where a write succeeded."""
    told = Counter[int]()
    for _ in range(times):
        try:
            place.write("file", SECRET)
            told[0] += 1
        except OSError as error:
            told[error.errno or 0] += 1
        place.sweep("file")
    return told


@pytest.mark.usefixtures("untouched")
def test_another_user_who_renames_and_replaces_all_the_time(shared: Path, victim: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with Place(shared, 0o600, None) as place:
        with Intruder(shared, victim / "file", FILES) as intruder:
            told = written(place, 1500)
            read = {None if held is None else held.content for held in (place.read("file") for _ in range(1000))}
        place.write("file", SECRET)
    assert intruder.seen <= {PLANTED}
    assert read <= {None, SECRET}
    assert told.keys() - {0} <= INTERFERENCE
    assert told[errno.ESTALE]
    assert (shared / "file").read_bytes() == SECRET
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.usefixtures("untouched")
def test_another_user_in_a_directory_like_tmp_is_in_nobodys_way(shared: Path, victim: Path) -> None:
    shared.chmod(0o1777)
    with Place(shared, 0o600, None) as place, Intruder(shared, victim / "file", FILES) as intruder:
        assert written(place, 500) == {0: 500}
        assert place.read("file") is not None
    assert intruder.seen <= {PLANTED}


@pytest.mark.usefixtures("untouched")
def test_another_user_who_swaps_the_directory_all_the_time(shared: Path, victim: Path) -> None:
    (shared / "ours").mkdir(0o755)
    told = Counter[type[OSError] | None]()
    with Intruder(shared, victim, DIRECTORIES):
        while min(told[None], told[UnsafePlaceError]) < 100:
            try:
                with Place(shared / "ours", 0o600, None) as place:
                    told.update(None if number == 0 else OSError for number in written(place, 1))
            except OSError as error:
                told[type(error)] += 1
    assert told.keys() <= {None, UnsafePlaceError, FileNotFoundError}
    assert (shared / "ours/file").read_bytes() == SECRET


WRITER = Program(
    "from ttscache.durable import Owner\nfrom ttscache.sidecar.place import Place\nos.umask(0)\n"
    f"place = Place(Path(sys.argv[1]), 0o400, Owner({STRANGER}, {ANOTHER}))",
    f"place.write('file', {SECRET!r})",
)
STEPS = ["openat", "fchown", "fchmod", "write", "fsync", "renameat"]


def test_owner_and_mode_come_before_the_first_byte(shared: Path) -> None:
    need("strace")
    assert [name for name, number in WRITER.calls(STEPS, shared) if number == 1] == STEPS
    status = (shared / "file").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (STRANGER, ANOTHER, 0o400)


@pytest.mark.parametrize("step", STEPS[1:])
def test_others_could_read_it_at_no_moment(shared: Path, step: str) -> None:
    need("strace")
    WRITER.struck((step, 1), "signal=KILL", shared)
    (left,) = shared.iterdir()
    status = left.stat()
    assert status.st_mode & 0o077 == 0
    had = STEPS.index(step)
    assert status.st_uid == (STRANGER if had > STEPS.index("fchown") else 0)
    assert stat.S_IMODE(status.st_mode) == (0o400 if had > STEPS.index("fchmod") else 0o600)
    assert status.st_size == (len(SECRET) if had > STEPS.index("write") else 0)
